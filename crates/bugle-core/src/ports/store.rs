//! One store, which yields all ports to what is kept.

use std::fmt;
use std::sync::Arc;

use super::attempt_log::AttemptLog;
use super::dead_letters::DeadLetters;
use super::emitter_specs::EmitterSpecs;
use super::error::JournalError;
use super::event_log::EventLog;
use super::journal::{Journal, JournalStats, Overflow};
use super::positions::Positions;
use super::reader::Backlog;

/// Everything that one runtime keeps, or several that share it. Its ports are of one store: what
/// one of them changes, the others see.
///
/// A store says what it can't do: by [`Capabilities`], and by having no event log or no specs.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// Its capabilities and its defaults.
    fn info(&self) -> StoreInfo;

    /// The accepted events, and each emitter's place in them.
    fn journal(&self) -> Arc<dyn Journal>;

    /// The events that emitters gave up on.
    fn dead_letters(&self) -> Arc<dyn DeadLetters>;

    /// The position of each source.
    fn positions(&self) -> Arc<dyn Positions>;

    /// The record of attempts.
    fn attempts(&self) -> Arc<dyn AttemptLog>;

    /// The record of events; `None` where the store keeps none.
    fn events(&self) -> Option<Arc<dyn EventLog>>;

    /// The specs of emitters, which outlive the process; `None` where nothing does.
    fn specs(&self) -> Option<Arc<dyn EmitterSpecs>>;

    /// The counts of the journal, as far as this process knows: what it holds and has done.
    fn stats(&self) -> JournalStats;

    /// The reason why nothing is accepted any more, until the store is opened again: a sync failed,
    /// or the files were deleted under the running service. Default: all is well.
    fn trouble(&self) -> Option<JournalError> {
        None
    }
}

/// The capabilities and the defaults of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The things that it can do, and that not every store can.
    pub capabilities: Capabilities,
    /// The treatment of a paused emitter's backlog unless the caller chooses.
    pub default_backlog: Backlog,
    /// The behaviour of an append when the journal is full.
    pub overflow: Overflow,
}

impl StoreInfo {
    /// A store that can do all that a store can.
    pub fn new(default_backlog: Backlog, overflow: Overflow) -> Self {
        Self { capabilities: Capabilities::all(), default_backlog, overflow }
    }

    /// Says what it can't do.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }
}

/// The things that a store may or may not be able to do. The conformance suite tries each that is
/// claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Counts and cursors are those of this very moment, and not of a little while ago.
    pub exact_counts: bool,
    /// Changes to several ports are made in one step: an emitter's place goes with its spec.
    pub joint_transactions: bool,
    /// An append whose caller stops waiting is taken back: nobody reads it. Otherwise it may have
    /// been appended.
    pub takes_back: bool,
}

impl Capabilities {
    /// All of them: what a store in this process can do.
    pub const fn all() -> Self {
        Self { exact_counts: true, joint_transactions: true, takes_back: true }
    }

    /// None of them.
    pub const fn none() -> Self {
        Self { exact_counts: false, joint_transactions: false, takes_back: false }
    }
}
