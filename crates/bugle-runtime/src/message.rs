//! What the actors tell one another, and what a control call waits for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Backlog, Desired, EmitterId, EventNames, Incarnation, JournalError, Reader, Subscription,
};
use tokio::sync::oneshot;

use crate::error::{AttachError, ControlError, RestartError};
use crate::report::ShutdownReport;
use crate::target::Target;

/// Where an answer is waited for.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// What the root supervisor is told.
pub(crate) enum SupervisorMessage {
    Attach(NewEmitter, Reply<Result<(), AttachError>>),
    /// Attach it, or have it be like this from now on.
    Ensure(NewEmitter, Reply<Result<(), AttachError>>),
    /// What an earlier process has left; before anything else.
    Restore(Vec<Restored>, Reply<()>),
    Opened(NewEmitter, Result<Arc<dyn Reader>, JournalError>, Reply<Result<(), AttachError>>),
    Pause(EmitterId, PauseHow, Reply<Result<(), ControlError>>),
    Restart(EmitterId, Reply<Result<(), RestartError>>),
    Detach(EmitterId, Reply<Result<(), ControlError>>),
    /// An emitter's receiver answered 410 and its config minds.
    Gone {
        id: EmitterId,
        incarnation: Incarnation,
    },
    /// A crashed emitter's delay is over.
    RestartDue {
        id: EmitterId,
        incarnation: Incarnation,
    },
    Shutdown(Duration, Reply<ShutdownReport>),
}

impl fmt::Debug for SupervisorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SupervisorMessage")
    }
}

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

/// An emitter of an earlier process, with its place.
pub(crate) struct Restored {
    pub(crate) new: NewEmitter,
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) desired: Desired,
    pub(crate) backlog: Backlog,
}

/// How an emitter is paused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PauseHow {
    /// `None`: as the store does by default.
    pub(crate) backlog: Option<Backlog>,
    /// How long what is in flight may take to finish.
    pub(crate) grace: Duration,
}

/// What an emitter's actor is told.
#[derive(Debug)]
pub(crate) enum EmitterMessage {
    /// There may be something to deliver, and there is no courier.
    Wake,
    /// A courier ended.
    CourierEnded { number: u64, exit: Exit },
    /// Finish what is in flight within this time, then stop.
    Drain(Duration),
    /// The time for that is over.
    DrainOver,
    /// Crash, for a test of what happens then.
    Crash(String),
}

/// Why a courier ended.
#[derive(Debug)]
pub(crate) enum Exit {
    /// It had nothing to do for a while.
    Idle,
    /// It was asked to finish what was in flight, or has an old target.
    Finished,
    /// The receiver is gone.
    Gone,
    /// A delivery, the store or the courier itself broke: what it says.
    Crashed(String),
}

impl SupervisorMessage {
    /// Whether it stops an emitter without a grace.
    pub(crate) fn stops_at_once(&self) -> bool {
        match self {
            Self::Pause(_, how, _) => how.grace.is_zero(),
            Self::Detach(..) => true,
            _ => false,
        }
    }
}

/// Answers a control call, if anybody asked.
pub(crate) fn answer<T>(reply: Option<Reply<T>>, value: T) {
    if let Some(reply) = reply {
        // Fails only when the caller has stopped waiting.
        let _ = reply.send(value);
    }
}

/// Answers a control call that came too late.
pub(crate) fn refuse(message: SupervisorMessage) {
    match message {
        SupervisorMessage::Attach(_, reply)
        | SupervisorMessage::Ensure(_, reply)
        | SupervisorMessage::Opened(_, _, reply) => {
            let _ = reply.send(Err(AttachError::ShutDown));
        }
        SupervisorMessage::Restart(_, reply) => {
            let _ = reply.send(Err(RestartError::ShutDown));
        }
        SupervisorMessage::Pause(_, _, reply) | SupervisorMessage::Detach(_, reply) => {
            let _ = reply.send(Err(ControlError::ShutDown));
        }
        _ => {}
    }
}
