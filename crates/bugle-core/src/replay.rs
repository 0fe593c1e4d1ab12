//! Delivering an event again, to one emitter.

use std::sync::Arc;

use crate::{AppendError, EmitterId, ErrorKind, Event, JournalError, RequestId, Sequence};

/// An event that one emitter is to deliver again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Replay {
    /// The event, which is delivered with the same content.
    pub event: Arc<Event>,
    /// The event's first place in the journal, which it is known by.
    pub origin: Sequence,
    /// True when it is delivered again only while the emitter has a dead letter of it.
    pub only_dead: bool,
}

impl Replay {
    /// Makes the replay of an event, whether it is a dead letter or not.
    pub fn new(event: Arc<Event>, origin: Sequence) -> Self {
        Self { event, origin, only_dead: false }
    }

    /// Restricts the replay to the time while the emitter has a dead letter of it.
    #[must_use]
    pub fn only_dead(mut self) -> Self {
        self.only_dead = true;
        self
    }
}

/// The result of a replay, for one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Replayed {
    /// The event waits for the emitter, at this place.
    Queued(Sequence),
    /// The event waited for the emitter already, and is delivered once.
    Waits,
    /// The emitter has no dead letter of it any more.
    Gone,
}

/// The reason why an event is not delivered again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// There is no emitter of this id: it was never attached, or was detached.
    #[error("there is no emitter {0:?}: attach it first")]
    NoEmitter(String),
    /// The emitter is paused, and nothing is kept for it.
    #[error("emitter {0:?} is paused and keeps nothing that comes: restart it first")]
    Discards(EmitterId),
    /// Neither is there a dead letter of this event, nor does the store still have it.
    #[error("there is no event {event:?} any more that could be delivered again to {emitter:?}")]
    NoEvent {
        /// The emitter.
        emitter: EmitterId,
        /// The event's request id, as it was given.
        event: String,
    },
    /// The event waits for the emitter already.
    #[error("event {event:?} waits for {emitter:?} already: it is delivered without a replay")]
    Waits {
        /// The emitter.
        emitter: EmitterId,
        /// The event's request id.
        event: RequestId,
    },
    /// Its stored event is damaged, so it can't be delivered as it was accepted.
    #[error("event {event:?} is damaged and can't be delivered again: emit it anew at its source")]
    Damaged {
        /// The emitter.
        emitter: EmitterId,
        /// The event's request id.
        event: RequestId,
    },
    /// The journal did not take it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The runtime was shut down, or is shutting down.
    #[error("the runtime is shut down and accepts nothing more")]
    ShutDown,
}

impl ReplayError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `emitterNotFound`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoEmitter(_) => "emitterNotFound",
            Self::Discards(_) => "emitterPaused",
            Self::NoEvent { .. } => "eventNotFound",
            Self::Waits { .. } => "eventWaits",
            Self::Damaged { .. } => "eventDamaged",
            Self::Append(error) => error.code(),
            Self::ShutDown => "shutDown",
        }
    }

    /// The kind of the error: what follows from it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Append(error) => error.kind(),
            _ => ErrorKind::Refused,
        }
    }
}

impl From<JournalError> for ReplayError {
    fn from(error: JournalError) -> Self {
        Self::Append(AppendError::Store(error))
    }
}
