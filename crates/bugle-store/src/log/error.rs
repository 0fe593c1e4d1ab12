//! What goes wrong with segments.

use std::io;
use std::path::{Path, PathBuf};

/// Why the log could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SegmentError {
    /// There is no space, or no more is allowed.
    #[error("no space is left for {}", path.display())]
    Full {
        /// The file, or the directory.
        path: PathBuf,
    },
    /// The operating system refused something.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file, or the directory.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
    /// A file is not as it was written, or not of this store.
    #[error("{} is damaged ({reason})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found, in words.
        reason: String,
    },
    /// Something is gone that callers were told is safe.
    #[error("{} lacks what was confirmed to be safe: {missing}", path.display())]
    Lost {
        /// The file, or the directory.
        path: PathBuf,
        /// What is missing, in words.
        missing: String,
    },
    /// A newer version has written it.
    #[error("{} has version {found}, and versions up to {known} are known", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version that it has.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// More than fits was to be appended at once.
    #[error("what is appended at once has at most {} bytes", u32::MAX)]
    TooLarge,
    /// A sync failed before, so nothing can be added.
    #[error("{} could not be synced, so nothing more is written", path.display())]
    Poisoned {
        /// The file.
        path: PathBuf,
    },
}

impl SegmentError {
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::Full { path },
            _ => Self::Io { path, error },
        }
    }

    pub(super) fn damaged(path: &Path, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.into() }
    }

    pub(super) fn lost(path: &Path, missing: impl Into<String>) -> Self {
        Self::Lost { path: path.to_owned(), missing: missing.into() }
    }

    /// Whether another try may succeed once there is space.
    #[cfg(test)]
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Whether a file is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Io { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether a file is not as it was written.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Lost { .. })
    }
}
