//! The step of a life: what happens now leads to the life that follows.

use std::time::Duration;

use bugle_core::{Backlog, ErrorKind, Forgive, Incarnation, JournalError};

use crate::tree::life::{Call, Effect, Given, Goal, Input, Life, Lives, Refusal, Then};
use crate::words::event::RuntimeEvent;

/// The life that follows what happens now, and what the supervisor has to do for it, in this order.
/// Without a life there is no such emitter.
pub(crate) fn next<C>(
    before: Option<Lives<C>>,
    input: Input<C>,
    given: Given<'_>,
) -> (Option<Lives<C>>, Vec<Effect<C>>) {
    let was = before.as_ref().map(|lives| lives.life.status());
    let mut step = Step { given, effects: Vec::new() };
    let mut after = match before {
        None => step.absent(input),
        Some(lives) => step.present(lives, input),
    };
    if let Some(after) = &mut after
        && was != Some(after.life.status())
    {
        after.since = given.now;
    }
    (after, step.effects)
}

/// One step of a life, and the effects that it has by now.
pub(super) struct Step<'a, C> {
    pub(super) given: Given<'a>,
    pub(super) effects: Vec<Effect<C>>,
}

impl<C> Step<'_, C> {
    /// There is no such emitter.
    fn absent(&mut self, input: Input<C>) -> Option<Lives<C>> {
        match input {
            Input::Call(Call::Attach(caller) | Call::Ensure { caller, .. }) => {
                self.then(Effect::Open(caller));
                let life = Life::Opening { then: Goal::Attach, waiting: Vec::new() };
                return Some(Lives::new(life));
            }
            Input::Call(Call::Restart(caller)) => self.refuse(caller, Refusal::Absent),
            Input::Call(Call::Pause { caller, .. }) => self.then(Effect::Answer(caller, Ok(()))),
            // The store may know an emitter of an earlier run.
            Input::Call(Call::Detach(caller)) => self.then(Effect::Forget(Some(caller))),
            Input::Restored(paused) => {
                let goal = paused.map(|backlog| Goal::Pause { backlog, gone: false });
                let lives = Lives::new(Life::Running);
                self.tell(RuntimeEvent::Attached { emitter: self.given.emitter.clone() });
                return Some(self.go_on(lives, goal.unwrap_or(Goal::Run)));
            }
            // The runtime was shut down meanwhile.
            Input::Opened(caller, _) | Input::Claimed(Some(caller), _) => {
                self.refuse(caller, Refusal::ShutDown);
            }
            Input::Ended { .. }
            | Input::Due(_)
            | Input::Gone(..)
            | Input::Lost(..)
            | Input::Moved
            | Input::Claimed(None, _)
            | Input::ShutDown(_) => {}
        }
        None
    }

    fn present(&mut self, lives: Lives<C>, input: Input<C>) -> Option<Lives<C>> {
        match input {
            Input::Call(call) => self.called(lives, call),
            Input::Opened(caller, opened) => self.opened(lives, caller, opened),
            Input::Ended { incarnation, why, aborted } if incarnation == lives.incarnation => {
                self.ended(lives, why, aborted)
            }
            Input::Due(incarnation) if incarnation == lives.incarnation => Some(self.due(lives)),
            Input::Gone(incarnation, gone) if incarnation == lives.incarnation => {
                Some(self.gone(lives, gone))
            }
            Input::Lost(incarnation, why) if incarnation == lives.incarnation => {
                Some(self.lost(lives, why))
            }
            Input::Moved => Some(self.moved(lives)),
            Input::Claimed(caller, claimed) => self.claimed(lives, caller, claimed),
            Input::ShutDown(grace) => self.shut_down(lives, grace),
            // Too late: it is about an earlier life.
            Input::Ended { .. }
            | Input::Due(_)
            | Input::Gone(..)
            | Input::Lost(..)
            | Input::Restored(_) => Some(lives),
        }
    }

    fn called(&mut self, mut lives: Lives<C>, call: Call<C>) -> Option<Lives<C>> {
        match &mut lives.life {
            // Between two lives a call waits.
            Life::Opening { waiting, .. } => {
                waiting.push(call);
                return Some(lives);
            }
            Life::Stopping { waiting, .. } => {
                if call.stops_at_once() {
                    // It drains, and this call is not to wait for that.
                    self.then(Effect::Drain(Duration::ZERO));
                }
                waiting.push(call);
                return Some(lives);
            }
            _ => {}
        }
        if let Life::Elsewhere { why } = &lives.life {
            let why = why.clone();
            return self.called_elsewhere(lives, call, &why);
        }
        match call {
            Call::Attach(caller) => self.refuse(caller, Refusal::Is(lives.life.status())),
            Call::Ensure { caller, anew: None } => self.then(Effect::Retarget(caller)),
            Call::Ensure { caller, anew: Some(grace) } => {
                return self.stop(lives, grace, Then::Reopen(caller));
            }
            Call::Pause { caller, backlog, grace } => {
                return self.pause(lives, caller, backlog, grace);
            }
            Call::Restart(caller) => return Some(self.restart(lives, caller)),
            Call::Detach(caller) => {
                return self.stop(lives, Duration::ZERO, Then::Detach(Some(caller)));
            }
        }
        Some(lives)
    }

    fn pause(
        &mut self,
        lives: Lives<C>,
        caller: C,
        chosen: Option<Backlog>,
        grace: Duration,
    ) -> Option<Lives<C>> {
        let backlog = chosen.unwrap_or(self.given.backlog);
        if !matches!(lives.life, Life::Paused { .. }) {
            let caller = Some(caller);
            let then = Then::Pause { backlog, gone: false, caller, leaves: false };
            return self.stop(lives, grace, then);
        }
        if chosen.is_none() {
            self.then(Effect::Answer(caller, Ok(())));
            return Some(lives);
        }
        self.then(Effect::Rest(backlog));
        self.then(Effect::Keep(Some(caller)));
        Some(Lives { life: Life::Paused { backlog, gone: false }, ..lives })
    }

    fn restart(&mut self, mut lives: Lives<C>, caller: C) -> Lives<C> {
        // Whoever restarts it wants to see it try, not wait. What had crashed it still has.
        let forgive = match lives.life {
            Life::Paused { .. } => Forgive::All,
            Life::Failed { .. } => Forgive::Waits,
            _ => {
                self.refuse(caller, Refusal::Is(lives.life.status()));
                return lives;
            }
        };
        lives.crashes = None;
        self.then(Effect::Resume(forgive));
        self.tell(RuntimeEvent::Restarted { emitter: self.given.emitter.clone() });
        let lives = self.start(lives);
        self.then(Effect::Keep(Some(caller)));
        lives
    }

    pub(super) fn start(&mut self, mut lives: Lives<C>) -> Lives<C> {
        lives.incarnation = Incarnation(lives.incarnation.0 + 1);
        lives.life = Life::Running;
        self.then(Effect::Start(lives.incarnation));
        lives
    }

    /// Ends an emitter's actor, and does what follows: at once when it has none.
    pub(super) fn stop(
        &mut self,
        mut lives: Lives<C>,
        grace: Duration,
        then: Then<C>,
    ) -> Option<Lives<C>> {
        match lives.life {
            Life::Running => {
                self.then(Effect::Hush);
                self.then(Effect::Drain(grace));
                lives.life = Life::Stopping { then, waiting: Vec::new() };
                Some(lives)
            }
            Life::Restarting { .. } | Life::Elsewhere { .. } => {
                self.then(Effect::Disarm);
                self.stopped(lives, then, Vec::new(), 0)
            }
            _ => self.stopped(lives, then, Vec::new(), 0),
        }
    }

    /// An emitter has no actor any more, as it was to be. Its life is the one before that.
    pub(super) fn stopped(
        &mut self,
        mut lives: Lives<C>,
        then: Then<C>,
        waiting: Vec<Call<C>>,
        aborted: u32,
    ) -> Option<Lives<C>> {
        let emitter = self.given.emitter;
        let after = match then {
            Then::Pause { backlog, gone, caller, leaves } => {
                self.then(Effect::Rest(backlog));
                self.tell(RuntimeEvent::Paused { emitter: emitter.clone() });
                self.then(Effect::Keep(caller));
                if leaves {
                    self.then(Effect::Leave { aborted });
                }
                lives.life = Life::Paused { backlog, gone };
                (!leaves).then_some(lives)
            }
            Then::Detach(caller) => {
                self.then(Effect::Remove);
                self.tell(RuntimeEvent::Detached { emitter: emitter.clone() });
                self.then(Effect::Forget(caller));
                None
            }
            Then::Reopen(caller) => {
                let then = match lives.life {
                    Life::Paused { backlog, gone } => Goal::Pause { backlog, gone },
                    Life::Failed { why } => Goal::Fail { why },
                    _ => Goal::Run,
                };
                self.then(Effect::Open(caller));
                lives.life = Life::Opening { then, waiting };
                return Some(lives);
            }
            Then::Yield { why } => Some(self.yielded(lives, why)),
            Then::ShutDown => {
                self.then(Effect::Leave { aborted });
                None
            }
        };
        self.take_all(waiting);
        after
    }

    fn opened(
        &mut self,
        mut lives: Lives<C>,
        caller: C,
        opened: Result<(), JournalError>,
    ) -> Option<Lives<C>> {
        let Life::Opening { then, waiting } = lives.life else {
            self.refuse(caller, Refusal::ShutDown);
            return Some(lives);
        };
        lives.life = Life::Running;
        let after = match opened {
            Ok(()) => {
                if matches!(then, Goal::Attach) {
                    self.tell(RuntimeEvent::Attached { emitter: self.given.emitter.clone() });
                }
                let lives = self.go_on(lives, then);
                self.then(Effect::Answer(caller, Ok(())));
                Some(lives)
            }
            // It is there, and another owner delivers for it.
            Err(error) if error.kind == ErrorKind::Fenced => {
                if matches!(then, Goal::Attach) {
                    self.tell(RuntimeEvent::Attached { emitter: self.given.emitter.clone() });
                }
                let lives = match then {
                    Goal::Attach | Goal::Run => self.yielded(lives, error.message.into()),
                    Goal::Pause { backlog, gone } => {
                        Lives { life: Life::Paused { backlog, gone }, ..lives }
                    }
                    Goal::Fail { why } => Lives { life: Life::Failed { why }, ..lives },
                };
                self.then(Effect::Answer(caller, Ok(())));
                Some(lives)
            }
            Err(error) => {
                if matches!(then, Goal::Attach) {
                    self.then(Effect::Withdraw);
                } else {
                    // What waits is kept, for when it is attached or ensured again.
                    self.then(Effect::Remove);
                    let reason = format!("it lost its place: {error}");
                    let emitter = self.given.emitter.clone();
                    self.tell(RuntimeEvent::Failed { emitter, reason });
                }
                self.refuse(caller, Refusal::Store(error));
                None
            }
        };
        self.take_all(waiting);
        after
    }

    /// An emitter whose place was opened goes on as it was.
    fn go_on(&mut self, lives: Lives<C>, goal: Goal) -> Lives<C> {
        let (life, backlog) = match goal {
            Goal::Attach | Goal::Run => return self.start(lives),
            Goal::Pause { backlog, gone } => (Life::Paused { backlog, gone }, backlog),
            Goal::Fail { why } => (Life::Failed { why }, Backlog::Keep),
        };
        self.then(Effect::Rest(backlog));
        Lives { life, ..lives }
    }

    pub(super) fn then(&mut self, effect: Effect<C>) {
        self.effects.push(effect);
    }

    pub(super) fn tell(&mut self, event: RuntimeEvent) {
        self.then(Effect::Tell(event));
    }

    pub(super) fn refuse(&mut self, caller: C, why: Refusal) {
        self.then(Effect::Answer(caller, Err(why)));
    }

    fn take_all(&mut self, waiting: Vec<Call<C>>) {
        self.effects.extend(waiting.into_iter().map(Effect::Take));
    }

    pub(super) fn refuse_all(&mut self, waiting: Vec<Call<C>>) {
        let refusals = waiting.into_iter().map(Call::into_caller);
        self.effects.extend(refusals.map(|to| Effect::Answer(to, Err(Refusal::ShutDown))));
    }
}

impl<C> Lives<C> {
    fn new(life: Life<C>) -> Self {
        Self {
            life,
            since: Duration::ZERO,
            incarnation: Incarnation(0),
            restarts: 0,
            crashes: None,
        }
    }
}
