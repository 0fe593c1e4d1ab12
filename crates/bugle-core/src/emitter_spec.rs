//! The port to what outlives the process of an emitter beside its place: how it is configured, and
//! whether it is meant to run.
//!
//! Every implementation runs the conformance suite of `bugle-testkit`.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Answer, Backlog, EmitterConfig, EmitterId, JournalError, Subscription};

/// What an emitter is meant to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Desired {
    /// It should run.
    Running,
    /// It was paused.
    Paused,
}

/// All that is needed to attach an emitter as it was.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmitterSpec {
    /// Its id.
    pub id: EmitterId,
    /// What it wants.
    pub subscription: Subscription,
    /// How it delivers, with the keys that it signs with.
    pub config: Arc<EmitterConfig>,
    /// Whether it is meant to run.
    pub desired: Desired,
    /// What becomes of its backlog while it is paused.
    pub backlog: Backlog,
}

impl EmitterSpec {
    /// The spec of an emitter that is meant to run.
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

    /// The same of one that is paused.
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
/// What is asked for is in the hands of the store when the call returns, without an await, and the
/// last call about an emitter is what stands. The answer comes when that is as safe as an accepted
/// event. When it is an error, the store tries again by itself as soon as it can.
///
/// [`Journal::forget`](crate::Journal::forget) removes an emitter's spec too, in the same step.
pub trait EmitterSpecs: Send + Sync + fmt::Debug + 'static {
    /// All specs, sorted by id.
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

/// Why specs could not be read. It never repeats what stands in them: keys do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// One of them can't be read.
    #[error("the spec of emitter {emitter:?} can't be read: {reason}")]
    Unreadable {
        /// Whose spec it is.
        emitter: String,
        /// What is wrong with it and what to do about it.
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
