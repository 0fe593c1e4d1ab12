//! The report of a shutdown.

use bugle_core::{EmitterId, JournalError};

/// A report of all that was left when a runtime had shut down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Each emitter, in the order of ids.
    pub emitters: Vec<EmitterLeft>,
    /// Set when the store could not make everything safe at the end.
    pub flush_error: Option<JournalError>,
}

/// The part of one emitter in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmitterLeft {
    /// The emitter.
    pub id: EmitterId,
    /// Counts the events that it had not settled. A durable store keeps them for the next start;
    /// with the memory store they are lost.
    pub pending: u64,
    /// Counts the attempts aborted because they did not finish within the grace time. Their
    /// events are among the pending ones.
    pub aborted: u32,
}

impl ShutdownReport {
    pub(crate) fn new(emitters: Vec<EmitterLeft>) -> Self {
        Self { emitters, flush_error: None }
    }

    /// Counts the unsettled events, over all emitters.
    pub fn pending(&self) -> u64 {
        self.emitters.iter().map(|left| left.pending).sum()
    }

    /// Counts the aborted attempts, over all emitters.
    pub fn aborted(&self) -> u64 {
        self.emitters.iter().map(|left| u64::from(left.aborted)).sum()
    }

    /// Says whether everything was settled and is safe.
    pub fn is_clean(&self) -> bool {
        self.pending() == 0 && self.aborted() == 0 && self.flush_error.is_none()
    }
}

impl EmitterLeft {
    pub(crate) fn new(id: EmitterId, pending: u64, aborted: u32) -> Self {
        Self { id, pending, aborted }
    }
}
