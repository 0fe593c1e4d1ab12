//! An emitter that another owner has: another runtime on the same store, or another machine.

use std::time::Duration;

use bugle_core::{ErrorKind, JournalError};

use super::next::Step;
use super::{Call, Effect, Life, Lives, Refusal, Then};
use crate::words::description::Status;
use crate::words::event::RuntimeEvent;

/// An emitter is asked for again after this time, at the latest.
const ASK_AGAIN: Duration = Duration::from_secs(5);

impl<C> Step<'_, C> {
    /// Another owner has the emitter: what changes how it runs is that one's to say.
    pub(super) fn called_elsewhere(
        &mut self,
        lives: Lives<C>,
        call: Call<C>,
        why: &str,
    ) -> Option<Lives<C>> {
        match call {
            Call::Attach(caller) => self.refuse(caller, Refusal::Is(Status::Elsewhere)),
            Call::Ensure { caller, anew: None } => self.then(Effect::Retarget(caller)),
            Call::Ensure { caller, anew: Some(grace) } => {
                return self.stop(lives, grace, Then::Reopen(caller));
            }
            Call::Pause { caller, .. } => {
                let message = format!("{why}: pause it there");
                let error = JournalError::new(ErrorKind::Fenced, message);
                self.refuse(caller, Refusal::Store(error));
            }
            // Whoever restarts it wants it to run here.
            Call::Restart(caller) => {
                self.then(Effect::Disarm);
                self.then(Effect::Claim(Some(caller)));
            }
            Call::Detach(caller) => {
                return self.stop(lives, Duration::ZERO, Then::Detach(Some(caller)));
            }
        }
        Some(lives)
    }

    /// Its courier can read nothing any more: another owner has it.
    pub(super) fn lost(&mut self, lives: Lives<C>, why: String) -> Lives<C> {
        if !matches!(lives.life, Life::Running) {
            return lives;
        }
        self.then(Effect::Hush);
        self.then(Effect::Drain(Duration::ZERO));
        let then = Then::Yield { why: why.into() };
        Lives { life: Life::Stopping { then, waiting: Vec::new() }, ..lives }
    }

    pub(super) fn yielded(&mut self, mut lives: Lives<C>, why: Box<str>) -> Lives<C> {
        let (emitter, reason) = (self.given.emitter.clone(), why.clone().into());
        self.tell(RuntimeEvent::OwnedElsewhere { emitter, reason });
        self.then(Effect::Arm(ASK_AGAIN, lives.incarnation));
        lives.life = Life::Elsewhere { why };
        lives
    }

    pub(super) fn moved(&mut self, lives: Lives<C>) -> Lives<C> {
        match lives.life {
            // If it was lost, its courier hears of it.
            Life::Running => self.then(Effect::Wake),
            Life::Elsewhere { .. } => {
                self.then(Effect::Disarm);
                self.then(Effect::Claim(None));
            }
            _ => {}
        }
        lives
    }

    pub(super) fn claimed(
        &mut self,
        lives: Lives<C>,
        caller: Option<C>,
        claimed: Result<(), JournalError>,
    ) -> Option<Lives<C>> {
        if !matches!(lives.life, Life::Elsewhere { .. }) {
            if let Some(caller) = caller {
                self.refuse(caller, Refusal::Is(lives.life.status()));
            }
            return Some(lives);
        }
        self.then(Effect::Disarm);
        let refused = claimed.as_ref().is_err_and(|error| error.kind == ErrorKind::Refused);
        match (claimed, caller) {
            (Ok(()), caller) => {
                let lives = self.start(lives);
                if let Some(caller) = caller {
                    self.then(Effect::Answer(caller, Ok(())));
                }
                Some(lives)
            }
            // It is nobody's any more: whoever had it has detached it.
            (Err(_), None) if refused => {
                self.then(Effect::Remove);
                self.tell(RuntimeEvent::Detached { emitter: self.given.emitter.clone() });
                None
            }
            (Err(error), caller) => {
                self.then(Effect::Arm(ASK_AGAIN, lives.incarnation));
                if let Some(caller) = caller {
                    self.refuse(caller, Refusal::Store(error));
                }
                Some(lives)
            }
        }
    }
}
