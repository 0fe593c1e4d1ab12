//! Looks for circles of files: modules of one crate that use one another in a ring, so that none
//! can be read, or moved, without all the others.
//!
//! An arrow leads from a file to the one that defines an item which the first names. A re-export
//! leads on to the definition and is no arrow itself, and tests don't count.

#[path = "public_api/crate_source.rs"]
mod crate_source;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use crate_source::{Module, leaves};
use proc_macro2::{TokenStream, TokenTree};
use syn::Item;

/// The crates that still have circles. A crate that has none any more must leave the list.
const UNTIED_LATER: [&str; 3] = ["bugle-core", "bugle-store", "bugle-testkit"];

/// The longest chain of imports that is followed. Only one that names itself is longer.
const DEEPEST: usize = 8;

/// The path of a module in its crate; empty for the root.
type Place = Vec<String>;

/// The arrows of a crate: for each file the files that it uses, with the names that it takes.
type Arrows = BTreeMap<Place, BTreeMap<Place, BTreeSet<String>>>;

fn arrows(root: &Module) -> Arrows {
    let mut arrows = Arrows::new();
    visit(root, root, &Place::new(), &mut arrows);
    arrows
}

fn visit(root: &Module, module: &Module, at: &Place, arrows: &mut Arrows) {
    let mut named = BTreeSet::new();
    for item in &module.items {
        match item {
            Item::Mod(_) => {}
            Item::Use(item) if !matches!(item.vis, syn::Visibility::Inherited) => {}
            Item::Use(item) => named.extend(leaves(&item.tree).into_iter().map(|(path, _)| path)),
            item => named.extend(paths(tokens(item))),
        }
    }
    let from = file(root, at);
    for (home, name) in named.iter().filter_map(|path| home(root, at, path, 0)) {
        let to = file(root, &home);
        if from != to {
            arrows.entry(from.clone()).or_default().entry(to).or_default().insert(name);
        }
    }
    for (name, child) in &module.children {
        visit(root, child, &join(at, name), arrows);
    }
}

/// The module whose file a module is in: a module that is written inline is in its parent's.
fn file(root: &Module, at: &[String]) -> Place {
    let mut at = at.to_vec();
    while root.find(&at).is_some_and(|module| module.is_inline) {
        at.pop();
    }
    at
}

fn tokens(item: &Item) -> TokenStream {
    let mut file = syn::parse_file("").unwrap();
    file.items.push(item.clone());
    prettyplease::unparse(&file).parse().unwrap()
}

/// Every path in these tokens, those within macros included.
fn paths(tokens: TokenStream) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(name) if colons == 2 && !path.is_empty() => {
                path.push(name.to_string());
                colons = 0;
                continue;
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => {
                colons += 1;
                continue;
            }
            TokenTree::Ident(name) => {
                found.push(std::mem::replace(&mut path, vec![name.to_string()]));
            }
            TokenTree::Group(group) => {
                found.push(std::mem::take(&mut path));
                found.extend(paths(group.stream()));
            }
            _ => found.push(std::mem::take(&mut path)),
        }
        colons = 0;
    }
    found.push(path);
    found.retain(|path| !path.is_empty());
    found
}

/// The module that defines the item which a path names from here, and the item's name. `None` for a
/// module, and for anything of another crate.
fn home(root: &Module, at: &[String], path: &[String], depth: usize) -> Option<(Place, String)> {
    let mut home = at.to_vec();
    for (index, name) in path.iter().enumerate() {
        match name.as_str() {
            "crate" => home.clear(),
            "self" => {}
            "super" => drop(home.pop()),
            name => {
                let module = root.find(&home)?;
                if module.children.contains_key(name) {
                    home.push(name.to_owned());
                } else if module.items.iter().any(|item| defines(item, name)) {
                    return Some((home, name.to_owned()));
                } else if depth < DEEPEST {
                    return imported(root, module, &home, &path[index..], depth);
                } else {
                    return None;
                }
            }
        }
    }
    None
}

/// The module that defines an item which `module` imports under the first name of this path.
fn imported(
    root: &Module,
    module: &Module,
    at: &[String],
    path: &[String],
    depth: usize,
) -> Option<(Place, String)> {
    let uses = module.items.iter().filter_map(|item| match item {
        Item::Use(item) => Some(leaves(&item.tree)),
        _ => None,
    });
    let mut globs = Vec::new();
    for (mut target, name) in uses.flatten() {
        if name == path[0] {
            target.extend_from_slice(&path[1..]);
            return home(root, at, &target, depth + 1);
        } else if name == "*" {
            target.pop();
            target.extend_from_slice(path);
            globs.push(target);
        }
    }
    globs.iter().find_map(|target| home(root, at, target, depth + 1))
}

/// True when an item has this name, or is a macro call that makes one of this name.
fn defines(item: &Item, name: &str) -> bool {
    match item {
        Item::Macro(item) => match &item.ident {
            Some(own) => own == name,
            None => mentions(item.mac.tokens.clone(), name),
        },
        _ => crate_source::name_and_visibility(item).is_some_and(|(own, _)| own == name),
    }
}

fn mentions(tokens: TokenStream, name: &str) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(own) => own == name,
        TokenTree::Group(group) => mentions(group.stream(), name),
        _ => false,
    })
}

fn join(at: &[String], name: &str) -> Place {
    at.iter().cloned().chain([name.to_owned()]).collect()
}

/// The shortest circle through any file, as one line for each of its arrows.
fn circle(arrows: &Arrows) -> Option<String> {
    let shortest = arrows.keys().filter_map(|start| way_back(arrows, start));
    let ring = shortest.min_by_key(Vec::len)?;
    let line = |pair: &[Place]| {
        let names = arrows[&pair[0]][&pair[1]].iter().cloned().collect::<Vec<_>>().join(", ");
        format!("  {} -> {}: {names}", shown(&pair[0]), shown(&pair[1]))
    };
    Some(ring.windows(2).map(line).collect::<Vec<_>>().join("\n"))
}

/// The shortest way along the arrows from a file back to itself.
fn way_back(arrows: &Arrows, start: &Place) -> Option<Vec<Place>> {
    let mut ways = VecDeque::from([vec![start.clone()]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        for next in arrows.get(way.last()?).into_iter().flat_map(BTreeMap::keys) {
            let longer: Vec<Place> = way.iter().cloned().chain([next.clone()]).collect();
            if next == start {
                return Some(longer);
            } else if seen.insert(next.clone()) {
                ways.push_back(longer);
            }
        }
    }
    None
}

fn shown(place: &Place) -> String {
    if place.is_empty() { "the crate's root".to_owned() } else { place.join("::") }
}

fn crate_dirs() -> BTreeMap<String, PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let dirs = fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path());
    dirs.map(|dir| (dir.file_name().unwrap().to_string_lossy().into_owned(), dir)).collect()
}

#[test]
fn no_files_use_one_another_in_a_circle() {
    for (name, dir) in crate_dirs() {
        let circle = circle(&arrows(&crate_source::read(&dir)));
        match (circle, UNTIED_LATER.contains(&name.as_str())) {
            (Some(circle), false) => panic!("{name} has a circle of files; cut it:\n{circle}"),
            (None, true) => panic!("{name} has no circle any more: take it off the list"),
            _ => {}
        }
    }
}

/// Makes a crate of these modules, each with its name and its source.
fn sample(modules: &[(&str, &str)]) -> Module {
    let items = |source: &str| syn::parse_file(source).unwrap().items;
    let mut root = Module::default();
    for (name, source) in modules {
        let module = Module { items: items(source), ..Module::default() };
        match name.split_once("::") {
            None if name.is_empty() => root.items = module.items,
            None => drop(root.children.insert((*name).to_owned(), module)),
            Some((parent, name)) => {
                let parent = root.children.get_mut(parent).unwrap();
                parent.children.insert(name.to_owned(), module);
            }
        }
    }
    root
}

#[test]
fn circles_are_found_through_imports_paths_macros_and_re_exports() {
    let a = ("a", "use crate::b::B; pub struct A(B);");
    for (others, expected) in [
        (vec![("b", "pub struct B;")], None),
        (vec![("b", "use crate::a::A; pub struct B(A);")], Some("  a -> b: B\n  b -> a: A")),
        (vec![("b", "pub struct B(super::a::A);")], Some("  a -> b: B\n  b -> a: A")),
        (
            vec![("b", "pub struct B; fn f() { println!(\"{}\", crate::a::A::new()) }")],
            Some("  a -> b: B\n  b -> a: A"),
        ),
        (vec![("b", "use crate::a; pub struct B(a::A);")], Some("  a -> b: B\n  b -> a: A")),
        (vec![("b", "mod tests {} use crate::a; pub struct B;")], None),
        (
            vec![("", "pub use a::A;"), ("b", "use crate::A; pub struct B(A);")],
            Some("  a -> b: B\n  b -> a: A"),
        ),
        (vec![("b", "mod c; pub use c::B; pub struct D;"), ("b::c", "pub struct B;")], None),
        (
            vec![
                ("b", "mod c; pub use c::B; pub struct D;"),
                ("b::c", "use super::{D, e::E}; pub struct B(D, E);"),
                ("b::e", "use crate::a::*; pub struct E(A);"),
            ],
            Some("  a -> b::c: B\n  b::c -> b::e: E\n  b::e -> a: A"),
        ),
    ] {
        let modules: Vec<_> = [a].into_iter().chain(others).collect();
        let found = circle(&arrows(&sample(&modules)));
        assert_eq!(found.as_deref(), expected, "{modules:?}");
    }
}
