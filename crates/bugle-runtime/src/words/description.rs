//! An emitter as callers see it.

use std::fmt;

use bugle_core::{AttemptCode, Desired, EmitterId, Failure, Incarnation, Sequence, Subscription};
use jiff::Timestamp;
use serde::Serialize;

/// What an emitter is observed to do.
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

/// What keeps an emitter from its work and is not its receiver's fault. It goes on by itself once
/// that is over: no attempt counts meanwhile, and no event is given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WaitingFor {
    /// What it waits for.
    pub kind: WaitKind,
    /// What failed the last time, in words.
    pub message: String,
    /// Since when.
    pub since: Timestamp,
}

impl WaitingFor {
    pub(crate) fn new(kind: WaitKind, message: &str, since: Timestamp) -> Self {
        Self { kind, message: message.to_owned(), since }
    }
}

/// What an emitter may wait for.
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
    /// What it wants.
    pub subscription: Subscription,
    /// Where it delivers; `None` for an in-process handler. Without the query, which may hold a
    /// token.
    pub url: Option<String>,
    /// What it is meant to do.
    pub desired: Desired,
    /// What it is observed to do.
    pub status: Status,
    /// Since when it does that.
    pub since: Timestamp,
    /// Why it does that, where there is more to say: what it died of, or what it is stopping for.
    pub reason: Option<String>,
    /// Which of its lives this is.
    pub incarnation: Incarnation,
    /// How many times it was started again after a crash, since this process attached it.
    pub restarts_since_start: u64,
    /// How many events wait to be settled, those in flight included: what the store says.
    pub depth: u64,
    /// How many dead letters of it are kept: what the store says.
    pub dead_letters: u64,
    /// How many attempts are in flight.
    pub in_flight: u32,
    /// How many events it delivered since this process attached it.
    pub delivered_since_start: u64,
    /// How many attempts that count failed since then.
    pub failed_attempts_since_start: u64,
    /// How many events it gave up on since then.
    pub dead_lettered_since_start: u64,
    /// How many events were dropped unsettled since this process opened the store.
    pub dropped_since_start: u64,
    /// How many failures in a row it has seen; above zero, it is backing off.
    pub failures_in_a_row: u32,
    /// What keeps it from its work, if that is not its receiver's fault.
    pub waiting_for: Option<WaitingFor>,
    /// The last thing that went wrong, a crash included.
    pub last_failure: Option<LastFailure>,
    /// Everything up to this place is settled.
    pub cursor: Sequence,
}
