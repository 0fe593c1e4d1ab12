//! The store's directory, which one store at a time has open.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::error::StoreError;

/// A directory that is ours until this is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(super) struct Directory {
    /// The database file.
    pub(super) file: PathBuf,
    /// Holds the lock. It is a file of its own: SQLite keeps its own locks on the others.
    _lock: File,
}

impl Directory {
    /// Makes the directory if there is none, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(path).map_err(|error| StoreError::io(path, &error))?;
        let name = path.join("bugle.lock");
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&name);
        let lock = open.map_err(|error| StoreError::io(&name, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { file: path.join("bugle.db"), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { directory: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(StoreError::io(&name, &error)),
        }
    }
}
