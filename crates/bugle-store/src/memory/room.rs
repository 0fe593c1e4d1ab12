//! Appends that wait for room.

use std::collections::BTreeMap;
use std::task::Waker;

use smallvec::SmallVec;

use super::feed::FeedId;

/// What an append ran into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limit {
    /// As many events wait in a feed as may.
    Events(FeedId),
    /// As many bytes are held as may be.
    Bytes,
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

    /// Wakes everyone who waits at a limit that is no more.
    pub(super) fn wake_all(&mut self, limit: Limit) {
        while self.asleep.range((limit, 0)..=(limit, u64::MAX)).next().is_some() {
            self.wake_first(limit);
        }
    }
}
