//! Checks the promises of the pages for newcomers: the dependency on Bugle, the version of Rust,
//! and the addresses of the documentation. The doctests of `tests/newcomer` and of the crates prove
//! that their programs compile; tests beside the binary check their shell commands.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{MetadataCommand, Package};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn packages() -> BTreeMap<String, Package> {
    let metadata =
        MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap();
    metadata.packages.into_iter().map(|package| (package.name.to_string(), package)).collect()
}

/// The blocks of a page in this language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.match_indices(&fence)
        .map(|(at, _)| page[at + fence.len()..].split("```").next().unwrap())
        .collect()
}

#[test]
fn the_readme_says_how_to_depend_on_what_is_not_published() {
    let (readme, packages) = (read("README.md"), packages());
    let manifest = blocks(&readme, "toml")[0];
    let path = manifest.split("path = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let within = path.split_once("/").map(|(_, rest)| rest.split_once('/').unwrap().1).unwrap();
    assert!(root().join(within).join("Cargo.toml").exists(), "{path} leads to no crate");
    assert!(manifest.contains("git = "), "{manifest}");

    // The others are those of the newcomer, who has compiled the program.
    let newcomer = &packages["bugle-newcomer"];
    let names: BTreeSet<&str> =
        newcomer.dependencies.iter().map(|dependency| dependency.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["bugle", "serde", "tokio"]));
    let own = read("tests/newcomer/Cargo.toml");
    for line in
        own.lines().filter(|line| line.starts_with("serde =") || line.starts_with("tokio ="))
    {
        assert!(manifest.lines().any(|printed| printed == line), "the README has not: {line}");
    }
}

#[test]
fn the_pages_name_the_rust_that_is_needed() {
    let packages = packages();
    let least = |name: &str| {
        let version = packages[name].rust_version.clone().unwrap();
        format!("{}.{}", version.major, version.minor)
    };
    for page in ["README.md", "CONTRIBUTING.md"] {
        let text = read(page);
        for name in ["bugle-cli", "bugle-examples"] {
            assert!(text.contains(&least(name)), "{page} does not name {}, of {name}", least(name));
        }
    }
}

/// An address that leads nowhere is worse than none.
#[test]
fn manifests_name_no_address_and_have_all_features_documented() {
    for (name, package) in packages() {
        for address in [&package.repository, &package.homepage, &package.documentation] {
            assert_eq!(*address, None, "{name}");
        }
        if package.publish.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let all = package.metadata.pointer("/docs/rs/all-features");
        assert_eq!(all, Some(&serde_json::Value::Bool(true)), "{name}");
    }
    for page in ["README.md", "CONTRIBUTING.md", ".ci/run"] {
        for line in read(page).lines().filter(|line| line.contains("cargo doc")) {
            assert!(line.contains("--all-features"), "{page}: {line}");
        }
    }
}

/// Some crate compiles the Rust code of each page.
#[test]
fn every_page_with_programs_is_compiled() {
    let compiled = BTreeMap::from([
        ("README.md", "tests/newcomer/src/lib.rs"),
        ("crates/bugle-postgres/README.md", "crates/bugle-postgres/src/lib.rs"),
        ("crates/bugle-testkit/README.md", "crates/bugle-testkit/src/lib.rs"),
    ]);
    let pages = [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "examples/README.md",
        "crates/bugle-postgres/README.md",
        "crates/bugle-testkit/README.md",
    ];
    for page in pages {
        let text = read(page);
        assert!(!text.contains("```rust,ignore") && !text.contains("```ignore"), "{page}");
        if !text.contains("```rust") {
            continue;
        }
        let by = compiled.get(page).unwrap_or_else(|| panic!("nobody compiles {page}"));
        assert!(read(by).contains("README.md\")"), "{by} does not include {page}");
    }
}

#[test]
fn the_cargo_commands_that_pages_show_name_what_exists() {
    let packages = packages();
    let targets: BTreeSet<String> = packages
        .values()
        .flat_map(|package| package.targets.iter().map(|target| target.name.clone()))
        .collect();
    for page in ["README.md", "CONTRIBUTING.md", "examples/README.md"] {
        let text = read(page);
        for line in blocks(&text, "sh").concat().lines() {
            let line = line.split('#').next().unwrap();
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.first() != Some(&"cargo") && !words.contains(&"cargo") {
                continue;
            }
            for pair in words.windows(2) {
                match pair[0] {
                    "-p" => assert!(packages.contains_key(pair[1]), "{page}: {line}"),
                    "--bin" | "--example" | "--test" => {
                        assert!(targets.contains(pair[1]), "{page}: {line}");
                    }
                    "--path" => {
                        assert!(root().join(pair[1]).join("Cargo.toml").exists(), "{page}: {line}");
                    }
                    _ => {}
                }
            }
        }
    }
}
