//! An emitter as callers see it.

use std::fmt;

use bugle_core::{AttemptCode, Desired, EmitterId, Failure, Incarnation, Sequence, Subscription};
use jiff::Timestamp;
use serde::Serialize;

/// The observed state of an emitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Status {
    /// The store is opening its place in the journal: it is being attached, or is getting another
    /// subscription.
    Opening,
    /// Its actor runs.
    Running,
    /// Its actor was told to end, and finishes what is in flight, if it may.
    Stopping,
    /// It is paused.
    Paused,
    /// It crashed, and its supervisor is about to start it again.
    Restarting,
    /// It crashed more often than its restart budget allows; `restart` brings it back.
    Failed,
    /// Another owner delivers for it: another runtime on the same store, or another machine. It
    /// runs here again when that one has given it up, or after a `restart`, where it can be taken.
    Elsewhere,
}

impl Status {
    /// The status as text, as `running`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Failed => "failed",
            Self::Elsewhere => "elsewhere",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The last thing that went wrong with an emitter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastFailure {
    /// The kind of failure.
    pub code: AttemptCode,
    /// The failure in words.
    pub message: String,
    /// When it happened.
    pub at: Timestamp,
}

impl LastFailure {
    pub(crate) fn new(failure: &Failure, at: Timestamp) -> Self {
        Self { code: failure.code, message: failure.message.clone().into_owned(), at }
    }
}

/// Something keeps an emitter from its work and is not its receiver's fault. It goes on by itself
/// once that is over: no attempt counts meanwhile, and no event is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WaitingFor {
    /// The emitter waits for this.
    pub kind: WaitKind,
    /// The last failure of it, in words.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

impl WaitingFor {
    pub(crate) fn new(kind: WaitKind, message: &str, since: Timestamp) -> Self {
        Self { kind, message: message.to_owned(), since }
    }
}

/// An emitter may wait for one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitKind {
    /// The store can't be read or written.
    Store,
    /// This machine is short of something: descriptors, ports, routes, or a resolver that answers.
    Shortage,
    /// The receiver hands events back without looking at them.
    Receiver,
}

/// One emitter as `describe` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EmitterDescription {
    /// Its id.
    pub id: EmitterId,
    /// Its subscription: the events that it wants.
    pub subscription: Subscription,
    /// Where it delivers; `None` for an in-process handler. Without the query, which may hold a
    /// token.
    pub url: Option<String>,
    /// Its desired state.
    pub desired: Desired,
    /// Its observed state.
    pub status: Status,
    /// Since when it does that.
    pub since: Timestamp,
    /// Why it does that, where there is more to say: what it died of, or what it is stopping for.
    pub reason: Option<String>,
    /// Which of its lives this is.
    pub incarnation: Incarnation,
    /// Counts its starts after a crash, since this process attached it.
    pub restarts_since_start: u64,
    /// Counts the events that wait to be settled, those in flight included, as the store does.
    pub depth: u64,
    /// Counts its dead letters, as the store does.
    pub dead_letters: u64,
    /// Counts the attempts in flight.
    pub in_flight: u32,
    /// Counts the events that it delivered since this process attached it.
    pub delivered_since_start: u64,
    /// Counts the failed attempts since then, but for those that count as none.
    pub failed_attempts_since_start: u64,
    /// Counts the events that it gave up on since then.
    pub dead_lettered_since_start: u64,
    /// Counts the events dropped unsettled since this process opened the store.
    pub dropped_since_start: u64,
    /// Counts its failures in a row; above zero, it is backing off.
    pub failures_in_a_row: u32,
    /// Set while something keeps it from its work that is not its receiver's fault.
    pub waiting_for: Option<WaitingFor>,
    /// The last thing that went wrong, a crash included.
    pub last_failure: Option<LastFailure>,
    /// Everything up to this place is settled.
    pub cursor: Sequence,
}
