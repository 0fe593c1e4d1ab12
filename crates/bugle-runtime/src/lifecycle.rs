//! An emitter's lives: how its actor starts, ends and crashes, and what follows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bugle_core::{Backlog, EmitterId, Incarnation, Restart, RestartLog};
use ractor::{Actor, ActorId, ActorRef};
use tokio::task::AbortHandle;

use crate::emitter::{EmitterActor, EmitterArguments, EmitterMessage};
use crate::error::ControlError;
use crate::shutdown::EmitterLeft;
use crate::spec::{Desired, Spec, Status};
use crate::supervisor::{Reply, SupervisorMessage, SupervisorState, answer};
use crate::watch::RuntimeEvent;

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
    /// Calls that came while its actor was ending, or its reader opening: in order.
    pub(crate) waiting: Vec<SupervisorMessage>,
}

/// What follows an actor's end.
pub(crate) enum Then {
    Pause(Backlog, Option<Reply<Result<(), ControlError>>>),
    Detach(Option<Reply<Result<(), ControlError>>>),
    ShutDown,
}

impl SupervisorState {
    /// Starts an emitter's actor: its next life.
    pub(crate) async fn start(&mut self, myself: &ActorRef<SupervisorMessage>, id: &EmitterId) {
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

    /// Ends an emitter's actor, and does what follows: at once when it has none.
    pub(crate) fn stop(&mut self, id: &EmitterId, grace: Duration, then: Then) {
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
    pub(crate) fn stopped(&mut self, id: &EmitterId, then: Then) {
        let Some(child) = self.children.get_mut(id) else { return };
        let spec = Arc::clone(&child.spec);
        spec.abort_courier();
        let aborted = spec.counters.in_flight.swap(0, Ordering::Relaxed);
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

    pub(crate) async fn restart_due(
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

    /// An actor has ended. Whether it was told to is what the child's state says, not the event.
    pub(crate) async fn ended(
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
    pub(crate) fn crashed(
        &mut self,
        myself: &ActorRef<SupervisorMessage>,
        id: &EmitterId,
        reason: String,
    ) {
        let Some(child) = self.children.get_mut(id) else { return };
        let spec = Arc::clone(&child.spec);
        spec.abort_courier();
        spec.counters.in_flight.store(0, Ordering::Relaxed);
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
}
