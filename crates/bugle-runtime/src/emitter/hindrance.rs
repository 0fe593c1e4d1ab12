//! The hindrances that keep a courier from its work and are no fault of the receiver: a store that
//! does not do its part, a machine that is short of something. Both are waited for, as long as they
//! last: the emitter neither fails nor gives up an event, and says what it waits for.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{Advice, AttemptCode, Failure, JournalError, Lane, RetryPolicy};
use jiff::Timestamp;

use crate::emitter::consequence::Consequence;
use crate::emitter::message::Exit;
use crate::emitter::spec::Spec;
use crate::emitter::tools::Tools;
use crate::words::description::{WaitKind, WaitingFor};
use crate::words::event::RuntimeEvent;

/// A store that failed is left alone this long at first, and this long at most.
const STORE_WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];

/// Attempts that count as none go to the log of attempts at most this often, for each emitter: an
/// operator wants to see them, and not thousands of them.
const RECORDED_EACH: Duration = Duration::from_secs(60);

/// A store is asked to do this.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    Read,
    Write,
}

/// All that keeps a courier from its work now.
#[derive(Debug)]
pub(crate) struct Hindrances {
    /// Its emitter, which says what it waits for.
    spec: Arc<Spec>,
    tools: Arc<Tools>,
    /// Failures of the store in a row, to read and to write.
    store: [u32; 2],
    /// Why the last attempt counts as none: the kind of it, and its words.
    uncounted: Option<(AttemptCode, String)>,
    /// When such an attempt last went to the log.
    recorded: Option<Duration>,
}

impl Hindrances {
    pub(crate) fn new(spec: Arc<Spec>, tools: Arc<Tools>) -> Self {
        Self { spec, tools, store: [0; 2], uncounted: None, recorded: None }
    }

    /// Takes an answer of the store. An error that may pass is none of the emitter's business: it
    /// is said, and the lane rests a while. After any other the courier ends.
    pub(crate) fn answered<T>(
        &mut self,
        asked: Asked,
        answer: Result<T, JournalError>,
        lane: &mut Lane,
    ) -> Result<Option<T>, Exit> {
        match answer {
            Ok(value) => {
                if self.store[asked as usize] > 0 {
                    self.store[asked as usize] = 0;
                    self.store_may_be_well();
                }
                Ok(Some(value))
            }
            Err(error) => match Consequence::of(error.kind) {
                Consequence::AskAgain => {
                    self.store_failed(asked, &error, lane);
                    Ok(None)
                }
                Consequence::EndReader => Err(Exit::Lost(error.message)),
                Consequence::Crash => Err(Exit::Crashed(error.message)),
            },
        }
    }

    fn store_failed(&mut self, asked: Asked, error: &JournalError, lane: &mut Lane) {
        let first = self.store == [0; 2];
        let failures = &mut self.store[asked as usize];
        *failures = failures.saturating_add(1);
        let [shortest, longest] = STORE_WAITS;
        let rest = RetryPolicy::exponential(shortest, longest).delay(*failures, 0);
        lane.hold(self.tools.epoch.elapsed().saturating_add(rest));
        self.waits_for(WaitKind::Store, &error.message);
        if first {
            self.tools.teller.tell(|| RuntimeEvent::StoreUnavailable {
                emitter: self.spec.id.clone(),
                message: error.message.clone(),
            });
        }
    }

    /// Nothing is left to ask the store for.
    pub(crate) fn asks_no_more(&mut self) {
        if self.store != [0; 2] {
            self.store = [0; 2];
            self.store_may_be_well();
        }
    }

    fn store_may_be_well(&self) {
        if self.store == [0; 2] {
            self.waits_no_more_for(|kind| kind == WaitKind::Store);
            let emitter = || self.spec.id.clone();
            self.tools.teller.tell(|| RuntimeEvent::StoreAvailable { emitter: emitter() });
        }
    }

    /// An attempt ended, in whatever way. Answers whether it counts.
    pub(crate) fn attempted(&mut self, failure: Option<&Failure>) -> bool {
        let uncounted = failure.filter(|failure| failure.advice == Advice::Uncounted);
        let Some(failure) = uncounted else {
            if let Some((code, message)) = self.uncounted.take() {
                self.waits_no_more_for(|kind| kind != WaitKind::Store);
                self.shortage_over(code, message);
            }
            return true;
        };
        let kind = match failure.code {
            AttemptCode::Shortage => WaitKind::Shortage,
            _ => WaitKind::Receiver,
        };
        self.waits_for(kind, &failure.message);
        let now = (failure.code, failure.message.clone().into_owned());
        let before = self.uncounted.replace(now);
        if before.as_ref().is_some_and(|(code, _)| *code == failure.code) {
            return false;
        }
        if let Some((code, message)) = before {
            self.shortage_over(code, message);
        }
        if kind == WaitKind::Shortage {
            self.tools.teller.tell(|| RuntimeEvent::Shortage {
                emitter: self.spec.id.clone(),
                message: failure.message.clone().into_owned(),
            });
        }
        false
    }

    fn shortage_over(&self, code: AttemptCode, message: String) {
        if code == AttemptCode::Shortage {
            let emitter = || self.spec.id.clone();
            self.tools.teller.tell(|| RuntimeEvent::ShortageOver { emitter: emitter(), message });
        }
    }

    /// Says whether an attempt that counts as none goes to the log of attempts.
    pub(crate) fn is_recorded(&mut self, now: Duration) -> bool {
        let recorded = self.recorded;
        let due = recorded.is_none_or(|at| now.saturating_sub(at) >= RECORDED_EACH);
        if due {
            self.recorded = Some(now);
        }
        due
    }

    fn waits_for(&self, kind: WaitKind, message: &str) {
        let mut state = self.spec.state.lock();
        match &mut state.waiting_for {
            Some(waiting_for) if waiting_for.kind == kind => {
                message.clone_into(&mut waiting_for.message)
            }
            waiting_for => {
                let waits = WaitingFor::new(kind, message, Timestamp::now());
                *waiting_for = Some(Box::new(waits));
            }
        }
    }

    fn waits_no_more_for(&self, which: impl Fn(WaitKind) -> bool) {
        let mut state = self.spec.state.lock();
        state.waiting_for.take_if(|waiting_for| which(waiting_for.kind));
    }
}
