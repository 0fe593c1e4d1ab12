//! The root supervisor: starts one actor per emitter, keeps their specs, and decides from the
//! desired state what an actor's end means. One emitter's trouble ends here.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Answer, Backlog, EmitterId, Gone, Incarnation, Journal, JournalError, Reader, RestartBudget,
    RestartLog,
};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rustc_hash::FxHashMap;

use crate::control::{may_attach, may_restart};
use crate::courier::Tools;
use crate::error::{AttachError, ControlError, RestartError};
use crate::message::{
    EmitterMessage, NewEmitter, PauseHow, Reply, SupervisorMessage, answer, refuse,
};
use crate::router::Router;
use crate::spec::{Desired, Spec, Status};
use crate::tree::{Child, Specs, Then, Tree};
use crate::watch::RuntimeEvent;

pub(crate) struct SupervisorArguments {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) tools: Arc<Tools>,
    pub(crate) router: Arc<Router>,
    pub(crate) specs: Arc<Specs>,
    pub(crate) budget: RestartBudget,
}

pub(crate) struct Supervisor;

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = Tree;
    type Arguments = SupervisorArguments;

    async fn pre_start(
        &self,
        root: ActorRef<SupervisorMessage>,
        arguments: SupervisorArguments,
    ) -> Result<Tree, ActorProcessingErr> {
        let SupervisorArguments { journal, tools, router, specs, budget } = arguments;
        Ok(Tree {
            root,
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
        _root: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        state: &mut Tree,
    ) -> Result<(), ActorProcessingErr> {
        state.dispatch(message).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _root: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        state: &mut Tree,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                let reason = reason.unwrap_or_else(|| "its actor ended".to_owned());
                state.ended(cell.get_id(), reason).await;
            }
            SupervisionEvent::ActorFailed(cell, error) => {
                state.ended(cell.get_id(), error.to_string()).await;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Tree {
    pub(crate) async fn dispatch(&mut self, message: SupervisorMessage) {
        let Some(message) = self.or_wait(message) else { return };
        match message {
            SupervisorMessage::Attach(new, reply) => self.attach(new, reply).await,
            SupervisorMessage::Opened(new, reader, reply) => {
                self.opened(new, reader, reply).await;
            }
            SupervisorMessage::Pause(id, how, reply) => self.pause(&id, how, Some(reply)),
            SupervisorMessage::Restart(id, reply) => {
                let restarted = self.restart(&id).await;
                // Fails only when the caller has stopped waiting.
                let _ = reply.send(restarted);
            }
            SupervisorMessage::Detach(id, reply) => self.detach(&id, Some(reply)),
            SupervisorMessage::Gone { id, incarnation } => self.gone(&id, incarnation),
            SupervisorMessage::RestartDue { id, incarnation } => {
                self.restart_due(&id, incarnation).await;
            }
            SupervisorMessage::Shutdown(grace, reply) => self.shut_down(grace, reply),
        }
    }

    /// Holds a call back while its emitter is between two states; refuses it after shutdown.
    fn or_wait(&mut self, message: SupervisorMessage) -> Option<SupervisorMessage> {
        let id = match &message {
            SupervisorMessage::Attach(new, _) | SupervisorMessage::Opened(new, ..) => &new.id,
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
                if message.stops_at_once()
                    && let Some(actor) = &child.spec.state.lock().actor
                {
                    // It drains, and this call is not to wait for that.
                    let _ = actor.send_message(EmitterMessage::Drain(Duration::ZERO));
                }
                child.waiting.push(message);
                None
            }
            _ => Some(message),
        }
    }

    async fn attach(&mut self, new: NewEmitter, reply: Reply<Result<(), AttachError>>) {
        if let Err(error) = may_attach(&new.id, self.status(&new.id)) {
            let _ = reply.send(Err(error));
            return;
        }
        match self.journal.reader(&new.id, &new.subscription) {
            Answer::Now(Some(reader)) => self.opened(new, reader, reply).await,
            opening => {
                // The handler awaits no I/O: the reader is opened beside it, and comes back.
                let root = self.root.clone();
                tokio::spawn(async move {
                    let reader = opening.await;
                    let _ = root.send_message(SupervisorMessage::Opened(new, reader, reply));
                });
            }
        }
    }

    async fn opened(
        &mut self,
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
        self.start(&new.id).await;
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
                child.spec.settled.tell();
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

    async fn restart(&mut self, id: &EmitterId) -> Result<(), RestartError> {
        may_restart(id, self.status(id))?;
        if let Some(child) = self.children.get_mut(id) {
            child.crashes.clear();
            child.spec.reader.resume();
        }
        self.start(id).await;
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
            // Nobody asked for the backlog to be dropped: it waits for who looks into it.
            _ => {
                let how = PauseHow { backlog: Some(Backlog::Keep), grace: Duration::ZERO };
                self.pause(id, how, None);
            }
        }
    }

    /// An actor has ended. Whether it was told to is what the child's state says, not the event.
    pub(crate) async fn ended(&mut self, actor: ActorId, reason: String) {
        let Some(id) = self.by_actor.remove(&actor) else { return };
        let Some(child) = self.children.get_mut(&id) else { return };
        child.spec.state.lock().actor = None;
        let Some(then) = child.stopping.take() else {
            child.actor = None;
            self.crashed(&id, reason);
            return;
        };
        let waiting = std::mem::take(&mut child.waiting);
        self.stopped(&id, then);
        for message in waiting {
            Box::pin(self.dispatch(message)).await;
        }
        self.report_if_done();
    }
}
