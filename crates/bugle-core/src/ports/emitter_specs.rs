//! The port to the part of an emitter that outlives its process beside its place: its
//! configuration, and whether it is meant to run.

use std::fmt;

use super::error::{ErrorKind, JournalError};
use crate::{Answer, EmitterId, EmitterSpec};

/// The specs of emitters that deliver over HTTP, kept beside their places in the journal of the
/// same store.
///
/// A change is in the hands of the store when the call returns, without an await, and the last call
/// about an emitter stands. The answer comes when that is as safe as an accepted event. When it is
/// an error, the store tries again by itself as soon as it can.
///
/// [`Journal::forget`](crate::Journal::forget) removes an emitter's spec too: in the same step
/// where the store has [joint transactions](crate::Capabilities::joint_transactions).
pub trait EmitterSpecs: Send + Sync + fmt::Debug + 'static {
    /// Reads all specs, sorted by id.
    ///
    /// # Errors
    /// [`SpecError`] when the store can't read one of them; it says which.
    fn all(&self) -> Answer<'static, Result<Vec<EmitterSpec>, SpecError>>;

    /// Keeps a spec, in the place of the one that this emitter had.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't.
    fn put(&self, spec: EmitterSpec) -> Answer<'static, Result<(), JournalError>>;

    /// Removes a spec, and nothing else of the emitter. Removing an unknown one does nothing.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't.
    fn remove(&self, id: &EmitterId) -> Answer<'static, Result<(), JournalError>>;
}

/// The reason why specs could not be read. It never repeats their contents, which have keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// One of them can't be read.
    #[error("the spec of emitter {emitter:?} can't be read: {reason}")]
    Unreadable {
        /// The emitter whose spec it is.
        emitter: String,
        /// Says what is wrong with it, and what to do about it.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] JournalError),
}

impl SpecError {
    /// The kind of the error: what follows from it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreadable { .. } => ErrorKind::Permanent,
            Self::Store(error) => error.kind,
        }
    }

    /// A name for the kind of error that stays the same from version to version, as
    /// `specUnreadable`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "specUnreadable",
            Self::Store(error) => error.code(),
        }
    }
}
