//! The memory store's limits.

use bugle_core::{AttemptLogPolicy, Overflow};

/// The limits of a memory store. Each has a default, and reaching one shows in
/// [`JournalStats`](bugle_core::JournalStats).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct MemoryOptions {
    /// Default: 100,000.
    pub(super) max_events_per_subscription: usize,
    /// Default: 256 MiB.
    pub(super) max_bytes: u64,
    /// Default: [`Overflow::Block`].
    pub(super) overflow: Overflow,
    /// Default: 10,000.
    pub(super) dead_letters: usize,
    /// Default: 64 MiB.
    pub(super) dead_letter_bytes: usize,
    /// Default: 1,000.
    pub(super) settled_events: usize,
    /// Default: 4 MiB.
    pub(super) settled_bytes: u64,
    /// Default: 100,000.
    pub(super) attempts: usize,
    /// Default: 64 MiB.
    pub(super) attempt_bytes: usize,
    /// Default: [`AttemptLogPolicy::Failures`].
    pub(super) attempt_policy: AttemptLogPolicy,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            max_events_per_subscription: 100_000,
            max_bytes: 256 << 20,
            overflow: Overflow::Block,
            dead_letters: 10_000,
            dead_letter_bytes: 64 << 20,
            settled_events: 1_000,
            settled_bytes: 4 << 20,
            attempts: 100_000,
            attempt_bytes: 64 << 20,
            attempt_policy: AttemptLogPolicy::Failures,
        }
    }
}

impl MemoryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many events may wait for the slowest emitter of one subscription. Default 100,000; at
    /// least 1. Emitters with equal subscriptions share this room, since they share the events.
    pub fn max_events_per_subscription(mut self, events: usize) -> Self {
        self.max_events_per_subscription = events.max(1);
        self
    }

    /// How many bytes of events the journal may hold, whoever they wait for. Default 256 MiB. An
    /// event counts once however many emitters want it, with its payload and 320 bytes for what is
    /// kept around it. A payload that is larger than all of this is refused with
    /// [`AppendError::TooLarge`](bugle_core::AppendError::TooLarge).
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// What `emit` does at one of these two limits. Default [`Overflow::Block`]. Whatever is
    /// chosen, what waits only for emitters that do not read (paused ones that keep their backlog,
    /// and failed ones) makes room first, the oldest of it before the rest.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How many dead letters are kept; a further one pushes out the oldest. Default 10,000.
    pub fn dead_letters(mut self, letters: usize) -> Self {
        self.dead_letters = letters;
        self
    }

    /// How many bytes of payload the dead letters may keep beside what waits; a further one pushes
    /// out the oldest. Default 64 MiB. A payload counts once for each letter that it stands in.
    pub fn dead_letter_bytes(mut self, bytes: usize) -> Self {
        self.dead_letter_bytes = bytes;
        self
    }

    /// How many of the events that were settled last stay in the event log. Default 1,000. An event
    /// that waits, or is a dead letter, is in the log in any case.
    pub fn settled_events(mut self, events: usize) -> Self {
        self.settled_events = events;
        self
    }

    /// How many bytes of payload these may have; a further one pushes out the one that was settled
    /// first. Default 4 MiB.
    pub fn settled_bytes(mut self, bytes: u64) -> Self {
        self.settled_bytes = bytes;
        self
    }

    /// How many attempts the log keeps; a further one pushes out the oldest. Default 100,000.
    pub fn attempts(mut self, attempts: usize) -> Self {
        self.attempts = attempts;
        self
    }

    /// How many bytes of attempts the log keeps, counting their texts and bodies; a further one
    /// pushes out the oldest. Default 64 MiB.
    pub fn attempt_bytes(mut self, bytes: usize) -> Self {
        self.attempt_bytes = bytes;
        self
    }

    /// Which attempts the log keeps. Default [`AttemptLogPolicy::Failures`].
    pub fn attempt_policy(mut self, policy: AttemptLogPolicy) -> Self {
        self.attempt_policy = policy;
        self
    }
}
