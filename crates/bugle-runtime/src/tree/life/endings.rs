//! The ends of a life: by a crash, by its receiver, or with the runtime.

use std::time::Duration;

use bugle_core::{Backlog, Gone, Restart};

use super::next::Step;
use super::{Effect, Given, Goal, Life, Lives, Refusal, Then};
use crate::words::event::RuntimeEvent;

impl<C> Step<'_, C> {
    /// Its actor has ended. Whether it was told to is what its life says, not the words of its end.
    pub(super) fn ended(
        &mut self,
        mut lives: Lives<C>,
        why: String,
        aborted: u32,
    ) -> Option<Lives<C>> {
        match lives.life {
            Life::Running => Some(self.crashed(lives, why)),
            Life::Stopping { then, waiting } => {
                lives.life = Life::Running;
                self.stopped(lives, then, waiting, aborted)
            }
            _ => Some(lives),
        }
    }

    /// It starts again, within its budget.
    fn crashed(&mut self, mut lives: Lives<C>, why: String) -> Lives<C> {
        let Given { emitter, now, budget, .. } = self.given;
        let (emitter, incarnation) = (emitter.clone(), lives.incarnation);
        self.then(Effect::Hush);
        self.then(Effect::Blame(why.as_str().into()));
        match lives.crashes.get_or_insert_default().crashed(budget, now) {
            Restart::After(delay) => {
                let until = now.saturating_add(delay);
                lives.life = Life::Restarting { until, why: why.as_str().into() };
                self.then(Effect::Arm(delay, incarnation));
                let (reason, restart_in) = (why, delay);
                self.tell(RuntimeEvent::Crashed { emitter, incarnation, reason, restart_in });
            }
            Restart::GiveUp => {
                lives.life = Life::Failed { why: why.as_str().into() };
                // What it has accepted waits for `restart`, and blocks nobody.
                self.then(Effect::Rest(Backlog::Keep));
                self.tell(RuntimeEvent::Failed { emitter, reason: why });
            }
        }
        lives
    }

    pub(super) fn due(&mut self, mut lives: Lives<C>) -> Lives<C> {
        match lives.life {
            Life::Restarting { until, .. } if self.given.now >= until => {
                lives.restarts += 1;
                self.start(lives)
            }
            Life::Elsewhere { .. } => {
                self.then(Effect::Claim(None));
                lives
            }
            // Of an earlier emitter of this id, or it is not restarting any more.
            _ => lives,
        }
    }

    pub(super) fn gone(&mut self, lives: Lives<C>, gone: Gone) -> Lives<C> {
        if !matches!(lives.life, Life::Running) {
            // If it goes on one day, it will hear of it again.
            return lives;
        }
        self.tell(RuntimeEvent::Gone { emitter: self.given.emitter.clone() });
        let then = match gone {
            Gone::Detach => Then::Detach(None),
            // Nobody asked for the backlog to be dropped: it waits for who looks into it.
            _ => Then::Pause { backlog: Backlog::Keep, gone: true, caller: None, leaves: false },
        };
        self.then(Effect::Hush);
        self.then(Effect::Drain(Duration::ZERO));
        Lives { life: Life::Stopping { then, waiting: Vec::new() }, ..lives }
    }

    pub(super) fn shut_down(&mut self, mut lives: Lives<C>, grace: Duration) -> Option<Lives<C>> {
        match lives.life {
            Life::Opening { then, waiting } => {
                self.refuse_all(waiting);
                match then {
                    Goal::Attach => self.then(Effect::Withdraw),
                    _ => self.then(Effect::Leave { aborted: 0 }),
                }
                None
            }
            Life::Stopping { then, waiting } => {
                self.refuse_all(waiting);
                // A second call may shorten its grace.
                self.then(Effect::Drain(grace));
                let then = match then {
                    Then::Pause { backlog, gone, caller, .. } => {
                        Then::Pause { backlog, gone, caller, leaves: true }
                    }
                    Then::Reopen(caller) => {
                        self.refuse(caller, Refusal::ShutDown);
                        Then::ShutDown
                    }
                    Then::Yield { .. } => Then::ShutDown,
                    then => then,
                };
                lives.life = Life::Stopping { then, waiting: Vec::new() };
                Some(lives)
            }
            _ => self.stop(lives, grace, Then::ShutDown),
        }
    }
}
