//! A store's directory, as it is named on the command line: what is wrong with it is said before
//! anything is made in it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bugle::{SqliteOptions, Store, StoreError};

use crate::error::{CliError, in_words, without_number};

/// Opens a store to deliver from it. It is made where there is none.
pub(crate) fn open(directory: &Path, options: SqliteOptions) -> Result<Store, CliError> {
    if fs::metadata(directory).is_ok_and(|it| !it.is_dir()) {
        return Err(no_directory(directory));
    }
    Store::open_with(directory, options).map_err(|error| unfit(directory, error))
}

/// Opens a store that is there, to deliver from it.
pub(crate) fn open_existing(directory: &Path, options: SqliteOptions) -> Result<Store, CliError> {
    exists(directory)?;
    open(directory, options)
}

/// Opens a store beside whoever has it open.
pub(crate) fn open_to_read(directory: &Path) -> Result<Store, CliError> {
    exists(directory)?;
    Store::open_read_only(directory).map_err(|error| unfit(directory, error))
}

/// Says so where there is no store: opening one would make it.
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

fn unfit(directory: &Path, error: StoreError) -> CliError {
    let StoreError::Io { path, reason } = &error else { return CliError::store(error) };
    let reason = without_number(reason);
    let (directory, path) = (directory.display(), path.display());
    // Permission, and what a path leads through, are said as for any other file that is named.
    let refused = [
        ("ermission denied", "you are not permitted to; see who owns it (ls -ld)"),
        ("unable to open database file", "its database can't be opened; see who owns it (ls -l)"),
        ("Not a directory", "what its path leads through is no directory"),
        ("Read-only file system", "it is on a file system that can only be read"),
        ("readonly database", "it can only be read; see who owns it (ls -l)"),
        ("No such file or directory", "no directory can be made there"),
    ];
    match refused.iter().find(|(said, _)| reason.contains(said)) {
        Some((_, why)) => {
            CliError::Unreadable(format!("the store in {directory} can't be used: {path}: {why}"))
        }
        None => {
            CliError::store(format!("the store in {directory} can't be used: {path}: {reason}"))
        }
    }
}
