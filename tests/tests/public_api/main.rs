//! The public face of each library crate is written down in `api/`, so that every change of it is
//! seen in review. After a change that is meant: `BLESS=1 cargo test -p bugle-tests --test public_api`.

mod crate_source;
mod signature;
mod surface;

use std::fs;
use std::path::{Path, PathBuf};

fn tests_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn surface_of(name: &str) -> String {
    let crate_dir = tests_dir().join("../crates").join(name);
    surface::surface(&crate_source::read(&crate_dir))
}

fn check(name: &str) {
    let now = surface_of(name);
    assert!(!now.contains("ractor"), "{name}: no type of ractor stands in a public signature");

    let file: PathBuf = tests_dir().join("api").join(format!("{name}.txt"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, &now).unwrap();
        return;
    }
    let then = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        now == then,
        "the public API of {name} is not what tests/api/{name}.txt says:\n{}\nIf that is meant, \
         run `BLESS=1 cargo test -p bugle-tests --test public_api`, commit the file, and tell it \
         in CHANGELOG.md.",
        difference(&then, &now)
    );
}

/// The lines between the first and the last that differ.
fn difference(then: &str, now: &str) -> String {
    let (then, now): (Vec<_>, Vec<_>) = (then.lines().collect(), now.lines().collect());
    let same = |a: &mut dyn Iterator<Item = (&&str, &&str)>| a.take_while(|(a, b)| a == b).count();
    let head = same(&mut then.iter().zip(&now));
    let most = then.len().min(now.len()) - head;
    let tail = same(&mut then.iter().rev().zip(now.iter().rev()).take(most));
    let removed = then[head..then.len() - tail].iter().map(|line| format!("- {line}\n"));
    let added = now[head..now.len() - tail].iter().map(|line| format!("+ {line}\n"));
    removed.chain(added).collect()
}

macro_rules! snapshots {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                check($name);
            }
        )*
    };
}

snapshots! {
    bugle: "bugle",
    bugle_core: "bugle-core",
    bugle_http: "bugle-http",
    bugle_runtime: "bugle-runtime",
    bugle_store: "bugle-store",
    bugle_testkit: "bugle-testkit",
}

#[test]
fn what_is_private_is_left_out_and_what_is_exported_is_found() {
    let root = tests_dir().join("tests/public_api/sample");
    let expected = fs::read_to_string(root.join("expected.txt")).unwrap();
    let found = surface::surface(&crate_source::read(&root));
    assert_eq!(found, expected, "\n{}", difference(&expected, &found));
}

#[test]
fn a_difference_shows_the_changed_lines_alone() {
    assert_eq!(difference("a\nb\nc\n", "a\nx\ny\nc\n"), "- b\n+ x\n+ y\n");
    assert_eq!(difference("a\na\n", "a\n"), "- a\n");
    assert_eq!(difference("", "a\n"), "+ a\n");
}
