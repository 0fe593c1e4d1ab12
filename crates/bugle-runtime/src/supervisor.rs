//! The root supervisor: starts one actor per emitter, keeps their specs, and decides from the
//! desired state what an actor's end means. One emitter's trouble ends here.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Backlog, Desired, EmitterId, EmitterSpecs, Forgive, Gone, Incarnation, Journal, RestartBudget,
};
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use rustc_hash::FxHashMap;

use crate::control::may_restart;
use crate::courier::Tools;
use crate::description::Status;
use crate::error::{ControlError, RestartError};
use crate::message::{EmitterMessage, PauseHow, Reply, SupervisorMessage, answer, refuse};
use crate::router::Router;
use crate::tree::{Specs, Then, Tree};
use crate::watch::RuntimeEvent;

pub(crate) struct SupervisorArguments {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) kept: Option<Arc<dyn EmitterSpecs>>,
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
        let SupervisorArguments { journal, kept, tools, router, specs, budget } = arguments;
        Ok(Tree {
            root,
            journal,
            kept,
            tools,
            router,
            specs,
            budget,
            children: FxHashMap::default(),
            by_actor: FxHashMap::default(),
            opening: FxHashMap::default(),
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
            SupervisorMessage::Ensure(new, reply) => self.ensure(new, reply).await,
            SupervisorMessage::Restore(all, reply) => {
                self.restore(all).await;
                let _ = reply.send(());
            }
            SupervisorMessage::Opened(new, reader, reply) => {
                self.opened(new, reader, reply).await;
            }
            SupervisorMessage::Pause(id, how, reply) => self.pause(&id, how, Some(reply)).await,
            SupervisorMessage::Restart(id, reply) => self.restart(&id, reply).await,
            SupervisorMessage::Detach(id, reply) => self.detach(&id, Some(reply)).await,
            SupervisorMessage::Gone { id, incarnation } => self.gone(&id, incarnation).await,
            SupervisorMessage::RestartDue { id, incarnation } => {
                self.restart_due(&id, incarnation).await;
            }
            SupervisorMessage::Shutdown(grace, reply) => self.shut_down(grace, reply).await,
        }
    }

    /// Holds a call back while its emitter is between two states; refuses it after shutdown.
    fn or_wait(&mut self, message: SupervisorMessage) -> Option<SupervisorMessage> {
        let id = match &message {
            SupervisorMessage::Attach(new, _) | SupervisorMessage::Ensure(new, _) => &new.id,
            SupervisorMessage::Pause(id, ..)
            | SupervisorMessage::Restart(id, _)
            | SupervisorMessage::Detach(id, _) => id,
            _ => return Some(message),
        };
        if self.shutting_down.is_some() {
            refuse(message);
            return None;
        }
        if let Some(waiting) = self.opening.get_mut(id) {
            waiting.push(message);
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

    pub(crate) async fn pause(
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
                let spec = Arc::clone(&child.spec);
                spec.reader().pause(backlog);
                spec.state.lock().backlog = backlog;
                spec.settled.tell();
                self.keep(&spec, reply);
            } else {
                answer(reply, Ok(()));
            }
            return;
        }
        {
            let mut state = child.spec.state.lock();
            state.desired = Desired::Paused;
            state.status = Status::Paused;
        }
        self.stop(id, how.grace, Then::Pause(backlog, reply)).await;
    }

    pub(crate) async fn detach(
        &mut self,
        id: &EmitterId,
        reply: Option<Reply<Result<(), ControlError>>>,
    ) {
        if !self.children.contains_key(id) {
            // The store may know an emitter of an earlier run.
            self.forget(id, reply);
            return;
        }
        self.stop(id, Duration::ZERO, Then::Detach(reply)).await;
    }

    async fn restart(&mut self, id: &EmitterId, reply: Reply<Result<(), RestartError>>) {
        if let Err(error) = may_restart(id, self.status(id)) {
            // Fails only when the caller has stopped waiting.
            let _ = reply.send(Err(error));
            return;
        }
        let Some(child) = self.children.get_mut(id) else { return };
        let spec = Arc::clone(&child.spec);
        child.crashes.clear();
        let reader = spec.reader();
        // Whoever restarts it wants to see it try, not wait. What had crashed it still has.
        reader.forgive(match spec.status() {
            Status::Failed => Forgive::Waits,
            _ => Forgive::All,
        });
        reader.resume();
        self.tools.teller.tell(|| RuntimeEvent::Restarted { emitter: id.clone() });
        self.start(id).await;
        self.keep(&spec, Some(reply));
    }

    async fn gone(&mut self, id: &EmitterId, incarnation: Incarnation) {
        let Some(child) = self.children.get(id) else { return };
        if child.stopping.is_some() || self.opening.contains_key(id) {
            // If it goes on after that, it will hear of it again.
            return;
        }
        let gone = {
            let state = child.spec.state.lock();
            if state.incarnation != incarnation || state.status != Status::Running {
                return;
            }
            state.target.gone()
        };
        self.tools.teller.tell(|| RuntimeEvent::Gone { emitter: id.clone() });
        match gone {
            Gone::Detach => self.detach(id, None).await,
            // Nobody asked for the backlog to be dropped: it waits for who looks into it.
            _ => {
                let how = PauseHow { backlog: Some(Backlog::Keep), grace: Duration::ZERO };
                self.pause(id, how, None).await;
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
        self.stopped(&id, then).await;
        for message in waiting {
            Box::pin(self.dispatch(message)).await;
        }
        self.report_if_done();
    }
}
