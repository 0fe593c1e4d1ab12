//! Compares the public API of each library crate with its snapshot in `api/`, so that every change
//! of it is seen in review. After an intended change:
//! `BLESS=1 cargo test -p bugle-tests --test public_api`.

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

/// The lines that went and those that came, each under the section where it stands.
fn difference(then: &str, now: &str) -> String {
    let (then, now): (Vec<_>, Vec<_>) = (then.lines().collect(), now.lines().collect());
    // The length of the longest common sequence of lines of the rests from there.
    let mut common = vec![vec![0_usize; now.len() + 1]; then.len() + 1];
    for old in (0..then.len()).rev() {
        for new in (0..now.len()).rev() {
            common[old][new] = match then[old] == now[new] {
                true => common[old + 1][new + 1] + 1,
                false => common[old + 1][new].max(common[old][new + 1]),
            };
        }
    }
    let (mut old, mut new, mut text, mut section) = (0, 0, String::new(), "");
    while old < then.len() || new < now.len() {
        if old < then.len() && new < now.len() && then[old] == now[new] {
            section = if then[old].starts_with("// crate::") { then[old] } else { section };
            (old, new) = (old + 1, new + 1);
            continue;
        }
        if !section.is_empty() {
            text.push_str(&format!("  {}\n", std::mem::take(&mut section)));
        }
        if new == now.len() || (old < then.len() && common[old + 1][new] >= common[old][new + 1]) {
            text.push_str(&format!("- {}\n", then[old]));
            old += 1;
        } else {
            text.push_str(&format!("+ {}\n", now[new]));
            new += 1;
        }
    }
    text
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
    bugle_events: "bugle-events",
    bugle_http: "bugle-http",
    bugle_runtime: "bugle-runtime",
    bugle_store: "bugle-store",
    bugle_postgres: "bugle-postgres",
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
    assert_eq!(difference("// crate::A\na\nb\n", "// crate::A\nb\n"), "  // crate::A\n- a\n");
}
