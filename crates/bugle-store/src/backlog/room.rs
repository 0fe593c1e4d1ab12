//! Appends that wait for room.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bugle_core::AppendError;
use smallvec::SmallVec;

use super::Backlog;
use super::feed::FeedId;
use super::state::{ReaderId, State};

/// What an append ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    /// As many events wait in a feed as may.
    Events(FeedId),
    /// As many events wait for one emitter as may when one is delivered again.
    Emitter(ReaderId),
    /// As many bytes are held as may be.
    Bytes,
    /// The same, for one who has nothing dropped.
    Spare,
}

/// Why a step has no room.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// Not now, because of this limit.
    Now(Limit),
    /// Not ever.
    Ever(AppendError),
}

impl From<Limit> for NoRoom {
    fn from(limit: Limit) -> Self {
        Self::Now(limit)
    }
}

/// The appends that wait, each at the limit that it ran into last, in the order of their tickets.
///
/// When room comes up the first of them is woken, and tries again; if there is room still after
/// it, it wakes the next. One that is dropped after it was woken does that too, so no wake-up is
/// lost. A newcomer may slip in between, so that one that is woken but not polled holds nobody up.
#[derive(Debug, Default)]
pub(super) struct WaitingRoom {
    asleep: BTreeMap<(Limit, u64), Waker>,
    last_ticket: u64,
    /// The ones to wake when the lock is released.
    pub(super) woken: SmallVec<[Waker; 2]>,
}

impl WaitingRoom {
    /// A place in the order of those who wait.
    pub(super) fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asleep.is_empty()
    }

    pub(super) fn sleep(&mut self, limit: Limit, ticket: u64, waker: Waker) {
        self.asleep.insert((limit, ticket), waker);
    }

    /// Takes one out. `false` when it was not asleep, because it was woken.
    pub(super) fn leave(&mut self, limit: Limit, ticket: u64) -> bool {
        self.asleep.remove(&(limit, ticket)).is_some()
    }

    /// Wakes the first who waits at a limit.
    pub(super) fn wake_first(&mut self, limit: Limit) {
        let first = self.asleep.range((limit, 0)..=(limit, u64::MAX)).next().map(|(key, _)| *key);
        if let Some(waker) = first.and_then(|key| self.asleep.remove(&key)) {
            self.woken.push(waker);
        }
    }

    /// The emitters at whose limit a replay waits.
    pub(super) fn emitters(&self) -> Vec<ReaderId> {
        let range = (Limit::Emitter(0), 0)..=(Limit::Emitter(ReaderId::MAX), u64::MAX);
        let waits = |(limit, _): &(Limit, u64)| match limit {
            Limit::Emitter(reader) => Some(*reader),
            _ => None,
        };
        let mut readers: Vec<_> =
            self.asleep.range(range).filter_map(|(key, _)| waits(key)).collect();
        readers.dedup();
        readers
    }

    /// Wakes everyone who waits at a limit that is no more.
    pub(super) fn wake_all(&mut self, limit: Limit) {
        while self.asleep.range((limit, 0)..=(limit, u64::MAX)).next().is_some() {
            self.wake_first(limit);
        }
    }
}

/// A step that waits for room. Dropping it takes no step.
pub(super) struct WaitForRoom<'a, S> {
    backlog: &'a Backlog,
    step: S,
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

impl<'a, S> WaitForRoom<'a, S> {
    pub(super) fn new(backlog: &'a Backlog, step: S, limit: Limit, ticket: u64) -> Self {
        Self { backlog, step, ticket, limit, stage: Stage::Awake }
    }
}

impl<T, S> Future for WaitForRoom<'_, S>
where
    S: FnMut(&mut State) -> Result<T, NoRoom> + Unpin,
{
    type Output = Result<T, AppendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.stage == Stage::Done {
            // Polling again after completion stays pending, as a fused future would.
            return Poll::Pending;
        }
        let taken = this.backlog.with(|state| {
            let was_woken =
                this.stage == Stage::Asleep && !state.waiting.leave(this.limit, this.ticket);
            let taken = (this.step)(state);
            let ran_into = match &taken {
                Err(NoRoom::Now(limit)) => Some(*limit),
                Ok(_) | Err(NoRoom::Ever(_)) => None,
            };
            if let Some(limit) = ran_into {
                state.waiting.sleep(limit, this.ticket, context.waker().clone());
            }
            if was_woken && ran_into != Some(this.limit) {
                // It leaves the place that it was woken at: there may be room for the next.
                state.wake_next(this.limit);
            }
            taken
        });
        match taken {
            Ok(value) => {
                this.stage = Stage::Done;
                Poll::Ready(Ok(value))
            }
            Err(NoRoom::Ever(error)) => {
                this.stage = Stage::Done;
                Poll::Ready(Err(error))
            }
            Err(NoRoom::Now(limit)) => {
                this.stage = Stage::Asleep;
                this.limit = limit;
                Poll::Pending
            }
        }
    }
}

impl<S> Drop for WaitForRoom<'_, S> {
    fn drop(&mut self) {
        if self.stage == Stage::Asleep {
            self.backlog.with(|state| {
                // It may have been woken, or be one that needs much and has held up who needs less.
                state.waiting.leave(self.limit, self.ticket);
                state.wake_next(self.limit);
            });
        }
    }
}
