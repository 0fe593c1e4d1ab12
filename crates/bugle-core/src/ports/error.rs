//! Errors of a store, each of a kind: what follows one is decided by its kind alone.

/// The kind of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It failed this time, and nothing was changed: the same may work a little later.
    Transient,
    /// It will fail again, however often it is tried: the store is damaged, or closed.
    Permanent,
    /// Another owner has the emitter. Nothing was changed, and nothing of this one will be.
    Fenced,
    /// The store can do it, and does not: it is not allowed, or makes no sense there.
    Refused,
    /// There is no room.
    Full,
    /// The store can't be reached. Nobody knows whether it was done: it is to be asked again for
    /// the same, under the same id.
    Unavailable,
}

/// Why a store could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct JournalError {
    /// The kind of the error: what to do about it follows from it.
    pub kind: ErrorKind,
    /// Says what failed, and what to do about it.
    pub message: String,
}

impl JournalError {
    /// Makes an error of a kind that says what failed, and what to do about it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// A name for the kind of error that stays the same from version to version: `ownedElsewhere`,
    /// `storeUnavailable`, `storeRefused`, or `storeFailed` for all others.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::Fenced => "ownedElsewhere",
            ErrorKind::Unavailable => "storeUnavailable",
            ErrorKind::Refused => "storeRefused",
            ErrorKind::Transient | ErrorKind::Permanent | ErrorKind::Full => "storeFailed",
        }
    }
}
