//! Enforces the structure that ARCHITECTURE.md describes: the dependencies between crates, the
//! things that are deliberately absent, and that the files which the document names exist.

mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use sources::{files, read, root};

/// The greatest number of lines of a source file: one noun each. A file of tests, a list by nature,
/// may have half as many again.
const LONGEST_FILE: usize = 400;
const LONGEST_TEST: usize = 600;

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command.manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

/// The dependencies of each workspace crate, tests aside.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata().packages.into_iter().map(|package| {
        let needed = package
            .dependencies
            .into_iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name)
            .collect();
        (package.name.to_string(), needed)
    });
    packages.collect()
}

/// The table of ARCHITECTURE.md whose first column is `crate`: each crate, with those that its last
/// column names.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let document = read("ARCHITECTURE.md");
    let rows = document
        .lines()
        .skip_while(|line| !line.starts_with("| crate |"))
        .take_while(|line| line.starts_with('|'))
        .skip(2);
    let table: BTreeMap<_, _> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            let name = quoted(cells[0]).next().unwrap_or_else(|| panic!("no crate in: {row}"));
            let allowed = quoted(cells[cells.len() - 1]).map(str::to_owned).collect();
            (name.to_owned(), allowed)
        })
        .collect();
    assert!(!table.is_empty(), "ARCHITECTURE.md has a table that starts with `| crate |`");
    table
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The source files that contain one of these words.
fn sources_with(words: &[&str]) -> BTreeSet<String> {
    let mut sources = files("rs");
    sources.retain(|path| {
        let text = read(path);
        words.iter().any(|word| text.contains(word))
    });
    sources
}

fn set<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[test]
fn crates_depend_on_one_another_only_as_the_table_allows() {
    let (actual, allowed) = (dependencies(), allowed());
    let members: BTreeSet<&String> = actual.keys().collect();
    assert_eq!(
        members,
        allowed.keys().collect(),
        "the crates of the workspace (left) are those in ARCHITECTURE.md's table (right)"
    );
    for (name, needed) in &actual {
        for other in needed.iter().filter(|other| members.contains(other)) {
            assert!(
                allowed[name].contains(other),
                "{name} depends on {other}, which ARCHITECTURE.md's table does not allow: either \
                 the code belongs elsewhere, or the table needs a row with a reason"
            );
        }
        for other in &allowed[name] {
            assert!(members.contains(other), "ARCHITECTURE.md lets {name} use {other}: no crate");
        }
    }
}

#[test]
fn one_library_alone_knows_the_actors() {
    let users = dependencies().into_iter().filter(|(_, needed)| needed.contains("ractor"));
    let mut names: BTreeSet<String> = users.map(|(name, _)| name).collect();
    // The benchmark starts empty actors, to compare with.
    names.remove("bugle-bench");
    assert_eq!(names, set(["bugle-runtime"]));
}

#[test]
fn the_core_has_no_runtime_and_no_client_however_indirectly() {
    let arguments = ["tree", "--package", "bugle-core", "--edges", "normal", "--prefix", "none"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let found: BTreeSet<&str> =
        tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(found.contains("bugle-core") && found.contains("http"), "{tree}");
    for absent in ["tokio", "hyper", "hyper-util", "ractor", "reqwest", "rustls"] {
        assert!(!found.contains(absent), "bugle-core depends on {absent}");
    }
}

#[test]
fn one_file_alone_knows_the_backoff_library() {
    let imports = [concat!("use ", "backoff"), concat!("backoff", "::")];
    assert_eq!(sources_with(&imports), set(["crates/bugle-core/src/retry.rs"]));
    let users = dependencies().into_iter().filter(|(_, needed)| needed.contains("backoff"));
    assert_eq!(users.map(|(name, _)| name).collect::<BTreeSet<_>>(), set(["bugle-core"]));
}

#[test]
fn a_file_has_one_noun_and_is_short() {
    let mut sources = files("rs");
    sources.retain(|path| {
        let longest = if path.contains("/tests/") { LONGEST_TEST } else { LONGEST_FILE };
        read(path).lines().count() > longest
    });
    assert_eq!(sources, BTreeSet::new(), "these could be two files each");
}

#[test]
fn nothing_is_left_to_be_done() {
    let stubs = [concat!("to", "do!("), concat!("unimple", "mented!(")];
    assert_eq!(sources_with(&stubs), BTreeSet::new());
}

/// A panic that ends the process can't be contained in its emitter.
#[test]
fn panics_unwind_in_every_profile() {
    let manifests = files("toml");
    let beside = ["Cargo.toml", ".cargo/config.toml"].map(str::to_owned);
    for path in manifests.into_iter().chain(beside) {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        let aborts = text.split_whitespace().collect::<String>().contains("panic=\"abort\"");
        assert!(!aborts, "{path} sets panic = \"abort\", which disables supervision");
    }
}

#[test]
fn the_files_that_the_documents_name_exist() {
    let mut documents = vec!["ARCHITECTURE.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    let decisions = files("md").into_iter().filter(|path| path.starts_with("docs/decisions/"));
    documents.extend(decisions);
    assert!(documents.len() > 2, "docs/decisions has the decisions");
    for document in documents {
        let text = read(&document);
        let paths = text.lines().flat_map(quoted).filter(|quoted| {
            ["crates/", "tests/", "examples/", ".ci/", ".github/"]
                .iter()
                .any(|top| quoted.starts_with(top))
        });
        for path in paths.filter(|path| !path.contains(['<', '*', '{'])) {
            assert!(root().join(path).exists(), "{document} names {path}, which does not exist");
        }
    }
}
