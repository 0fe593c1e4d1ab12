//! Reads a crate's modules from its source files.

// Each of the tests that share this uses another part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use syn::{Attribute, Item, UseTree, Visibility};

/// A module: its own items, and the modules that it declares. Nothing in it is test code.
#[derive(Default)]
pub struct Module {
    /// True when the module is written in its parent's file.
    pub is_inline: bool,
    pub items: Vec<Item>,
    pub children: BTreeMap<String, Module>,
}

impl Module {
    /// The module at a path of names from here.
    pub fn find(&self, path: &[String]) -> Option<&Self> {
        path.iter().try_fold(self, |module, name| module.children.get(name))
    }

    /// Every item of this module and of those below it.
    pub fn all_items(&self) -> Vec<&Item> {
        let below = self.children.values().flat_map(Self::all_items);
        self.items.iter().chain(below).collect()
    }
}

/// Reads the library of the crate in this directory, or its program where it has no library.
pub fn read(crate_dir: &Path) -> Module {
    let src = crate_dir.join("src");
    let library = src.join("lib.rs");
    let root = if library.exists() { library } else { src.join("main.rs") };
    module(parse(&root), &src)
}

fn parse(file: &Path) -> Vec<Item> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display())).items
}

/// Puts a module together. The files of the modules that it declares are in `dir`.
fn module(items: Vec<Item>, dir: &Path) -> Module {
    let items: Vec<Item> = items.into_iter().filter(|item| !is_test_code(item)).collect();
    let children = items
        .iter()
        .filter_map(|item| match item {
            Item::Mod(declared) => Some(declared),
            _ => None,
        })
        .map(|declared| {
            let name = declared.ident.to_string();
            let below = dir.join(&name);
            let content = match &declared.content {
                Some((_, items)) => items.clone(),
                None if below.join("mod.rs").exists() => parse(&below.join("mod.rs")),
                None => parse(&below.with_extension("rs")),
            };
            let is_inline = declared.content.is_some();
            (name, Module { is_inline, ..module(content, &below) })
        })
        .collect();
    Module { is_inline: false, items, children }
}

fn is_test_code(item: &Item) -> bool {
    attributes(item).iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|flag| flag == "test")
    })
}

/// The attributes of an item.
pub fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name of an item that has one, and whether it is public.
pub fn name_and_visibility(item: &Item) -> Option<(String, &Visibility)> {
    let (name, visibility) = match item {
        Item::Const(item) => (&item.ident, &item.vis),
        Item::Enum(item) => (&item.ident, &item.vis),
        Item::Fn(item) => (&item.sig.ident, &item.vis),
        Item::Static(item) => (&item.ident, &item.vis),
        Item::Struct(item) => (&item.ident, &item.vis),
        Item::Trait(item) => (&item.ident, &item.vis),
        Item::Type(item) => (&item.ident, &item.vis),
        Item::Union(item) => (&item.ident, &item.vis),
        _ => return None,
    };
    Some((name.to_string(), visibility))
}

/// The paths that a `use` names, each with its name here; `*` for all.
pub fn leaves(tree: &UseTree) -> Vec<(Vec<String>, String)> {
    let prefixed = |prefix: String, leaves: Vec<(Vec<String>, String)>| {
        let longer = leaves.into_iter().map(|(mut path, name)| match path.last() {
            // `a::{self}` is `a`.
            Some(last) if last == "self" && path.len() == 1 => {
                let name = if name == "self" { prefix.clone() } else { name };
                (vec![prefix.clone()], name)
            }
            _ => {
                path.insert(0, prefix.clone());
                (path, name)
            }
        });
        longer.collect()
    };
    match tree {
        UseTree::Path(path) => prefixed(path.ident.to_string(), leaves(&path.tree)),
        UseTree::Name(name) => vec![(vec![name.ident.to_string()], name.ident.to_string())],
        UseTree::Rename(name) => vec![(vec![name.ident.to_string()], name.rename.to_string())],
        UseTree::Glob(_) => vec![(vec!["*".to_owned()], "*".to_owned())],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}
