//! The supervisor's hands: an emitter's life goes on, and what that asks for is done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{Answer, AttemptCode, EmitterId, Failure, Incarnation};
use jiff::Timestamp;
use ractor::Actor;

use crate::emitter::actor::{EmitterActor, EmitterArguments};
use crate::emitter::message::EmitterMessage;
use crate::emitter::spec::{Shown, Spec};
use crate::tree::caller::Caller;
use crate::tree::life::next::next;
use crate::tree::life::{Call, Effect, Given, Input, Lives, Refusal};
use crate::tree::message::SupervisorMessage;
use crate::tree::{Child, Done, Tree};
use crate::words::description::LastFailure;
use crate::words::event::RuntimeEvent;
use crate::words::report::EmitterLeft;

impl Tree {
    /// Something happens to an emitter: its life goes on, and with it what follows from that at
    /// once.
    pub(crate) async fn go_on(&mut self, id: &EmitterId, input: Input<Caller>) {
        let (id, mut child) =
            self.children.remove_entry(id).unwrap_or_else(|| (id.clone(), Box::default()));
        let (now, backlog) = (self.tools.epoch.elapsed(), self.backlog);
        let mut following = VecDeque::new();
        let mut input = Some(input);
        while let Some(mut what) = input {
            if let Input::Call(call) = &mut what {
                child.compare(call);
            }
            let given = Given { emitter: &id, now, budget: &self.budget, backlog };
            let (lives, effects) = next(child.lives.take(), what, given);
            child.lives = lives;
            // A life that starts is shown with its actor.
            if !effects.iter().any(|effect| matches!(effect, Effect::Start(_))) {
                self.show(&child);
            }
            // In the hands of the store, also where no caller waits for it.
            let mut handed_over = Vec::new();
            for effect in effects {
                self.play(&id, &mut child, effect, &mut handed_over, &mut following).await;
            }
            if child.lives.is_none() {
                // Whoever is attached by a call that has waited is another emitter.
                child = Box::default();
            }
            input = following.pop_front();
        }
        if child.lives.is_some() {
            self.children.insert(id, child);
        }
    }

    async fn play(
        &mut self,
        id: &EmitterId,
        child: &mut Child,
        effect: Effect<Caller>,
        handed_over: &mut Vec<Done>,
        following: &mut VecDeque<Input<Caller>>,
    ) {
        match (effect, &child.spec) {
            (Effect::Open(caller), _) => following.extend(self.open(child, caller)),
            (Effect::Claim(caller), _) => following.extend(self.claim(child, caller)),
            (Effect::Withdraw, _) => self.withdraw(id),
            (Effect::Forget(caller), _) => self.forget(id, caller),
            (Effect::Tell(event), _) => self.tools.teller.tell(|| event),
            (Effect::Answer(caller, result), _) => caller.answer(id, result),
            (Effect::Take(call), _) => following.push_back(Input::Call(call)),
            (Effect::Arm(delay, incarnation), _) => self.arm(id, child, delay, incarnation),
            (Effect::Disarm, _) => child.disarm(),
            (Effect::Start(incarnation), Some(spec)) => {
                let started = self.start(child, Arc::clone(spec), incarnation).await;
                following.extend(started.err());
            }
            (Effect::Hush, Some(spec)) => self.router.remove(spec),
            (Effect::Wake, Some(spec)) => spec.wake(),
            (Effect::Drain(grace), Some(spec)) => {
                if let Some(actor) = &spec.state.lock().actor {
                    // Fails only when it has just crashed, and then its end is on its way too.
                    let _ = actor.send_message(EmitterMessage::Drain(grace));
                }
            }
            (Effect::Rest(backlog), Some(spec)) => {
                handed_over.push(spec.reader().pause(backlog));
                spec.settlements.tell();
            }
            (Effect::Resume(forgive), Some(spec)) => {
                let reader = spec.reader();
                handed_over.extend([reader.forgive(forgive), reader.resume()]);
            }
            (Effect::Retarget(caller), Some(spec)) => self.retarget(spec, caller),
            (Effect::Blame(why), Some(spec)) => {
                let failure = Failure::new(AttemptCode::Crashed, String::from(why));
                let failure = LastFailure::new(&failure, Timestamp::now());
                spec.state.lock().last_failure = Some(Box::new(failure));
            }
            (Effect::Keep(caller), Some(spec)) => {
                self.keep(spec, caller, std::mem::take(handed_over));
            }
            (Effect::Remove, Some(spec)) => {
                self.specs.write().remove(id);
                spec.state.lock().detached = true;
                spec.settlements.tell();
            }
            (Effect::Leave { aborted }, Some(spec)) => {
                let left = EmitterLeft::new(id.clone(), spec.depth(), aborted);
                if let Some(shutting_down) = &mut self.shutting_down {
                    shutting_down.left.push(left);
                }
            }
            // Without a place in the journal it has no actor, and nothing to keep or leave.
            (_, None) => {}
        }
    }

    /// Shows those who look what an emitter's life is now.
    fn show(&self, child: &Child) {
        if let (Some(spec), Some(lives)) = (&child.spec, &child.lives) {
            spec.state.lock().shown = shown(lives);
        }
    }

    /// Starts an emitter's actor. One that does not start has ended.
    async fn start(
        &mut self,
        child: &Child,
        spec: Arc<Spec>,
        incarnation: Incarnation,
    ) -> Result<(), Input<Caller>> {
        let arguments = EmitterArguments {
            spec: Arc::clone(&spec),
            tools: Arc::clone(&self.tools),
            supervisor: self.root.clone(),
        };
        let started =
            Actor::spawn_linked(None, EmitterActor::default(), arguments, self.root.get_cell());
        let (actor, _) = started.await.map_err(|error| {
            let why = error.to_string();
            Input::Ended { incarnation, why, aborted: 0 }
        })?;
        self.by_actor.insert(actor.get_id().pid(), spec.id.clone());
        {
            let mut state = spec.state.lock();
            state.actor = Some(actor);
            if let Some(lives) = &child.lives {
                state.shown = shown(lives);
            }
        }
        spec.doorbell.nobody();
        self.router.insert(&spec);
        let emitter = || spec.id.clone();
        self.tools.teller.tell(|| RuntimeEvent::Started { emitter: emitter(), incarnation });
        spec.wake_if_any(&self.tools);
        Ok(())
    }

    fn arm(&self, id: &EmitterId, child: &mut Child, delay: Duration, incarnation: Incarnation) {
        let root = self.root.clone();
        let due = SupervisorMessage::RestartDue { id: id.clone(), incarnation };
        let timer = tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let _ = root.send_message(due);
        });
        child.restart_timer = Some(timer.abort_handle());
    }

    fn forget(&self, id: &EmitterId, caller: Option<Caller>) {
        let forgotten = self.journal.forget(id);
        let id = id.clone();
        let answer = move |forgotten: Result<(), _>| {
            if let Some(caller) = caller {
                caller.answer(&id, forgotten.map_err(Refusal::Store));
            }
        };
        match forgotten {
            Answer::Now(Some(forgotten)) => answer(forgotten),
            forgetting => {
                tokio::spawn(async move { answer(forgetting.await) });
            }
        }
    }
}

impl Child {
    fn disarm(&mut self) {
        if let Some(timer) = self.restart_timer.take() {
            timer.abort();
        }
    }

    /// Says whether a call that ensures this emitter wants something else than it does now.
    fn compare(&self, call: &mut Call<Caller>) {
        if let Call::Ensure { caller: Caller::Bringing(new, _), anew } = call {
            let other = self
                .spec
                .as_ref()
                .filter(|spec| spec.with_subscription(|wanted| *wanted != new.subscription));
            // What is in flight is settled at the old place.
            *anew = other.map(|spec| spec.state.lock().target.timeout());
        }
    }
}

/// An emitter's life as those see it who look.
pub(crate) fn shown(lives: &Lives<Caller>) -> Shown {
    let (desired, backlog) = lives.life.desired();
    Shown {
        status: lives.life.status(),
        since: lives.since,
        reason: lives.life.reason().map(Box::from),
        desired,
        backlog,
        incarnation: lives.incarnation,
        restarts: lives.restarts,
    }
}
