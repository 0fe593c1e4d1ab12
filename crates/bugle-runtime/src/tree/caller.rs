//! The callers of an emitter: what they bring, and in which words they are answered.

use std::fmt;

use bugle_core::{EmitterId, EventNames, Subscription};
use tokio::sync::oneshot;

use crate::emitter::target::Target;
use crate::tree::life::Refusal;
use crate::words::description::Status;
use crate::words::error::{AttachError, ControlError, RestartError};

/// An answer is waited for at the other end.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// An emitter as its caller wants it.
#[derive(Clone)]
pub(crate) struct NewEmitter {
    pub(crate) id: EmitterId,
    pub(crate) subscription: Subscription,
    pub(crate) target: Target,
}

impl NewEmitter {
    pub(crate) fn new(
        id: &str,
        events: impl EventNames,
        target: Target,
    ) -> Result<Self, AttachError> {
        let id = EmitterId::new(id)?;
        let subscription = Subscription::new(events)?;
        Ok(Self { id, subscription, target })
    }
}

/// A caller waits for an answer.
pub(crate) enum Caller {
    /// Somebody brings an emitter, which is to be there.
    Bringing(Box<NewEmitter>, Reply<Result<(), AttachError>>),
    /// Somebody has brought one.
    Attaching(Reply<Result<(), AttachError>>),
    /// Somebody restarts one.
    Restarting(Reply<Result<(), RestartError>>),
    /// Somebody pauses or detaches one.
    Controlling(Reply<Result<(), ControlError>>),
}

impl Caller {
    /// Answers a call about this emitter. That fails only when the caller has stopped waiting.
    pub(crate) fn answer(self, id: &EmitterId, result: Result<(), Refusal>) {
        match self {
            Self::Bringing(_, reply) | Self::Attaching(reply) => {
                let _ = reply.send(result.map_err(|refusal| not_attached(id, refusal)));
            }
            Self::Restarting(reply) => {
                let _ = reply.send(result.map_err(|refusal| not_restarted(id, refusal)));
            }
            Self::Controlling(reply) => {
                let _ = reply.send(result.map_err(|refusal| not_done(id, refusal)));
            }
        }
    }
}

fn not_attached(id: &EmitterId, refusal: Refusal) -> AttachError {
    match refusal {
        Refusal::Is(Status::Paused | Status::Failed) => AttachError::AlreadyPresent(id.clone()),
        Refusal::Is(_) => AttachError::AlreadyExists(id.clone()),
        Refusal::Store(error) => error.into(),
        Refusal::Absent | Refusal::ShutDown => AttachError::ShutDown,
    }
}

fn not_restarted(id: &EmitterId, refusal: Refusal) -> RestartError {
    match refusal {
        Refusal::Absent => RestartError::NotFound(id.to_string()),
        Refusal::Is(Status::Restarting) => RestartError::Restarting(id.clone()),
        Refusal::Is(_) => RestartError::Running(id.clone()),
        Refusal::Store(error) => error.into(),
        Refusal::ShutDown => RestartError::ShutDown,
    }
}

fn not_done(id: &EmitterId, refusal: Refusal) -> ControlError {
    match refusal {
        Refusal::Absent => ControlError::NotFound(id.to_string()),
        Refusal::Store(error) => error.into(),
        Refusal::Is(_) | Refusal::ShutDown => ControlError::ShutDown,
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller")
    }
}
