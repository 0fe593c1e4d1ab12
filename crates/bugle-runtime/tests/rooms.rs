//! The rooms of this crate: which file may know which.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Each room knows itself and those before it.
const ROOMS: [&str; 4] = ["words", "emitter", "tree", "api"];

/// The files of this crate, as paths of modules, and those that each of them names.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut texts = BTreeMap::new();
    read(&src, "", &mut texts);
    let named = texts.iter().map(|(module, text)| {
        let names = text.split("crate::").skip(1).map(|rest| {
            let path: Vec<&str> = rest
                .split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':')
                .next()
                .unwrap()
                .split("::")
                .collect();
            let longest = (1..=path.len()).rev().map(|parts| path[..parts].join("::"));
            longest.into_iter().find(|name| texts.contains_key(name))
        });
        let mut named: BTreeSet<String> = names.flatten().collect();
        named.remove(module);
        (module.clone(), named)
    });
    named.collect()
}

/// Reads the sources under a directory; tests are none of a room's.
fn read(dir: &Path, within: &str, texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let module = match within {
            "" => name.to_owned(),
            _ => format!("{within}::{name}"),
        };
        if path.is_dir() {
            if name != "tests" {
                read(&path, &module, texts);
            }
        } else {
            let module = module.strip_suffix("::mod").unwrap_or(&module).to_owned();
            texts.insert(module, fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_room_knows_only_those_before_it() {
    let room = |module: &str| {
        let first = module.split("::").next().unwrap();
        ROOMS.iter().position(|room| *room == first).unwrap_or_else(|| panic!("{module}: no room"))
    };
    let mut arrows = arrows();
    arrows.remove("lib");
    assert!(arrows.len() > 30, "{arrows:?}");
    for (module, named) in arrows {
        for other in named {
            assert!(room(&other) <= room(&module), "{module} knows {other}");
        }
    }
}

#[test]
fn files_know_one_another_in_no_circle() {
    let mut arrows = arrows();
    // Whatever knows nobody that is left is in no circle.
    while let Some(leaf) =
        arrows.iter().find(|(_, named)| named.is_empty()).map(|(module, _)| module.clone())
    {
        arrows.remove(&leaf);
        for named in arrows.values_mut() {
            named.remove(&leaf);
        }
    }
    assert!(arrows.is_empty(), "these files know one another in circles: {arrows:#?}");
}
