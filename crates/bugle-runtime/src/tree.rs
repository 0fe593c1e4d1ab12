//! The supervision tree as data: what the root supervisor keeps, and of each emitter.

use std::sync::Arc;

use bugle_core::{Backlog, EmitterId, EmitterSpecs, Journal, RestartBudget, RestartLog};
use parking_lot::RwLock;
use ractor::{ActorId, ActorRef};
use rustc_hash::FxHashMap;
use tokio::task::AbortHandle;

use crate::courier::Tools;
use crate::description::Status;
use crate::error::{AttachError, ControlError};
use crate::message::{EmitterMessage, NewEmitter, Reply, SupervisorMessage};
use crate::report::{EmitterLeft, ShutdownReport};
use crate::router::Router;
use crate::spec::Spec;

/// The specs of all emitters, for those who look: only the supervisor adds and removes.
pub(crate) type Specs = RwLock<FxHashMap<EmitterId, Arc<Spec>>>;

/// The supervision tree as its root keeps it.
pub(crate) struct Tree {
    /// The root supervisor, for those who report to it.
    pub(crate) root: ActorRef<SupervisorMessage>,
    pub(crate) journal: Arc<dyn Journal>,
    /// Where specs are kept that outlive the process, if anywhere.
    pub(crate) kept: Option<Arc<dyn EmitterSpecs>>,
    pub(crate) tools: Arc<Tools>,
    pub(crate) router: Arc<Router>,
    pub(crate) specs: Arc<Specs>,
    pub(crate) budget: RestartBudget,
    pub(crate) children: FxHashMap<EmitterId, Child>,
    /// Whose actor it is that ended.
    pub(crate) by_actor: FxHashMap<ActorId, EmitterId>,
    /// Emitters whose place is being opened, and the calls that came meanwhile: in order.
    pub(crate) opening: FxHashMap<EmitterId, Vec<SupervisorMessage>>,
    /// Set once shutdown began: who wants the report.
    pub(crate) shutting_down: Option<ShuttingDown>,
}

/// What the supervisor keeps of an emitter beside its spec.
pub(crate) struct Child {
    pub(crate) spec: Arc<Spec>,
    pub(crate) actor: Option<ActorRef<EmitterMessage>>,
    /// The crashes that count against its restart budget.
    pub(crate) crashes: RestartLog,
    /// What follows when its actor has ended; `None` makes that end a crash.
    pub(crate) stopping: Option<Then>,
    /// Starts it again after a crash.
    pub(crate) restart_timer: Option<AbortHandle>,
    /// Calls that came while its actor was ending: in order.
    pub(crate) waiting: Vec<SupervisorMessage>,
}

/// What follows an actor's end.
pub(crate) enum Then {
    Pause(Backlog, Option<Reply<Result<(), ControlError>>>),
    Detach(Option<Reply<Result<(), ControlError>>>),
    /// It gets another subscription, and goes on as it was.
    Resubscribe(NewEmitter, Reply<Result<(), AttachError>>),
    ShutDown,
}

/// Who waits for the report, and what is in it so far.
pub(crate) struct ShuttingDown {
    pub(crate) replies: Vec<Reply<ShutdownReport>>,
    pub(crate) left: Vec<EmitterLeft>,
}

impl Tree {
    /// What an emitter is observed to do; `None` when there is none.
    pub(crate) fn status(&self, id: &EmitterId) -> Option<Status> {
        self.children.get(id).map(|child| child.spec.status())
    }
}
