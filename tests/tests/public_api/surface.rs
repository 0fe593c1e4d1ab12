//! The items of a crate that others can name, as text: signatures without bodies, without private
//! fields, without documentation.
//!
//! It reads the source rather than rustdoc's JSON, whose format is unstable and differs from one
//! compiler to the next. A macro call that makes items is shown as the macro's definition and the
//! call.

use std::collections::{BTreeMap, BTreeSet};

use syn::{ImplItem, Item, ItemImpl, ItemMacro, Type, Visibility};

use crate::crate_source::{Module, attributes, leaves, name_and_visibility};
use crate::signature::signature;

/// The surface of a crate: one section for each path that others can write, sorted.
pub fn surface(root: &Module) -> String {
    let mut surface = Surface { root, sections: BTreeMap::new(), homes: BTreeMap::new() };
    surface.export_module(&[], "crate");
    surface.export_implementations();

    let mut text = String::new();
    for (path, paragraphs) in surface.sections {
        text.push_str(&format!("// {path}\n"));
        text.extend(paragraphs.into_iter().map(|(_, paragraph)| paragraph));
        text.push('\n');
    }
    text
}

/// The order of the paragraphs of a section.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Definition,
    Inherent,
    Trait,
}

struct Surface<'a> {
    root: &'a Module,
    /// The items by the path that others write, each once.
    sections: BTreeMap<String, BTreeSet<(Kind, String)>>,
    /// The names of the exported items, and the path at which each was found.
    homes: BTreeMap<String, String>,
}

impl Surface<'_> {
    fn add(&mut self, path: &str, kind: Kind, paragraph: String) {
        self.sections.entry(path.to_owned()).or_default().insert((kind, paragraph));
    }

    fn add_item(&mut self, item: &Item, name: &str, path: &str) {
        self.homes.insert(name.to_owned(), path.to_owned());
        self.add(path, Kind::Definition, signature(item.clone()));
    }

    /// Exports everything public in the module at `at`, under the path that others write for it.
    fn export_module(&mut self, at: &[String], path: &str) {
        let module = self.root.find(at).unwrap_or_else(|| panic!("no module {at:?}"));
        for item in module.items.iter().filter(|item| !is_hidden(item)) {
            match item {
                Item::Use(item) if is_public(&item.vis) => {
                    for (target, name) in leaves(&item.tree) {
                        self.export_use(at, &target, &name, path);
                    }
                }
                Item::Mod(item) if is_public(&item.vis) => {
                    let name = item.ident.to_string();
                    self.export_module(&join(at, &name), &format!("{path}::{name}"));
                }
                Item::Macro(item) if is_exported_macro(item) => {
                    let name = macro_name(item);
                    self.add_item(&Item::Macro(item.clone()), &name, &format!("crate::{name}!"));
                }
                item => match name_and_visibility(item) {
                    Some((name, visibility)) if is_public(visibility) => {
                        self.add_item(item, &name, &format!("{path}::{name}"));
                    }
                    _ => {}
                },
            }
        }
    }

    /// Exports the target of `pub use target as name` in the module at `at`, under `path`.
    fn export_use(&mut self, at: &[String], target: &[String], name: &str, path: &str) {
        let Some((last, before)) = target.split_last() else { return };
        let here = if name == "*" { path.to_owned() } else { format!("{path}::{name}") };
        let Some(home) = self.locate(at, before) else {
            let line = format!("pub use {};\n", target.join("::"));
            return self.add(&here, Kind::Definition, line);
        };
        if name == "*" {
            return self.export_module(&home, path);
        }
        if !self.export_named(&home, last, &here) {
            panic!("{here}: found neither an item nor a macro call that makes it");
        }
    }

    /// Exports the item of this name in a module; false when there is none.
    fn export_named(&mut self, home: &[String], name: &str, path: &str) -> bool {
        let Some(module) = self.root.find(home) else { return false };
        let mut found = false;
        for item in &module.items {
            if name_and_visibility(item).is_some_and(|(own, _)| own == name) {
                self.add_item(item, name, path);
                found = true;
            }
        }
        if module.children.contains_key(name) {
            self.export_module(&join(home, name), path);
            found = true;
        }
        if found {
            return true;
        }
        let imported = module.items.iter().find_map(|item| match item {
            Item::Use(item) => leaves(&item.tree).into_iter().find(|(_, own)| own == name),
            _ => None,
        });
        if imported.as_ref().is_some_and(|(target, _)| target == &[name]) {
            // No item here has the name, so it is another crate's.
            self.add(path, Kind::Definition, format!("pub use {name};\n"));
            return true;
        }
        if let Some((target, _)) = imported {
            let (parent, name) = path.rsplit_once("::").unwrap_or(("crate", path));
            self.export_use(home, &target, name, parent);
            return true;
        }
        self.export_macro_call(module, name, path)
    }

    /// Exports the item of this name that a macro call in this module makes.
    fn export_macro_call(&mut self, module: &Module, name: &str, path: &str) -> bool {
        let calls = module.items.iter().filter_map(|item| match item {
            Item::Macro(call) if call.ident.is_none() && mentions(call, name) => Some(call),
            _ => None,
        });
        let mut found = false;
        for call in calls {
            self.homes.insert(name.to_owned(), path.to_owned());
            self.add(path, Kind::Definition, signature(Item::Macro(call.clone())));
            for item in self.root.all_items() {
                match item {
                    Item::Macro(rules) if call.mac.path.is_ident(&macro_name(rules)) => {
                        let path = format!("crate::({}!)", macro_name(rules));
                        self.add(&path, Kind::Definition, signature(item.clone()));
                    }
                    _ => {}
                }
            }
            found = true;
        }
        found
    }

    /// Finds the module of this crate that a path names; `None` when it leads to another crate.
    fn locate(&self, at: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut home = at.to_vec();
        for (index, name) in path.iter().enumerate() {
            match name.as_str() {
                "crate" => home.clear(),
                "self" => {}
                "super" => drop(home.pop()),
                name => {
                    let below = join(&home, name);
                    if self.root.find(&below).is_none() {
                        assert!(index == 0, "{}: no such module", path.join("::"));
                        return None;
                    }
                    home = below;
                }
            }
        }
        // A name alone is a crate's, unless a module has it.
        Some(home).filter(|_| !path.is_empty() || at.is_empty())
    }

    /// Exports the public methods of the exported types, and the traits that these implement.
    fn export_implementations(&mut self) {
        let own: BTreeSet<String> = self
            .root
            .all_items()
            .into_iter()
            .filter_map(|item| name_and_visibility(item).map(|(name, _)| name))
            .collect();
        let private = |name: &String| own.contains(name) && !self.homes.contains_key(name);

        let mut found = Vec::new();
        for item in self.root.all_items() {
            let Item::Impl(block) = item else { continue };
            let type_name = type_name(&block.self_ty);
            let trait_name = block
                .trait_
                .as_ref()
                .and_then(|(path, ..)| path.segments.last())
                .map(|segment| segment.ident.to_string());
            if is_hidden(item) || [&type_name, &trait_name].into_iter().flatten().any(private) {
                continue;
            }
            let home = [type_name, trait_name.clone()]
                .into_iter()
                .flatten()
                .find_map(|name| self.homes.get(&name));
            let Some(home) = home.cloned() else { continue };
            let kind = if trait_name.is_some() { Kind::Trait } else { Kind::Inherent };
            if let Some(block) = public_part(block) {
                found.push((home, kind, signature(Item::Impl(block))));
            }
        }
        for (home, kind, paragraph) in found {
            self.add(&home, kind, paragraph);
        }
    }
}

/// The public part of an implementation: of a trait's, its associated types; else its public items.
fn public_part(block: &ItemImpl) -> Option<ItemImpl> {
    let mut block = block.clone();
    if block.trait_.is_some() {
        block.items.retain(|item| matches!(item, ImplItem::Type(_)));
        return Some(block);
    }
    block.items.retain(|item| match item {
        ImplItem::Fn(method) => is_public(&method.vis),
        ImplItem::Const(constant) => is_public(&constant.vis),
        _ => false,
    });
    (!block.items.is_empty()).then_some(block)
}

fn join(path: &[String], name: &str) -> Vec<String> {
    path.iter().map(String::as_str).chain([name]).map(str::to_owned).collect()
}

fn type_name(of: &Type) -> Option<String> {
    match of {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Type::Reference(reference) => type_name(&reference.elem),
        _ => None,
    }
}

fn macro_name(item: &ItemMacro) -> String {
    item.ident.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn mentions(call: &ItemMacro, name: &str) -> bool {
    let tokens = call.mac.tokens.to_string();
    tokens.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name)
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_exported_macro(item: &ItemMacro) -> bool {
    item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export"))
}

fn is_hidden(item: &Item) -> bool {
    attributes(item).iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "hidden")
    })
}
