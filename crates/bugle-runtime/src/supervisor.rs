//! The root supervisor: starts one actor per emitter, keeps their specs, and decides from the
//! desired state what an actor's end means. One emitter's trouble ends here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Answer, Backlog, EmitterId, Gone, Incarnation, Journal, JournalError, Reader, Restart,
    RestartBudget, RestartLog, Subscription,
};
use parking_lot::RwLock;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rustc_hash::FxHashMap;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::control::{may_attach, may_restart};
use crate::courier::Tools;
use crate::emitter::{EmitterActor, EmitterArguments, EmitterMessage};
use crate::error::{AttachError, ControlError, RestartError};
use crate::router::Router;
use crate::shutdown::{EmitterLeft, ShutdownReport};
use crate::spec::{Desired, Spec, Status, Target};
use crate::watch::RuntimeEvent;

type Reply<T> = oneshot::Sender<T>;

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
    journal: Arc<dyn Journal>,
    tools: Arc<Tools>,
    router: Arc<Router>,
    specs: Arc<Specs>,
    budget: RestartBudget,
    children: FxHashMap<EmitterId, Child>,
    /// Whose actor it is that ended.
    by_actor: FxHashMap<ActorId, EmitterId>,
    /// Set once shutdown began: who wants the report.
    shutting_down: Option<ShuttingDown>,
}

struct ShuttingDown {
    replies: Vec<Reply<ShutdownReport>>,
    left: Vec<EmitterLeft>,
}

/// What the supervisor keeps of an emitter beside its spec.
struct Child {
    spec: Arc<Spec>,
    actor: Option<ActorRef<EmitterMessage>>,
    /// The crashes that count against its restart budget.
    crashes: RestartLog,
    /// What follows when its actor has ended; `None` makes that end a crash.
    stopping: Option<Then>,
    /// Starts it again after a crash.
    restart_timer: Option<AbortHandle>,
    /// Calls that came while its actor was ending, or its reader opening: in order.
    waiting: Vec<SupervisorMessage>,
}

/// What follows an actor's end.
enum Then {
    Pause(Backlog, Option<Reply<Result<(), ControlError>>>),
    Detach(Option<Reply<Result<(), ControlError>>>),
    ShutDown,
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
    async fn dispatch(&mut self, myself: &ActorRef<SupervisorMessage>, message: SupervisorMessage) {
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

    /// Starts an emitter's actor: its next life.
    async fn start(&mut self, myself: &ActorRef<SupervisorMessage>, id: &EmitterId) {
        let Some(child) = self.children.get_mut(id) else { return };
        let spec = Arc::clone(&child.spec);
        let incarnation = {
            let mut state = spec.state.lock();
            state.incarnation = Incarnation(state.incarnation.0 + 1);
            state.incarnation
        };
        let arguments = EmitterArguments {
            spec: Arc::clone(&spec),
            tools: Arc::clone(&self.tools),
            supervisor: myself.clone(),
            incarnation,
        };
        match Actor::spawn_linked(None, EmitterActor, arguments, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.by_actor.insert(actor.get_id(), id.clone());
                child.actor = Some(actor.clone());
                {
                    let mut state = spec.state.lock();
                    state.desired = Desired::Running;
                    state.status = Status::Running;
                    state.actor = Some(actor);
                }
                spec.doorbell.nobody();
                self.router.insert(&spec);
                let started = || RuntimeEvent::Started { emitter: id.clone(), incarnation };
                self.tools.teller.tell(started);
                if spec.reader.depth() > 0 {
                    spec.wake();
                }
            }
            Err(error) => self.crashed(myself, id, error.to_string()),
        }
    }

    fn pause(
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

    fn detach(&mut self, id: &EmitterId, reply: Option<Reply<Result<(), ControlError>>>) {
        if !self.children.contains_key(id) {
            // The store may know an emitter of an earlier run.
            self.forget(id, reply);
            return;
        }
        self.stop(id, Duration::ZERO, Then::Detach(reply));
    }

    /// Ends an emitter's actor, and does what follows: at once when it has none.
    fn stop(&mut self, id: &EmitterId, grace: Duration, then: Then) {
        let Some(child) = self.children.get_mut(id) else { return };
        self.router.remove(&child.spec);
        if let Some(timer) = child.restart_timer.take() {
            timer.abort();
        }
        match child.actor.take() {
            Some(actor) => {
                child.stopping = Some(then);
                // Fails only when it has just crashed, and then its end is on its way too.
                let _ = actor.send_message(EmitterMessage::Drain(grace));
            }
            None => self.stopped(id, then),
        }
    }

    /// An emitter's actor has ended as it was told to.
    fn stopped(&mut self, id: &EmitterId, then: Then) {
        let Some(child) = self.children.get_mut(id) else { return };
        let spec = Arc::clone(&child.spec);
        spec.abort_courier();
        let aborted = spec.counters.in_flight.swap(0, std::sync::atomic::Ordering::Relaxed);
        match then {
            Then::Pause(backlog, reply) => {
                spec.reader.pause(backlog);
                spec.settled.tell();
                self.tools.teller.tell(|| RuntimeEvent::Paused { emitter: id.clone() });
                answer(reply, Ok(()));
            }
            Then::Detach(reply) => {
                self.children.remove(id);
                self.specs.write().remove(id);
                spec.state.lock().detached = true;
                spec.settled.tell();
                self.tools.teller.tell(|| RuntimeEvent::Detached { emitter: id.clone() });
                self.forget(id, reply);
            }
            Then::ShutDown => {
                let left = EmitterLeft::new(id.clone(), spec.reader.depth(), aborted);
                if let Some(shutting_down) = &mut self.shutting_down {
                    shutting_down.left.push(left);
                }
                self.children.remove(id);
            }
        }
    }

    fn forget(&self, id: &EmitterId, reply: Option<Reply<Result<(), ControlError>>>) {
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

    async fn restart_due(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        id: &EmitterId,
        incarnation: Incarnation,
    ) {
        let Some(child) = self.children.get_mut(id) else { return };
        {
            let mut state = child.spec.state.lock();
            if state.status != Status::Restarting || state.incarnation != incarnation {
                return;
            }
            state.restarts += 1;
        }
        child.restart_timer = None;
        self.start(myself, id).await;
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

    /// An actor has ended. Whether it was told to is what the child's state says, not the event.
    async fn ended(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        actor: ActorId,
        reason: String,
    ) {
        let Some(id) = self.by_actor.remove(&actor) else { return };
        let Some(child) = self.children.get_mut(&id) else { return };
        child.spec.state.lock().actor = None;
        let Some(then) = child.stopping.take() else {
            child.actor = None;
            self.crashed(myself, &id, reason);
            return;
        };
        let waiting = std::mem::take(&mut child.waiting);
        self.stopped(&id, then);
        for message in waiting {
            Box::pin(self.dispatch(myself, message)).await;
        }
        self.report_if_done(myself);
    }

    /// An emitter crashed: it starts again, within its budget.
    fn crashed(&mut self, myself: &ActorRef<SupervisorMessage>, id: &EmitterId, reason: String) {
        let Some(child) = self.children.get_mut(id) else { return };
        let spec = Arc::clone(&child.spec);
        spec.abort_courier();
        spec.counters.in_flight.store(0, std::sync::atomic::Ordering::Relaxed);
        self.router.remove(&spec);
        let mut state = spec.state.lock();
        let incarnation = state.incarnation;
        tracing::warn!(emitter = %id, %incarnation, %reason, "an emitter crashed");
        match child.crashes.crashed(&self.budget, self.tools.epoch.elapsed()) {
            Restart::After(delay) => {
                state.status = Status::Restarting;
                let (myself, id_again) = (myself.clone(), id.clone());
                let timer = tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let due = SupervisorMessage::RestartDue { id: id_again, incarnation };
                    let _ = myself.send_message(due);
                });
                child.restart_timer = Some(timer.abort_handle());
                self.tools.teller.tell(|| RuntimeEvent::Crashed {
                    emitter: id.clone(),
                    incarnation,
                    reason,
                    restart_in: delay,
                });
            }
            Restart::GiveUp => {
                state.status = Status::Failed;
                // What it has accepted waits for `restart`, and blocks nobody.
                spec.reader.pause(Backlog::Keep);
                tracing::error!(emitter = %id, %reason, "an emitter failed: over its restart budget");
                self.tools.teller.tell(|| RuntimeEvent::Failed { emitter: id.clone(), reason });
            }
        }
    }

    fn shut_down(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        grace: Duration,
        reply: Reply<ShutdownReport>,
    ) {
        let shutting_down = self
            .shutting_down
            .get_or_insert_with(|| ShuttingDown { replies: Vec::new(), left: Vec::new() });
        shutting_down.replies.push(reply);
        let ids: Vec<EmitterId> = self.children.keys().cloned().collect();
        for id in ids {
            let Some(child) = self.children.get_mut(&id) else { continue };
            for message in child.waiting.drain(..) {
                refuse(message);
            }
            if child.stopping.is_some() {
                // Already ending; a second call may shorten its grace.
                if let Some(actor) = &child.spec.state.lock().actor {
                    let _ = actor.send_message(EmitterMessage::Drain(grace));
                }
            } else {
                self.stop(&id, grace, Then::ShutDown);
            }
        }
        self.report_if_done(myself);
    }

    fn report_if_done(&mut self, myself: &ActorRef<SupervisorMessage>) {
        if self.shutting_down.is_none() || !self.by_actor.is_empty() {
            return;
        }
        let Some(mut shutting_down) = self.shutting_down.take() else { return };
        shutting_down.left.sort_by(|one, other| one.id.cmp(&other.id));
        let report = ShutdownReport::new(shutting_down.left);
        let (journal, teller, myself) =
            (Arc::clone(&self.journal), self.tools.teller.clone(), myself.clone());
        // Refuses what comes between now and the end.
        self.shutting_down = Some(ShuttingDown { replies: Vec::new(), left: Vec::new() });
        tokio::spawn(async move {
            let mut report = report;
            report.flush_error = journal.flush().await.err();
            teller.tell(|| RuntimeEvent::ShutDown);
            for reply in shutting_down.replies {
                let _ = reply.send(report.clone());
            }
            myself.stop(None);
        });
    }

    fn status(&self, id: &EmitterId) -> Option<Status> {
        self.children.get(id).map(|child| child.spec.status())
    }
}

fn answer<T>(reply: Option<Reply<T>>, value: T) {
    if let Some(reply) = reply {
        // Fails only when the caller has stopped waiting.
        let _ = reply.send(value);
    }
}

fn refuse(message: SupervisorMessage) {
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
