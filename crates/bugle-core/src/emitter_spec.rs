//! The port to the part of an emitter that outlives its process beside its place: its
//! configuration, and whether it is meant to run.
//!
//! Every implementation runs the conformance suite of `bugle-testkit`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Answer, Backlog, EmitterConfig, EmitterId, JournalError, Subscription};

/// The state that an emitter is meant to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Desired {
    /// The emitter should run.
    Running,
    /// The emitter was paused.
    Paused,
}

/// The settings that are needed to attach an emitter as it was.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmitterSpec {
    /// The emitter's id.
    pub id: EmitterId,
    /// The names and patterns of the events that it wants.
    pub subscription: Subscription,
    /// The way it delivers, with the keys that it signs with.
    pub config: Arc<EmitterConfig>,
    /// The state that it is meant to be in.
    pub desired: Desired,
    /// The treatment of its backlog while it is paused.
    pub backlog: Backlog,
}

impl EmitterSpec {
    /// Makes the spec of an emitter that is meant to run.
    pub fn new(
        id: EmitterId,
        subscription: Subscription,
        config: impl Into<Arc<EmitterConfig>>,
    ) -> Self {
        Self {
            id,
            subscription,
            config: config.into(),
            desired: Desired::Running,
            backlog: Backlog::Keep,
        }
    }

    /// Makes it the spec of an emitter that is paused.
    #[must_use]
    pub fn paused(mut self, backlog: Backlog) -> Self {
        self.desired = Desired::Paused;
        self.backlog = backlog;
        self
    }
}

/// The specs of emitters that deliver over HTTP, kept beside their places in the journal of the
/// same store.
///
/// A change is in the hands of the store when the call returns, without an await, and the last call
/// about an emitter stands. The answer comes when that is as safe as an accepted event. When it is
/// an error, the store tries again by itself as soon as it can.
///
/// [`Journal::forget`](crate::Journal::forget) removes an emitter's spec too, in the same step.
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
    /// A name for the kind of error that stays the same from version to version, as
    /// `specUnreadable`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "specUnreadable",
            Self::Store(error) => error.code(),
        }
    }
}
