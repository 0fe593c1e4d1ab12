//! An emitter's lives: how its actor starts, ends and crashes, and what follows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bugle_core::{Answer, AttemptCode, Backlog, Desired, EmitterId, Failure, Incarnation, Restart};
use jiff::Timestamp;
use ractor::Actor;

use crate::description::{LastFailure, Status};
use crate::emitter::{EmitterActor, EmitterArguments};
use crate::error::{AttachError, ControlError};
use crate::message::{EmitterMessage, Reply, SupervisorMessage, answer};
use crate::report::EmitterLeft;
use crate::tree::{Then, Tree};
use crate::watch::RuntimeEvent;

impl Tree {
    /// Starts an emitter's actor: its next life.
    pub(crate) async fn start(&mut self, id: &EmitterId) {
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
            supervisor: self.root.clone(),
            incarnation,
        };
        match Actor::spawn_linked(None, EmitterActor, arguments, self.root.get_cell()).await {
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
                if spec.depth() > 0 {
                    spec.wake();
                }
            }
            Err(error) => self.crashed(id, error.to_string()),
        }
    }

    /// Ends an emitter's actor, and does what follows: at once when it has none.
    pub(crate) async fn stop(&mut self, id: &EmitterId, grace: Duration, then: Then) {
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
            None => self.stopped(id, then).await,
        }
    }

    /// An emitter's actor has ended as it was told to.
    pub(crate) async fn stopped(&mut self, id: &EmitterId, then: Then) {
        let Some(child) = self.children.get_mut(id) else { return };
        let spec = Arc::clone(&child.spec);
        spec.abort_courier();
        let aborted = spec.counters.in_flight.swap(0, Ordering::Relaxed);
        match then {
            Then::Pause(backlog, reply) => {
                spec.reader().pause(backlog);
                {
                    let mut state = spec.state.lock();
                    state.backlog = backlog;
                    state.waiting_for = None;
                }
                spec.settled.tell();
                self.tools.teller.tell(|| RuntimeEvent::Paused { emitter: id.clone() });
                self.keep(&spec, reply);
                if self.shutting_down.is_some() {
                    self.leave(id, aborted);
                }
            }
            Then::Detach(reply) => {
                self.children.remove(id);
                self.specs.write().remove(id);
                spec.state.lock().detached = true;
                spec.settled.tell();
                self.tools.teller.tell(|| RuntimeEvent::Detached { emitter: id.clone() });
                self.forget(id, reply);
            }
            Then::Resubscribe(_, reply) if self.shutting_down.is_some() => {
                answer(Some(reply), Err(AttachError::ShutDown));
                self.leave(id, aborted);
            }
            Then::Resubscribe(new, reply) => {
                self.reopen(&spec, new, reply).await;
            }
            Then::ShutDown => {
                self.leave(id, aborted);
            }
        }
    }

    /// At shutdown: what an emitter leaves goes into the report.
    fn leave(&mut self, id: &EmitterId, aborted: u32) {
        let Some(child) = self.children.remove(id) else { return };
        let left = EmitterLeft::new(id.clone(), child.spec.depth(), aborted);
        if let Some(shutting_down) = &mut self.shutting_down {
            shutting_down.left.push(left);
        }
    }

    pub(crate) async fn restart_due(&mut self, id: &EmitterId, incarnation: Incarnation) {
        let Some(child) = self.children.get_mut(id) else { return };
        {
            let mut state = child.spec.state.lock();
            if state.status != Status::Restarting || state.incarnation != incarnation {
                return;
            }
            state.restarts += 1;
        }
        child.restart_timer = None;
        self.start(id).await;
    }

    /// An emitter crashed: it starts again, within its budget.
    pub(crate) fn crashed(&mut self, id: &EmitterId, reason: String) {
        let Some(child) = self.children.get_mut(id) else { return };
        let spec = Arc::clone(&child.spec);
        spec.abort_courier();
        spec.counters.in_flight.store(0, Ordering::Relaxed);
        self.router.remove(&spec);
        let mut state = spec.state.lock();
        let incarnation = state.incarnation;
        state.waiting_for = None;
        let failure = Failure::new(AttemptCode::Crashed, reason.clone());
        state.last_failure = Some(LastFailure::new(&failure, Timestamp::now()));
        match child.crashes.crashed(&self.budget, self.tools.epoch.elapsed()) {
            Restart::After(delay) => {
                state.status = Status::Restarting;
                let (root, due) = (
                    self.root.clone(),
                    SupervisorMessage::RestartDue { id: id.clone(), incarnation },
                );
                let timer = tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = root.send_message(due);
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
                spec.reader().pause(Backlog::Keep);
                self.tools.teller.tell(|| RuntimeEvent::Failed { emitter: id.clone(), reason });
            }
        }
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
}
