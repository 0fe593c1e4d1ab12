//! What follows a sync that failed, and files that were deleted under a running service.
//!
//! After a failed sync the operating system takes what it could not write for written, and the next
//! sync succeeds without it. So neither trying again nor a later sync proves anything: the file may
//! have a hole, and after a power cut it would end there, with all that was accepted since behind
//! it. From then on nothing is accepted, until the store is opened again: that reads the end of the
//! log, and SQLite's own log, checksum by checksum, and writes what is good anew before anything is
//! added. What was accepted before is safe, so deliveries go on; their settling is written, not
//! synced. Where the files themselves were deleted or replaced nothing is accepted either.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rusqlite::ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC};

use crate::log::SegmentError;
use crate::sqlite::error::Trouble;

/// Whether a sync has failed, or a file is gone; the same for all who write to the store.
#[derive(Debug, Clone)]
pub(crate) struct Poison {
    file: PathBuf,
    why: Arc<OnceLock<Trouble>>,
}

impl Poison {
    /// All is well so far.
    pub(crate) fn none(file: &Path) -> Self {
        Self { file: file.to_owned(), why: Arc::default() }
    }

    /// Something failed: was it a sync?
    pub(crate) fn look_at(&self, error: &rusqlite::Error) {
        let code = error.sqlite_error().map(|error| error.extended_code);
        if matches!(code, Some(SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC)) {
            let _ = self.why.set(Trouble::unsynced(&self.file, error));
        }
    }

    /// The log could not be synced.
    pub(crate) fn unsynced(&self, error: &SegmentError) {
        let trouble = match error {
            SegmentError::Io { path, error } => Trouble::unsynced(path, error),
            SegmentError::Full { path } => Trouble::unsynced(path, &"no space is left"),
            error => Trouble::unsynced(&self.file, error),
        };
        let _ = self.why.set(trouble);
    }

    /// A file of the store is not where it was any more.
    pub(crate) fn lost(&self, file: &Path) {
        let _ = self.why.set(Trouble::lost(file));
    }

    /// Why nothing more is accepted.
    pub(crate) fn why(&self) -> Option<&Trouble> {
        self.why.get()
    }
}
