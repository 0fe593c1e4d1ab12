//! The words that the root supervisor is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{Backlog, EmitterId, Incarnation, JournalError, Reader};
use ractor::ActorId;

use crate::emitter::message::EmitterReport;
use crate::tree::caller::{Caller, NewEmitter, Reply};
use crate::tree::life::Call;
use crate::words::error::AttachError;
use crate::words::report::ShutdownReport;

/// The root supervisor is told one of these.
pub(crate) enum SupervisorMessage {
    /// Somebody calls for this emitter.
    Call(EmitterId, Call<Caller>),
    /// An earlier process has left these; it comes before anything else.
    Restore(Vec<Restored>, Reply<()>),
    /// The place of an emitter that is being attached is open, or can't be.
    Opened(Box<NewEmitter>, Result<Arc<dyn Reader>, JournalError>, Reply<Result<(), AttachError>>),
    /// The receiver of this actor's emitter answered 410, and its configuration minds.
    Gone(ActorId),
    /// The courier of this actor's emitter was told that another owner has it: in these words.
    Lost(ActorId, String),
    /// The store says that this emitter's owner may have changed.
    Moved(EmitterId),
    /// An emitter that another owner has was asked for: it can be had, or not.
    Claimed(EmitterId, Option<Caller>, Result<Arc<dyn Reader>, JournalError>),
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

/// An emitter of an earlier process, with its place.
pub(crate) struct Restored {
    pub(crate) new: NewEmitter,
    /// Its place, unless another owner has it.
    pub(crate) reader: Result<Arc<dyn Reader>, JournalError>,
    /// Set where it was paused: what becomes of its backlog.
    pub(crate) paused: Option<Backlog>,
}

impl From<EmitterReport> for SupervisorMessage {
    fn from(report: EmitterReport) -> Self {
        match report {
            EmitterReport::Gone(actor) => Self::Gone(actor),
            EmitterReport::Lost(actor, why) => Self::Lost(actor, why),
        }
    }
}
