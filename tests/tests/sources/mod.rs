//! The files of the project, for tests that read them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file of the project with this extension, by its path from the root.
pub(crate) fn files(extension: &str) -> BTreeSet<String> {
    fn walk(root: &Path, dir: &Path, extension: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                walk(root, &path, extension, found);
            } else if path.extension().is_some_and(|own| own == extension) {
                found.insert(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    for dir in ["crates", "docs", "examples", "tests"] {
        walk(&root(), &root().join(dir), extension, &mut found);
    }
    found
}
