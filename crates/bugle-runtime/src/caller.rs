//! Who waits for the answer of a call, and in which words it is given.

use std::fmt;

use bugle_core::EmitterId;

use crate::description::Status;
use crate::error::{AttachError, ControlError, RestartError};
use crate::life::Refusal;
use crate::message::{NewEmitter, Reply};

/// Who waits for an answer.
pub(crate) enum Caller {
    /// Who brings an emitter, which is to be there.
    Bringing(Box<NewEmitter>, Reply<Result<(), AttachError>>),
    /// Who has brought one.
    Attaching(Reply<Result<(), AttachError>>),
    /// Who restarts one.
    Restarting(Reply<Result<(), RestartError>>),
    /// Who pauses or detaches one.
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
