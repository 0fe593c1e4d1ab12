//! The events of a runtime, typed: tests wait on them, a dashboard shows them.

use std::time::Duration;

use bugle_core::{AttemptCode, EmitterId, EventName, Fate, Incarnation, RequestId, Sequence};
use serde::Serialize;

/// Something that happened in a runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RuntimeEvent {
    /// An emitter was attached.
    Attached {
        /// The emitter.
        emitter: EmitterId,
    },
    /// An emitter's actor started: after an attach, a restart, or a crash.
    Started {
        /// The emitter.
        emitter: EmitterId,
        /// Which of its lives begins.
        incarnation: Incarnation,
    },
    /// An emitter was restarted by hand: told before its actor starts.
    Restarted {
        /// The emitter.
        emitter: EmitterId,
    },
    /// An emitter was paused.
    Paused {
        /// The emitter.
        emitter: EmitterId,
    },
    /// An emitter was detached.
    Detached {
        /// The emitter.
        emitter: EmitterId,
    },
    /// An emitter's receiver answered 410, and it was paused or detached for it.
    Gone {
        /// The emitter.
        emitter: EmitterId,
    },
    /// An emitter crashed and will be restarted.
    Crashed {
        /// The emitter.
        emitter: EmitterId,
        /// The life that ended.
        incarnation: Incarnation,
        /// It died of this.
        reason: String,
        /// When its next life begins, from now.
        restart_in: Duration,
    },
    /// An emitter crashed too often and stays down until it is restarted by hand.
    Failed {
        /// The emitter.
        emitter: EmitterId,
        /// It died of this, the last time.
        reason: String,
    },
    /// Another owner has an emitter: another runtime on the same store, or another machine. It is
    /// no crash. When the emitter is had back, its actor starts.
    OwnedElsewhere {
        /// The emitter.
        emitter: EmitterId,
        /// The store's words for it.
        reason: String,
    },
    /// An emitter's receiver fails: told with the first failure of a row, of any event.
    Failing {
        /// The emitter.
        emitter: EmitterId,
        /// The kind of that failure.
        code: AttemptCode,
        /// The failure in words.
        message: String,
    },
    /// The receiver is well again: an event was delivered, and nothing that failed before waits.
    Recovered {
        /// The emitter.
        emitter: EmitterId,
    },
    /// An emitter can't make its attempts, because this machine is short of something. They are
    /// made again until they can be, and none of them counts.
    Shortage {
        /// The emitter.
        emitter: EmitterId,
        /// Of what, in words.
        message: String,
    },
    /// That shortage is over for this emitter.
    ShortageOver {
        /// The emitter.
        emitter: EmitterId,
        /// The machine was short of this.
        message: String,
    },
    /// The store can't be read or written for an emitter. It is asked again until it can be, which
    /// costs the emitter nothing of its restart budget.
    StoreUnavailable {
        /// The emitter.
        emitter: EmitterId,
        /// The failure in words.
        message: String,
    },
    /// The store does its part again for this emitter.
    StoreAvailable {
        /// The emitter.
        emitter: EmitterId,
    },
    /// An event was delivered.
    Delivered {
        /// The emitter.
        emitter: EmitterId,
        /// The event's place in the journal.
        sequence: Sequence,
        /// The event's name.
        name: EventName,
        /// The event's request id.
        request_id: RequestId,
        /// Which attempt succeeded.
        attempt: u32,
        /// The time that it took.
        elapsed: Duration,
    },
    /// An attempt failed.
    AttemptFailed {
        /// The emitter.
        emitter: EmitterId,
        /// The event's place in the journal.
        sequence: Sequence,
        /// The event's request id.
        request_id: RequestId,
        /// Which attempt it was.
        attempt: u32,
        /// The kind of failure.
        code: AttemptCode,
        /// The failure in words.
        message: String,
        /// When the next attempt is due, from now; `None` when there is none.
        retry_in: Option<Duration>,
        /// Set where it counts as one of the event's attempts: not where the receiver surely has
        /// not processed it, and is not to blame.
        counted: bool,
    },
    /// An emitter gave up on an event.
    DeadLettered {
        /// The emitter.
        emitter: EmitterId,
        /// The event's place in the journal.
        sequence: Sequence,
        /// The event's request id.
        request_id: RequestId,
        /// The number of attempts made.
        attempts: u32,
        /// The event's name.
        name: EventName,
        /// The kind of the last failure.
        code: AttemptCode,
        /// That failure in words.
        message: String,
    },
    /// An event had waited for an emitter longer than the store lets events wait, and was dropped
    /// there.
    Expired {
        /// The emitter.
        emitter: EmitterId,
        /// The event's place in the journal.
        sequence: Sequence,
        /// The event's name.
        name: EventName,
        /// The event's request id.
        request_id: RequestId,
    },
    /// Events are being delivered again to an emitter: told as they are queued.
    Replaying {
        /// The emitter.
        emitter: EmitterId,
        /// The number of events found that are to be delivered again.
        found: u64,
        /// The number of those that are queued by now.
        queued: u64,
    },
    /// An emitter has nothing more to deliver.
    Drained {
        /// The emitter.
        emitter: EmitterId,
    },
    /// An emitter gave up its connection and its courier, having had nothing to do for a while.
    Idle {
        /// The emitter.
        emitter: EmitterId,
    },
    /// The runtime has shut down.
    ShutDown,
    /// This watcher was too slow, and missed this many events.
    Missed {
        /// The number of those.
        events: u64,
    },
}

impl RuntimeEvent {
    /// The emitter that it is about.
    pub fn emitter(&self) -> Option<&EmitterId> {
        match self {
            Self::Attached { emitter }
            | Self::Started { emitter, .. }
            | Self::Restarted { emitter }
            | Self::Paused { emitter }
            | Self::Detached { emitter }
            | Self::Gone { emitter }
            | Self::Crashed { emitter, .. }
            | Self::Failed { emitter, .. }
            | Self::OwnedElsewhere { emitter, .. }
            | Self::Failing { emitter, .. }
            | Self::Recovered { emitter }
            | Self::Shortage { emitter, .. }
            | Self::ShortageOver { emitter, .. }
            | Self::StoreUnavailable { emitter, .. }
            | Self::StoreAvailable { emitter }
            | Self::Delivered { emitter, .. }
            | Self::AttemptFailed { emitter, .. }
            | Self::DeadLettered { emitter, .. }
            | Self::Expired { emitter, .. }
            | Self::Replaying { emitter, .. }
            | Self::Drained { emitter }
            | Self::Idle { emitter } => Some(emitter),
            Self::ShutDown | Self::Missed { .. } => None,
        }
    }

    /// The fate of the event that it settled, if it did.
    pub fn fate(&self) -> Option<Fate> {
        match self {
            Self::Delivered { .. } => Some(Fate::Delivered),
            Self::DeadLettered { .. } => Some(Fate::DeadLettered),
            Self::Expired { .. } => Some(Fate::Dropped),
            _ => None,
        }
    }
}
