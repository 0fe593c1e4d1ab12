//! The supervision tree: a root supervisor, the life of each emitter, and what is done for it. Here
//! is the tree as data.

pub(crate) mod attach;
pub(crate) mod caller;
pub(crate) mod effects;
pub(crate) mod life;
pub(crate) mod listener;
pub(crate) mod message;
pub(crate) mod router;
pub(crate) mod shutdown;
pub(crate) mod supervisor;

use std::sync::Arc;

use bugle_core::{Answer, Backlog, EmitterId, EmitterSpecs, Journal, JournalError, RestartBudget};
use parking_lot::RwLock;
use ractor::ActorRef;
use rustc_hash::FxHashMap;
use tokio::task::{AbortHandle, JoinHandle};

use crate::emitter::spec::Spec;
use crate::emitter::tools::Tools;
use crate::tree::caller::{Caller, Reply};
use crate::tree::life::Lives;
use crate::tree::message::SupervisorMessage;
use crate::tree::router::Router;
use crate::words::report::{EmitterLeft, ShutdownReport};

/// The store answers this to a change that was handed to it.
pub(crate) type Done = Answer<'static, Result<(), JournalError>>;

/// The specs of all emitters, for those who look: only the supervisor adds and removes.
pub(crate) type Specs = RwLock<FxHashMap<EmitterId, Arc<Spec>>>;

/// The supervision tree as its root keeps it.
pub(crate) struct Tree {
    /// The root supervisor, for those who report to it.
    pub(crate) root: ActorRef<SupervisorMessage>,
    pub(crate) journal: Arc<dyn Journal>,
    /// Where specs are kept that outlive the process, if anywhere.
    pub(crate) kept: Option<Arc<dyn EmitterSpecs>>,
    /// The treatment of a paused emitter's backlog where its caller does not say.
    pub(crate) backlog: Backlog,
    /// The task that listens to the store, until the end.
    pub(crate) listener: Option<JoinHandle<()>>,
    pub(crate) tools: Arc<Tools>,
    pub(crate) router: Arc<Router>,
    pub(crate) specs: Arc<Specs>,
    pub(crate) budget: RestartBudget,
    /// In boxes: a table that grows moves what is in it.
    pub(crate) children: FxHashMap<EmitterId, Box<Child>>,
    /// The emitters by the numbers of their actors: one that has ended is in no entry.
    pub(crate) by_actor: FxHashMap<u64, EmitterId>,
    /// Set once shutdown began: who wants the report.
    pub(crate) shutting_down: Option<ShuttingDown>,
}

/// An emitter as the supervisor keeps it.
#[derive(Default)]
pub(crate) struct Child {
    /// Decides about it: it is in the tree while it has one.
    pub(crate) lives: Option<Lives<Caller>>,
    /// Others see this of it, once it has a place in the journal.
    pub(crate) spec: Option<Arc<Spec>>,
    /// Starts it again after a crash, or asks for it again where another owner has it.
    pub(crate) restart_timer: Option<AbortHandle>,
    /// Set while the store was asked for it, and has not answered.
    pub(crate) is_claimed: bool,
}

/// A shutdown under way: its callers, and the report so far.
#[derive(Default)]
pub(crate) struct ShuttingDown {
    pub(crate) replies: Vec<Reply<ShutdownReport>>,
    pub(crate) left: Vec<EmitterLeft>,
}
