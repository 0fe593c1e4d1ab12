//! The root supervisor: starts one actor per emitter, keeps their specs, and decides from the
//! desired state what an actor's end means. One emitter's trouble ends here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Answer, Backlog, EmitterId, Gone, Incarnation, Journal, JournalError, Reader, RestartBudget,
    RestartLog, Subscription,
};
use parking_lot::RwLock;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;

use crate::control::{may_attach, may_restart};
use crate::courier::Tools;
use crate::error::{AttachError, ControlError, RestartError};
use crate::lifecycle::{Child, Then};
use crate::router::Router;
use crate::shutdown::{ShutdownReport, ShuttingDown};
use crate::spec::{Desired, Spec, Status, Target};
use crate::watch::RuntimeEvent;

pub(crate) type Reply<T> = oneshot::Sender<T>;

/// The specs of all emitters, for those who look: only the supervisor adds and removes.
pub(crate) type Specs = RwLock<FxHashMap<EmitterId, Arc<Spec>>>;

/// What the root supervisor is told.
pub(crate) enum SupervisorMessage {
    Attach(NewEmitter, Reply<Result<(), AttachError>>),
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

/// How an emitter is paused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PauseHow {
    /// `None`: as the store does by default.
    pub(crate) backlog: Option<Backlog>,
    /// How long what is in flight may take to finish.
    pub(crate) grace: Duration,
}

pub(crate) struct SupervisorArguments {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) tools: Arc<Tools>,
    pub(crate) router: Arc<Router>,
    pub(crate) specs: Arc<Specs>,
    pub(crate) budget: RestartBudget,
}

pub(crate) struct Supervisor;

pub(crate) struct SupervisorState {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) tools: Arc<Tools>,
    pub(crate) router: Arc<Router>,
    pub(crate) specs: Arc<Specs>,
    pub(crate) budget: RestartBudget,
    pub(crate) children: FxHashMap<EmitterId, Child>,
    /// Whose actor it is that ended.
    pub(crate) by_actor: FxHashMap<ActorId, EmitterId>,
    /// Set once shutdown began: who wants the report.
    pub(crate) shutting_down: Option<ShuttingDown>,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = SupervisorState;
    type Arguments = SupervisorArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<SupervisorMessage>,
        arguments: SupervisorArguments,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        let SupervisorArguments { journal, tools, router, specs, budget } = arguments;
        Ok(SupervisorState {
            journal,
            tools,
            router,
            specs,
            budget,
            children: FxHashMap::default(),
            by_actor: FxHashMap::default(),
            shutting_down: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        state.dispatch(&myself, message).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                let reason = reason.unwrap_or_else(|| "its actor ended".to_owned());
                state.ended(&myself, cell.get_id(), reason).await;
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                state.ended(&myself, cell.get_id(), error.to_string()).await;
            }
            _ => {}
        }
        Ok(())
    }
}

impl SupervisorState {
    pub(crate) async fn dispatch(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
    ) {
        let mut next = Some(message);
        while let Some(message) = next.take() {
            let Some(message) = self.or_wait(message) else { return };
            match message {
                SupervisorMessage::Attach(new, reply) => self.attach(myself, new, reply).await,
                SupervisorMessage::Opened(new, reader, reply) => {
                    self.opened(myself, new, reader, reply).await;
                }
                SupervisorMessage::Pause(id, how, reply) => self.pause(&id, how, Some(reply)),
                SupervisorMessage::Restart(id, reply) => {
                    let restarted = self.restart(myself, &id).await;
                    // Fails only when the caller has stopped waiting.
                    let _ = reply.send(restarted);
                }
                SupervisorMessage::Detach(id, reply) => self.detach(&id, Some(reply)),
                SupervisorMessage::Gone { id, incarnation } => self.gone(&id, incarnation),
                SupervisorMessage::RestartDue { id, incarnation } => {
                    self.restart_due(myself, &id, incarnation).await;
                }
                SupervisorMessage::Shutdown(grace, reply) => self.shut_down(myself, grace, reply),
            }
        }
    }

    /// Holds a call back while its emitter is between two states; refuses it after shutdown.
    fn or_wait(&mut self, message: SupervisorMessage) -> Option<SupervisorMessage> {
        let id = match &message {
            SupervisorMessage::Attach(new, _) => &new.id,
            SupervisorMessage::Pause(id, ..)
            | SupervisorMessage::Restart(id, _)
            | SupervisorMessage::Detach(id, _) => id,
            _ => return Some(message),
        };
        if self.shutting_down.is_some() {
            refuse(message);
            return None;
        }
        match self.children.get_mut(id) {
            Some(child) if child.stopping.is_some() => {
                child.waiting.push(message);
                None
            }
            _ => Some(message),
        }
    }

    async fn attach(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        new: NewEmitter,
        reply: Reply<Result<(), AttachError>>,
    ) {
        if let Err(error) = may_attach(&new.id, self.status(&new.id)) {
            let _ = reply.send(Err(error));
            return;
        }
        match self.journal.reader(&new.id, &new.subscription) {
            Answer::Now(Some(reader)) => self.opened(myself, new, reader, reply).await,
            opening => {
                // The handler awaits no I/O: the reader is opened beside it, and comes back.
                let myself = myself.clone();
                tokio::spawn(async move {
                    let reader = opening.await;
                    let _ = myself.send_message(SupervisorMessage::Opened(new, reader, reply));
                });
            }
        }
    }

    async fn opened(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        new: NewEmitter,
        reader: Result<Arc<dyn Reader>, JournalError>,
        reply: Reply<Result<(), AttachError>>,
    ) {
        if let Err(error) = may_attach(&new.id, self.status(&new.id)) {
            let _ = reply.send(Err(error));
            return;
        }
        let reader = match reader {
            Ok(reader) => reader,
            Err(error) => {
                let _ = reply.send(Err(error.into()));
                return;
            }
        };
        let spec = Arc::new(Spec::new(new.id.clone(), new.subscription, new.target, reader));
        self.specs.write().insert(new.id.clone(), Arc::clone(&spec));
        let child = Child {
            spec,
            actor: None,
            crashes: RestartLog::default(),
            stopping: None,
            restart_timer: None,
            waiting: Vec::new(),
        };
        self.children.insert(new.id.clone(), child);
        self.tools.teller.tell(|| RuntimeEvent::Attached { emitter: new.id.clone() });
        self.start(myself, &new.id).await;
        let _ = reply.send(Ok(()));
    }

    pub(crate) fn pause(
        &mut self,
        id: &EmitterId,
        how: PauseHow,
        reply: Option<Reply<Result<(), ControlError>>>,
    ) {
        let backlog = how.backlog.unwrap_or_else(|| self.journal.default_backlog());
        let Some(child) = self.children.get_mut(id) else {
            answer(reply, Ok(()));
            return;
        };
        let was = child.spec.status();
        if was == Status::Paused {
            if how.backlog.is_some() {
                child.spec.reader.pause(backlog);
            }
            answer(reply, Ok(()));
            return;
        }
        {
            let mut state = child.spec.state.lock();
            state.desired = Desired::Paused;
            state.status = Status::Paused;
        }
        self.stop(id, how.grace, Then::Pause(backlog, reply));
    }

    pub(crate) fn detach(
        &mut self,
        id: &EmitterId,
        reply: Option<Reply<Result<(), ControlError>>>,
    ) {
        if !self.children.contains_key(id) {
            // The store may know an emitter of an earlier run.
            self.forget(id, reply);
            return;
        }
        self.stop(id, Duration::ZERO, Then::Detach(reply));
    }

    pub(crate) fn forget(&self, id: &EmitterId, reply: Option<Reply<Result<(), ControlError>>>) {
        match self.journal.forget(id) {
            Answer::Now(Some(forgotten)) => answer(reply, forgotten.map_err(Into::into)),
            forgetting => {
                tokio::spawn(async move {
                    answer(reply, forgetting.await.map_err(Into::into));
                });
            }
        }
    }

    async fn restart(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        id: &EmitterId,
    ) -> Result<(), RestartError> {
        may_restart(id, self.status(id))?;
        if let Some(child) = self.children.get_mut(id) {
            child.crashes.clear();
            child.spec.reader.resume();
        }
        self.start(myself, id).await;
        Ok(())
    }

    fn gone(&mut self, id: &EmitterId, incarnation: Incarnation) {
        let Some(child) = self.children.get(id) else { return };
        let gone = {
            let state = child.spec.state.lock();
            if state.incarnation != incarnation || state.status != Status::Running {
                return;
            }
            state.target.gone()
        };
        self.tools.teller.tell(|| RuntimeEvent::Gone { emitter: id.clone() });
        match gone {
            Gone::Detach => self.detach(id, None),
            _ => self.pause(id, PauseHow { backlog: None, grace: Duration::ZERO }, None),
        }
    }

    fn status(&self, id: &EmitterId) -> Option<Status> {
        self.children.get(id).map(|child| child.spec.status())
    }
}

pub(crate) fn answer<T>(reply: Option<Reply<T>>, value: T) {
    if let Some(reply) = reply {
        // Fails only when the caller has stopped waiting.
        let _ = reply.send(value);
    }
}

pub(crate) fn refuse(message: SupervisorMessage) {
    match message {
        SupervisorMessage::Attach(_, reply) => {
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
