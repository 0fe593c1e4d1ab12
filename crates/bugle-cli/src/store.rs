//! A store's directory, as it is named on the command line. A fault in it is told before anything
//! is made in it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bugle::{Repair, SqliteOptions, Store, StoreError};

use crate::error::{CliError, in_words};

/// Opens a store to deliver from it, and makes it where there is none.
pub(crate) fn open(directory: &Path, options: SqliteOptions) -> Result<Store, CliError> {
    if fs::metadata(directory).is_ok_and(|it| !it.is_dir()) {
        return Err(no_directory(directory));
    }
    Store::open_with(directory, options).map_err(|error| unfit(directory, error))
}

/// Opens a store to deliver from it; an error where there is none.
pub(crate) fn open_existing(directory: &Path, options: SqliteOptions) -> Result<Store, CliError> {
    exists(directory)?;
    open(directory, options)
}

/// Opens a store to read it, also while a service has it open.
pub(crate) fn open_to_read(directory: &Path) -> Result<Store, CliError> {
    exists(directory)?;
    Store::open_read_only(directory).map_err(|error| unfit(directory, error))
}

/// Looks a damaged store through, and repairs it where `doing` says so.
pub(crate) fn repair(directory: &Path, doing: bool) -> Result<Repair, CliError> {
    exists(directory)?;
    let repaired = if doing { Store::repair(directory) } else { Store::examine(directory) };
    repaired.map_err(|error| unfit(directory, error))
}

/// Refuses a directory without a store: opening it would make one.
fn exists(directory: &Path) -> Result<(), CliError> {
    let shown = directory.display();
    let none = |why: &str| CliError::Unreadable(format!("there is no store in {shown}{why}"));
    match fs::metadata(directory) {
        Ok(it) if !it.is_dir() => return Err(no_directory(directory)),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(none(": there is no such directory"));
        }
        Err(error) => return Err(none(&format!(": {}", in_words(&error)))),
    }
    let mut files = fs::read_dir(directory)
        .map_err(|error| CliError::unreadable(format_args!("the store in {shown}"), &error))?;
    // One whose database alone is gone is damaged, which the store itself says.
    let is_ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("bugle.");
    if files.any(|file| file.is_ok_and(|file| is_ours(&file.file_name()))) {
        return Ok(());
    }
    Err(none(": the directory has none of a store's files (bugle.db)"))
}

fn no_directory(directory: &Path) -> CliError {
    CliError::Unreadable(format!(
        "{} is a file, and a store is a directory: name the directory",
        directory.display()
    ))
}

/// Words a store's error. A fault of the path is told as of any other file that is named; all else
/// is the store's.
fn unfit(directory: &Path, error: StoreError) -> CliError {
    match error {
        StoreError::NoStore { .. }
        | StoreError::NotADirectory { .. }
        | StoreError::Denied { .. } => CliError::Unreadable(error.to_string()),
        StoreError::Io { path, reason } => {
            let is_there = fs::metadata(directory).is_ok();
            let (directory, path) = (directory.display(), path.display());
            match is_there {
                true => CliError::store(format!(
                    "the store in {directory} can't be used: {path}: {reason}"
                )),
                false => CliError::Unreadable(format!(
                    "no store can be made in {directory}: {reason}; \
                     name a directory that can be made"
                )),
            }
        }
        other => CliError::store(other),
    }
}
