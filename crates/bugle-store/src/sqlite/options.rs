//! The settings of the store on disk.

use std::time::Duration;

use bugle_core::{AttemptLogPolicy, Overflow};

/// 30 days.
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What a store on disk waits for before it says that something is safe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// An accepted event is on the disk: it survives a power cut. The default.
    ///
    /// What was settled is written at once, so it survives the end of the process, and is synced
    /// with the next event, or a tenth of a second later. A power cut may therefore repeat the
    /// deliveries of that last moment; it loses none.
    ///
    /// When a sync fails, nothing more is accepted until the store is opened again: no later sync
    /// would say whether it is safe. Deliveries go on.
    #[default]
    Fsync,
    /// An accepted event is with the operating system: it survives the end of the process, also by
    /// `kill -9`, but a power cut may lose the events of the last moments. No order is lost.
    Os,
}

/// The settings of a store on disk. Each has a default, and reaching a limit shows in
/// [`JournalStats`](bugle_core::JournalStats).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct SqliteOptions {
    /// Default: [`Durability::Fsync`].
    pub(crate) durability: Durability,
    /// Default: 10,000,000.
    pub(crate) max_events_per_subscription: usize,
    /// Default: 64 GiB.
    pub(crate) max_bytes: u64,
    /// Default: [`Overflow::Block`].
    pub(crate) overflow: Overflow,
    /// Default: none.
    pub(crate) max_file_bytes: Option<u64>,
    /// Default: 64 MiB.
    pub(crate) segment_bytes: u64,
    /// Default: 64 MiB.
    pub(crate) cached_bytes: u64,
    /// Default: 100,000.
    pub(crate) settled_events: u64,
    /// Default: 30 days.
    pub(crate) settled_for: Duration,
    /// Default: as long as it takes.
    pub(crate) undelivered_for: Option<Duration>,
    /// Default: 100,000.
    pub(crate) dead_letters: usize,
    /// Default: none.
    pub(crate) dead_letters_for: Option<Duration>,
    /// Default: 1,000,000.
    pub(crate) attempts: u64,
    /// Default: 30 days.
    pub(crate) attempts_for: Duration,
    /// Default: [`AttemptLogPolicy::Failures`].
    pub(crate) attempt_policy: AttemptLogPolicy,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            max_events_per_subscription: 10_000_000,
            max_bytes: 64 << 30,
            overflow: Overflow::Block,
            max_file_bytes: None,
            segment_bytes: 64 << 20,
            cached_bytes: 64 << 20,
            settled_events: 100_000,
            settled_for: MONTH,
            undelivered_for: None,
            dead_letters: 100_000,
            dead_letters_for: None,
            attempts: 1_000_000,
            attempts_for: MONTH,
            attempt_policy: AttemptLogPolicy::Failures,
        }
    }
}

impl SqliteOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What an accepted event survives. Default [`Durability::Fsync`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many events may wait for the slowest emitter of one subscription. Default 10,000,000; at
    /// least 1. Each that waits takes about 65 bytes of memory.
    pub fn max_events_per_subscription(mut self, events: usize) -> Self {
        self.max_events_per_subscription = events.max(1);
        self
    }

    /// How many bytes of events may wait, whoever they wait for. Default 64 GiB. An event counts
    /// once however many emitters want it, with its payload and 320 bytes for what is kept around
    /// it. A payload that is larger than all of this is refused with
    /// [`AppendError::TooLarge`](bugle_core::AppendError::TooLarge).
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// What `emit` does at one of these two limits. Default [`Overflow::Block`]. Whatever is
    /// chosen, what waits only for emitters that do not read (paused ones, failed ones, and those
    /// of an earlier run that were not attached again) makes room first, the oldest of it before
    /// the rest, and is counted as dropped.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How many bytes the segments of events and the database may take together. Default: as many
    /// as their disk has. At the limit an append fails as it does on a full disk, until something
    /// was settled and deleted. SQLite's log (`bugle.db-wal`) takes some 8 MiB more.
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = Some(bytes);
        self
    }

    /// How large a segment of the log is: a file of events, which is deleted as a whole. Default
    /// 64 MiB, at least 1 MiB. The first ones are smaller, and so are those for which there is no
    /// room; one that a larger event needs is larger.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// How many bytes of payload are kept in memory, so that recent events are delivered without
    /// being read back. Default 64 MiB.
    pub fn cached_bytes(mut self, bytes: u64) -> Self {
        self.cached_bytes = bytes.min(u64::MAX - 1);
        self
    }

    /// How many of the newest events stay on disk though nobody waits for them. Default 100,000.
    /// Older ones are deleted in the background, with the whole segment that they are in; what
    /// waits is never deleted.
    pub fn settled_events(mut self, events: u64) -> Self {
        self.settled_events = events;
        self
    }

    /// How long an event stays on disk though nobody waits for it. Default 30 days. It goes with
    /// the whole segment that it is in, which covers a quarter of that time at the most, so it may
    /// stay as much longer.
    pub fn settled_for(mut self, age: Duration) -> Self {
        self.settled_for = age;
        self
    }

    /// How long an event may wait. Default: until it is settled, however long that takes. One that
    /// has waited longer is dropped at every emitter that still waits for it; each counts it as
    /// dropped, and [`JournalStats::expired`](bugle_core::JournalStats::expired) counts them all.
    /// The runtime tells of each. A replay has waited since it was queued, however old its event
    /// is.
    pub fn undelivered_for(mut self, age: Duration) -> Self {
        self.undelivered_for = Some(age);
        self
    }

    /// How many dead letters are kept; a further one pushes out the oldest. Default 100,000.
    pub fn dead_letters(mut self, letters: usize) -> Self {
        self.dead_letters = letters;
        self
    }

    /// How long a dead letter is kept. Default: however long it takes until someone looks into it,
    /// since nothing else is left of its event; only their number has a limit. It is looked at
    /// once a minute.
    pub fn dead_letters_for(mut self, age: Duration) -> Self {
        self.dead_letters_for = Some(age);
        self
    }

    /// How many of the newest attempts the log keeps. Default 1,000,000; the very newest stays in
    /// any case. Older ones are deleted in the background, some hundred at a time.
    pub fn attempts(mut self, attempts: u64) -> Self {
        self.attempts = attempts;
        self
    }

    /// How long the log keeps an attempt. Default 30 days.
    pub fn attempts_for(mut self, age: Duration) -> Self {
        self.attempts_for = age;
        self
    }

    /// Which attempts the log keeps. Default [`AttemptLogPolicy::Failures`].
    pub fn attempt_policy(mut self, policy: AttemptLogPolicy) -> Self {
        self.attempt_policy = policy;
        self
    }
}
