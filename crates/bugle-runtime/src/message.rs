//! What the actors tell one another, and what a control call waits for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{Backlog, EmitterId, EventNames, Incarnation, JournalError, Reader, Subscription};
use ractor::ActorId;
use tokio::sync::oneshot;

use crate::caller::Caller;
use crate::error::AttachError;
use crate::life::Call;
use crate::report::ShutdownReport;
use crate::target::Target;

/// Where an answer is waited for.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// What the root supervisor is told.
pub(crate) enum SupervisorMessage {
    /// Somebody calls for this emitter.
    Call(EmitterId, Call<Caller>),
    /// What an earlier process has left; before anything else.
    Restore(Vec<Restored>, Reply<()>),
    /// The place of an emitter that is being attached is open, or can't be.
    Opened(Box<NewEmitter>, Result<Arc<dyn Reader>, JournalError>, Reply<Result<(), AttachError>>),
    /// The receiver of this actor's emitter answered 410, and its configuration minds.
    Gone(ActorId),
    /// The delay after a crash is over.
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
    /// Set where it was paused: what becomes of its backlog.
    pub(crate) paused: Option<Backlog>,
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
