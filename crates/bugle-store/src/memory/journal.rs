//! The port `Journal`, in memory.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bugle_core::{
    Answer, AppendError, Backlog, DeadLetter, EmitterId, Event, Journal, JournalError,
    JournalStats, Overflow, Reader, Sequence, Subscription,
};
use parking_lot::Mutex;

use super::dead_letters::DeadLetters;
use super::options::MemoryOptions;
use super::reader::MemoryReader;
use super::room::Limit;
use super::state::State;

/// The journal in memory: safe as long as the process lives. All it does, it does at once; only an
/// append that waits for room answers later.
#[derive(Clone)]
pub(crate) struct MemoryJournal {
    shared: Arc<Shared>,
}

/// What the journal and its readers share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Locked after the state, where both are.
    pub(super) dead_letters: Mutex<DeadLetters>,
    max_bytes: u64,
    overflow: Overflow,
}

impl Shared {
    /// Works on the state under its lock. Who is to be woken is woken, and what nobody waits for
    /// any more is freed, when the lock is released.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let answer = work(&mut state);
        let woken = std::mem::take(&mut state.waiting.woken);
        let gone = std::mem::take(&mut state.stock.ledger.gone);
        drop(state);
        for waker in woken {
            waker.wake();
        }
        drop(gone);
        answer
    }
}

impl MemoryJournal {
    pub(crate) fn new(options: &MemoryOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new(options)),
                dead_letters: Mutex::new(DeadLetters::new(
                    options.dead_letters,
                    options.dead_letter_bytes,
                )),
                max_bytes: options.max_bytes,
                overflow: options.overflow,
            }),
        }
    }
}

#[cfg(test)]
impl MemoryJournal {
    /// Checks that the state's counts agree with one another.
    pub(super) fn check(&self) {
        self.shared.with(State::check);
    }
}

impl Journal for MemoryJournal {
    fn append(&self, event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>> {
        let bytes = event.payload.len() as u64;
        if bytes > self.shared.max_bytes {
            let limit = self.shared.max_bytes;
            return Answer::now(Err(AppendError::TooLarge { bytes, limit }));
        }
        let blocks = self.shared.overflow == Overflow::Block;
        let appended = self.shared.with(|state| {
            state.append(&event).map_err(|limit| {
                if blocks {
                    state.counts.blocked += 1;
                    return Refused::Wait(limit, state.waiting.ticket());
                }
                state.counts.rejected += 1;
                Refused::Full(state.full(limit))
            })
        });
        match appended {
            Ok(sequence) => Answer::now(Ok(sequence)),
            Err(Refused::Full(error)) => Answer::now(Err(error)),
            Err(Refused::Wait(limit, ticket)) => Answer::later(WaitForRoom {
                shared: &self.shared,
                event,
                ticket,
                limit,
                stage: Stage::Awake,
            }),
        }
    }

    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        let opened = self.shared.with(|state| state.open(emitter, subscription));
        Answer::now(Ok(Arc::new(MemoryReader::new(
            Arc::clone(&self.shared),
            emitter.clone(),
            opened,
        ))))
    }

    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        self.shared.with(|state| state.forget(emitter));
        Answer::now(Ok(()))
    }

    fn default_backlog(&self) -> Backlog {
        Backlog::Discard
    }

    fn dead_letters(
        &self,
        emitter: Option<&EmitterId>,
        limit: usize,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        Answer::now(Ok(self.shared.dead_letters.lock().newest(emitter, limit)))
    }

    fn stats(&self) -> JournalStats {
        self.shared.with(|state| state.stats())
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        Answer::now(Ok(()))
    }
}

impl fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryJournal").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

enum Refused {
    Full(AppendError),
    Wait(Limit, u64),
}

/// An append that waits for room. Dropping it appends nothing.
struct WaitForRoom<'a> {
    shared: &'a Shared,
    event: Arc<Event>,
    ticket: u64,
    /// What it ran into last.
    limit: Limit,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It has not been polled yet.
    Awake,
    /// It is in the waiting room, or was woken from there.
    Asleep,
    Done,
}

impl Future for WaitForRoom<'_> {
    type Output = Result<Sequence, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.stage == Stage::Done {
            // Polling again after completion stays pending, as a fused future would.
            return Poll::Pending;
        }
        let polled = this.shared.with(|state| {
            let was_woken =
                this.stage == Stage::Asleep && !state.waiting.leave(this.limit, this.ticket);
            let appended = state.append(&this.event);
            if let Err(limit) = appended {
                state.waiting.sleep(limit, this.ticket, context.waker().clone());
            }
            if was_woken && appended != Err(this.limit) {
                // It leaves the place that it was woken at: there may be room for the next.
                state.wake_next(this.limit);
            }
            appended
        });
        match polled {
            Ok(sequence) => {
                this.stage = Stage::Done;
                Poll::Ready(Ok(sequence))
            }
            Err(limit) => {
                this.stage = Stage::Asleep;
                this.limit = limit;
                Poll::Pending
            }
        }
    }
}

impl Drop for WaitForRoom<'_> {
    fn drop(&mut self) {
        if self.stage == Stage::Asleep {
            self.shared.with(|state| {
                if !state.waiting.leave(self.limit, self.ticket) {
                    state.wake_next(self.limit);
                }
            });
        }
    }
}
