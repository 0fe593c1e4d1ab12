//! Who waits for which events: what every store keeps in memory, wherever it keeps the events.
//!
//! Read it from the outside in: [`Backlog`] is the one lock, [`state`] what it guards, [`feed`]
//! what the readers of one subscription share, [`place`] one reader's position in a feed,
//! [`ledger`] the events that someone waits for, each once, and [`kept`] where each of them is;
//! [`carried`] what a reader has for itself, [`replays`] what is delivered to it again, and
//! [`setbacks`] what it remembers of failed attempts.

// The memory store alone needs less of it.
#![cfg_attr(not(feature = "sqlite"), allow(dead_code, unused_imports))]

mod admission;
mod carried;
mod feed;
mod history;
mod kept;
mod ledger;
mod log;
mod place;
mod positions;
mod record;
mod replays;
mod restore;
mod room;
mod setbacks;
mod state;

use bugle_core::{
    Answer, AppendError, Appended, EmitterId, ErrorKind, Expired, Fate, JournalError, JournalStats,
    Overflow, ReaderInfo, Sequence, Subscription,
};
use parking_lot::Mutex;

pub(crate) use admission::Reserved;
pub(crate) use history::HistoryLimits;
pub(crate) use kept::{Found, Kept, Names};
pub(crate) use log::TakenAs;
pub(crate) use record::Mode;
pub(crate) use replays::ReservedReplay;
pub(crate) use restore::{Directed, Restored, Snapshot};
pub(crate) use room::NoRoom;
pub(crate) use state::{Opened, State};

use room::{Limit, WaitForRoom};

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Events for the slowest reader of one subscription.
    pub(crate) max_events: usize,
    /// Bytes of events, with what is kept around each.
    pub(crate) max_bytes: u64,
    /// What happens at either limit.
    pub(crate) overflow: Overflow,
    /// How many bytes of payload stay in memory; `u64::MAX` where there is no other place.
    pub(crate) max_cached: u64,
    /// What stays in memory though nobody waits for it.
    pub(crate) history: HistoryLimits,
}

/// Who waits for which events.
pub(crate) struct Backlog {
    state: Mutex<State>,
    limits: Limits,
}

impl Backlog {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { state: Mutex::new(State::new(&limits)), limits }
    }

    /// Listens to what is appended from now on.
    pub(crate) fn appended(&self) -> Appended {
        self.with(|state| state.announcer.listen())
    }

    /// Tells of events that have waited too long. Not under the lock of the state.
    pub(crate) fn tell_expired(&self, expired: &[Expired]) {
        self.with(|state| {
            let State { announcer, waiting, .. } = state;
            expired.iter().for_each(|it| announcer.expired(it, &mut waiting.woken));
        });
    }

    /// Works on the state under its lock. Who is to be woken is woken, and what nobody waits for
    /// any more is freed, when the lock is released.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
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

    /// Takes a step that needs room for a payload, the largest one if there are several: at once,
    /// or, as the overflow policy wants it, not at all or when there is room.
    pub(crate) fn when_there_is_room<'a, T, S>(
        &'a self,
        payload: u64,
        mut step: S,
    ) -> Answer<'a, Result<T, AppendError>>
    where
        T: Send + 'a,
        S: FnMut(&mut State) -> Result<T, NoRoom> + Send + Unpin + 'a,
    {
        if payload > self.limits.max_bytes {
            let limit = self.limits.max_bytes;
            return Answer::now(Err(AppendError::TooLarge { bytes: payload, limit }));
        }
        let blocks = self.limits.overflow == Overflow::Block;
        let taken = self.with(|state| {
            step(state).map_err(|no_room| match no_room {
                NoRoom::Now(limit) if blocks => Refused::Wait(limit, state.ticket()),
                NoRoom::Now(limit) => Refused::Full(state.reject(limit)),
                NoRoom::Ever(error) => Refused::Full(error),
            })
        });
        match taken {
            Ok(value) => Answer::now(Ok(value)),
            Err(Refused::Full(error)) => Answer::now(Err(error)),
            Err(Refused::Wait(limit, ticket)) => {
                Answer::later(WaitForRoom::new(self, step, limit, ticket))
            }
        }
    }

    /// Opens an emitter's reader: who had it before is fenced.
    pub(crate) fn open(&self, emitter: &EmitterId, subscription: &Subscription) -> Opened {
        self.with(|state| state.open(emitter, subscription))
    }

    /// Opens an emitter's reader unless somebody has it.
    pub(crate) fn open_if_free(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Result<Opened, JournalError> {
        self.with(|state| {
            state.may_have(emitter)?;
            Ok(state.open(emitter, subscription))
        })
    }

    /// An emitter's reader is gone: another one may be opened.
    pub(crate) fn release(&self, emitter: &EmitterId, opened: &Opened) {
        self.with(|state| state.release(emitter, opened));
    }

    /// What an emitter can read now.
    pub(crate) fn read(
        &self,
        opened: &Opened,
        after: Sequence,
        limit: usize,
    ) -> Result<Vec<Found>, JournalError> {
        self.with(|state| {
            state.owned(opened)?;
            Ok(match state.current(opened) {
                Some((record, stock)) => record.read(stock, after, limit),
                None => Vec::new(),
            })
        })
    }

    /// Where an emitter stands; how many dead letters it has is known elsewhere.
    pub(crate) fn info(&self, opened: &Opened, dead_letters: u64) -> ReaderInfo {
        self.with(|state| match state.record(opened) {
            Some((record, stock)) => {
                let (depth, dropped) = (record.depth(stock), record.past.dropped);
                ReaderInfo::new(record.since, record.cursor(), depth, dropped, dead_letters)
            }
            None => {
                let past = opened.farewell.get();
                let cursor = past.map_or(Sequence::START, |past| past.cursor);
                let dropped = past.map_or(0, |past| past.dropped);
                ReaderInfo::new(cursor, cursor, 0, dropped, dead_letters)
            }
        })
    }

    /// What became of an entry, unless it is a dead letter, which `is_dead` knows.
    pub(crate) fn fate(
        &self,
        opened: &Opened,
        sequence: Sequence,
        is_dead: impl FnOnce() -> bool,
    ) -> Option<Fate> {
        self.with(|state| {
            if is_dead() {
                return Some(Fate::DeadLettered);
            }
            match state.record(opened) {
                Some((record, stock)) => record.fate(stock, sequence),
                None => opened.farewell.get().map(|past| past.fate(sequence)),
            }
        })
    }

    /// Has an emitter read, keep or discard.
    pub(crate) fn change_mode(&self, opened: &Opened, mode: Mode) -> Result<(), JournalError> {
        self.with(|state| {
            state.owned(opened)?;
            state.change_mode(opened, mode);
            Ok(())
        })
    }

    /// An event was taken from those who waited for it.
    pub(crate) fn count_taken(&self) {
        self.with(|state| {
            let State { announcer, waiting, .. } = state;
            announcer.taken(&mut waiting.woken);
        });
    }

    pub(crate) fn stats(&self) -> JournalStats {
        self.with(|state| state.stats())
    }
}

/// The error of who has lost a reader, or can't have it.
pub(crate) fn fenced() -> JournalError {
    let message = "another reader has this emitter: it was opened by another runtime, or anew";
    JournalError::new(ErrorKind::Fenced, message)
}

enum Refused {
    Full(AppendError),
    Wait(Limit, u64),
}
