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

use std::sync::atomic::{AtomicU64, Ordering};

use bugle_core::{
    Answer, AppendError, Backlog as Keep, EmitterId, Expired, Fate, JournalStats, OnExpired,
    Overflow, Sequence, Subscription,
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
    /// How often an event was taken from those who waited for it.
    taken: AtomicU64,
    /// Who is told of each event that has waited too long.
    on_expired: Mutex<Option<OnExpired>>,
}

impl Backlog {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            state: Mutex::new(State::new(&limits)),
            limits,
            taken: AtomicU64::new(0),
            on_expired: Mutex::default(),
        }
    }

    /// Changes who is told of each event that has waited too long.
    pub(crate) fn set_on_expired(&self, told: OnExpired) {
        *self.on_expired.lock() = Some(told);
    }

    /// Tells of events that have waited too long. Not under the lock of the state.
    pub(crate) fn tell_expired(&self, expired: Vec<Expired>) {
        let told = self.on_expired.lock().clone();
        if let Some(told) = told {
            expired.into_iter().for_each(|expired| told(expired));
        }
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

    /// Opens an emitter's reader.
    pub(crate) fn open(&self, emitter: &EmitterId, subscription: &Subscription) -> Opened {
        self.with(|state| state.open(emitter, subscription))
    }

    /// What an emitter can read now.
    pub(crate) fn read(&self, opened: &Opened, after: Sequence, limit: usize) -> Vec<Found> {
        self.with(|state| match state.current(opened) {
            Some((record, stock)) => record.read(stock, after, limit),
            None => Vec::new(),
        })
    }

    /// Where the journal ended when an emitter's subscription began.
    pub(crate) fn since(&self, opened: &Opened) -> Sequence {
        self.with(|state| match state.record(opened) {
            Some((record, _)) => record.since,
            None => opened.farewell.get().map_or(Sequence::START, |past| past.cursor),
        })
    }

    pub(crate) fn cursor(&self, opened: &Opened) -> Sequence {
        self.with(|state| match state.record(opened) {
            Some((record, _)) => record.cursor(),
            None => opened.farewell.get().map_or(Sequence::START, |past| past.cursor),
        })
    }

    pub(crate) fn depth(&self, opened: &Opened) -> u64 {
        self.with(|state| match state.record(opened) {
            Some((record, stock)) => record.depth(stock),
            None => 0,
        })
    }

    pub(crate) fn dropped(&self, opened: &Opened) -> u64 {
        self.with(|state| match state.record(opened) {
            Some((record, _)) => record.past.dropped,
            None => opened.farewell.get().map_or(0, |past| past.dropped),
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

    /// Has an emitter keep or discard its backlog.
    pub(crate) fn pause(&self, opened: &Opened, backlog: Keep) {
        self.with(|state| state.change_mode(opened, Mode::from(backlog)));
    }

    /// Has an emitter read.
    pub(crate) fn resume(&self, opened: &Opened) {
        self.with(|state| state.change_mode(opened, Mode::Reading));
    }

    /// An event was taken from those who waited for it.
    pub(crate) fn count_taken(&self) {
        self.taken.fetch_add(1, Ordering::Release);
    }

    /// How often that was so.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    pub(crate) fn stats(&self) -> JournalStats {
        self.with(|state| state.stats())
    }
}

enum Refused {
    Full(AppendError),
    Wait(Limit, u64),
}
