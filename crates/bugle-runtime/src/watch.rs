//! What happens in a runtime, as typed events: tests wait on them, a dashboard shows them.

use std::time::Duration;

use bugle_core::{AttemptCode, EmitterId, EventName, Fate, Incarnation, RequestId, Sequence};
use serde::Serialize;
use tokio::sync::broadcast;

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
        /// What it died of.
        reason: String,
        /// When its next life begins, from now.
        restart_in: Duration,
    },
    /// An emitter crashed too often and stays down until it is restarted by hand.
    Failed {
        /// The emitter.
        emitter: EmitterId,
        /// What it died of, the last time.
        reason: String,
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
        /// How long it took.
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
    },
    /// An emitter gave up on an event.
    DeadLettered {
        /// The emitter.
        emitter: EmitterId,
        /// The event's place in the journal.
        sequence: Sequence,
        /// The event's request id.
        request_id: RequestId,
        /// How many attempts were made.
        attempts: u32,
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
        /// How many events were found that are to be delivered again.
        found: u64,
        /// How many of them are queued by now.
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
        /// How many.
        events: u64,
    },
}

impl RuntimeEvent {
    /// The emitter that it is about.
    pub fn emitter(&self) -> Option<&EmitterId> {
        match self {
            Self::Attached { emitter }
            | Self::Started { emitter, .. }
            | Self::Paused { emitter }
            | Self::Detached { emitter }
            | Self::Gone { emitter }
            | Self::Crashed { emitter, .. }
            | Self::Failed { emitter, .. }
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

    /// How it settled an event, if it did.
    pub fn fate(&self) -> Option<Fate> {
        match self {
            Self::Delivered { .. } => Some(Fate::Delivered),
            Self::DeadLettered { .. } => Some(Fate::DeadLettered),
            Self::Expired { .. } => Some(Fate::Dropped),
            _ => None,
        }
    }
}

/// The events of a runtime from the moment `watch` was called.
#[derive(Debug)]
pub struct Watch {
    receiver: broadcast::Receiver<RuntimeEvent>,
}

impl Watch {
    /// The next event; `None` when the runtime is gone. A watcher that falls behind by more than
    /// the runtime's `watch_capacity` gets a [`RuntimeEvent::Missed`] in place of what it missed.
    pub async fn next(&mut self) -> Option<RuntimeEvent> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(events)) => {
                Some(RuntimeEvent::Missed { events })
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// Waits for the first event that fits, and returns it; `None` when the runtime is gone.
    pub async fn wait_for(
        &mut self,
        mut fits: impl FnMut(&RuntimeEvent) -> bool,
    ) -> Option<RuntimeEvent> {
        loop {
            let event = self.next().await?;
            if fits(&event) {
                return Some(event);
            }
        }
    }
}

/// Where events are told. Costs an atomic load when nobody watches.
#[derive(Debug, Clone)]
pub(crate) struct Teller {
    sender: broadcast::Sender<RuntimeEvent>,
}

impl Teller {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity) }
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch { receiver: self.sender.subscribe() }
    }

    pub(crate) fn tell(&self, event: impl FnOnce() -> RuntimeEvent) {
        if self.sender.receiver_count() > 0 {
            // Fails only when the last watcher left just now.
            let _ = self.sender.send(event());
        }
    }
}
