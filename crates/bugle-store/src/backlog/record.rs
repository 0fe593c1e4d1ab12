//! What the journal knows of one reader.

use std::sync::{Arc, OnceLock};

use bugle_core::{Backlog, Fate, Sequence, Setbacks};
use rustc_hash::FxHashSet;
use slab::Slab;

use super::feed::{Feed, FeedId};
use super::history::HistoryLimits;
use super::kept::Found;
use super::ledger::Ledger;
use super::place::{Gaps, Place};
use super::replays::Replays;
use super::state::Opened;

/// The feeds, and the events that they hold.
#[derive(Debug)]
pub(super) struct Stock {
    pub(super) feeds: Slab<Feed>,
    /// Those of the feeds that are a reader's own.
    pub(super) private: FxHashSet<FeedId>,
    pub(super) ledger: Ledger,
}

impl Stock {
    pub(super) fn new(max_cached: u64, history: HistoryLimits) -> Self {
        let ledger = Ledger::new(max_cached, history);
        Self { feeds: Slab::new(), private: FxHashSet::default(), ledger }
    }

    /// Takes out a reader's own feed.
    pub(super) fn take_private(&mut self, id: FeedId) -> Option<Feed> {
        self.private.remove(&id);
        self.feeds.try_remove(id)
    }
}

/// Whether a reader reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It reads.
    Reading,
    /// It does not, and what comes waits for it.
    Keeping,
    /// It does not, and nothing waits for it. Its place is out of date until it reads again.
    Discarding,
}

impl From<Backlog> for Mode {
    fn from(backlog: Backlog) -> Self {
        match backlog {
            Backlog::Keep => Self::Keeping,
            Backlog::Discard => Self::Discarding,
        }
    }
}

/// What the journal knows of one reader.
#[derive(Debug)]
pub(super) struct Record {
    /// Where the journal ended when its subscription began.
    pub(super) since: Sequence,
    /// Which handle reads: the last one that was opened.
    pub(super) epoch: u64,
    /// Whether that handle is there.
    pub(super) is_held: bool,
    /// Whether somebody else had it before, or has asked for it since.
    pub(super) is_wanted: bool,
    pub(super) mode: Mode,
    /// Where it stands among what its subscription matches.
    pub(super) place: Place,
    /// Where it stands in a feed of its own: among what waited when it was opened again with
    /// another subscription, or before a replay, and the replays. It is read before the rest, and
    /// gone once it is settled.
    pub(super) carried: Option<Box<Place>>,
    /// What is delivered again, while there is any.
    pub(super) replays: Option<Box<Replays>>,
    /// What is remembered of failed attempts, once there was one.
    pub(super) setbacks: Option<Box<Setbacks>>,
    pub(super) past: Past,
    /// Where the past is left for the handles when the emitter is forgotten.
    pub(super) farewell: Farewell,
}

/// What a reader's handles know when their emitter is forgotten.
pub(super) type Farewell = Arc<OnceLock<Past>>;

/// What became of the entries that a reader did not settle.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// How many entries it missed.
    pub(super) dropped: u64,
    pub(super) gaps: Gaps,
    /// Where it stood at the end.
    pub(super) cursor: Sequence,
}

impl Past {
    /// What became of an entry at an emitter that is forgotten.
    pub(super) fn fate(&self, sequence: Sequence) -> Fate {
        match sequence > self.cursor || self.gaps.contains(sequence) {
            true => Fate::Dropped,
            false => Fate::Delivered,
        }
    }
}

impl Record {
    /// A reader that is new to a feed.
    pub(super) fn new(place: Place, feed: &mut Feed) -> Self {
        feed.join();
        Self {
            since: place.cursor,
            epoch: 0,
            is_held: false,
            is_wanted: false,
            mode: Mode::Reading,
            place,
            carried: None,
            replays: None,
            setbacks: None,
            past: Past::default(),
            farewell: Farewell::default(),
        }
    }

    /// Whether a handle is one of its own, whether it reads or not.
    pub(super) fn is_of(&self, opened: &Opened) -> bool {
        Arc::ptr_eq(&self.farewell, &opened.farewell)
    }

    /// Whether a handle is the one that reads.
    pub(super) fn is_current(&self, opened: &Opened) -> bool {
        self.is_of(opened) && self.epoch == opened.epoch
    }

    /// Its places, in the order in which it reads them.
    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.carried.as_deref().into_iter().chain([&self.place])
    }

    fn each_place(
        &mut self,
        stock: &mut Stock,
        mut act: impl FnMut(&mut Feed, &Place, &mut Ledger),
    ) {
        for place in self.places() {
            if let Some(feed) = stock.feeds.get_mut(place.feed) {
                act(feed, place, &mut stock.ledger);
            }
        }
    }

    /// Counts what was dropped in the meantime, and lets go of what it carried once that is
    /// settled. Everything else that a record answers or does builds on this.
    pub(super) fn catch_up(&mut self, stock: &mut Stock) {
        if self.mode == Mode::Discarding {
            return;
        }
        let reads = self.mode == Mode::Reading;
        let Self { carried, place, past, .. } = self;
        for place in carried.as_deref_mut().into_iter().chain([place]) {
            if let Some(feed) = stock.feeds.get_mut(place.feed) {
                past.dropped += feed.catch_up(place, reads, &mut past.gaps, &mut stock.ledger);
            }
        }
        if let Some(place) = &self.carried {
            let feed = place.feed;
            if stock.feeds.get(feed).is_none_or(|feed| feed.depth(place) == 0) {
                self.carried = None;
                stock.take_private(feed);
            }
            self.pass_replays();
        }
    }

    pub(super) fn read(&self, stock: &Stock, after: Sequence, limit: usize) -> Vec<Found> {
        let mut entries = Vec::new();
        if self.mode == Mode::Reading {
            for place in self.places() {
                if let Some(feed) = stock.feeds.get(place.feed) {
                    feed.read(place, after, limit, &stock.ledger, &mut entries);
                }
            }
        }
        entries
    }

    /// Settles an entry. `false` when it did not wait.
    pub(super) fn settle(&mut self, stock: &mut Stock, sequence: Sequence) -> bool {
        if self.mode == Mode::Discarding {
            return false;
        }
        let reads = self.mode == Mode::Reading;
        let Self { carried, place, .. } = self;
        let settled = carried.as_deref_mut().into_iter().chain([place]).any(|place| {
            let Stock { feeds, ledger, .. } = &mut *stock;
            feeds
                .get_mut(place.feed)
                .is_some_and(|feed| feed.settle(place, reads, sequence, ledger))
        });
        if let Some(setbacks) = self.setbacks.as_mut().filter(|_| settled) {
            setbacks.given_up(sequence);
        }
        settled
    }

    /// Counts an entry that was taken from it as dropped.
    pub(super) fn drop_one(&mut self, sequence: Sequence) {
        self.past.gaps.add(Sequence(sequence.0.saturating_sub(1)), sequence);
        self.past.dropped += 1;
    }

    pub(super) fn cursor(&self) -> Sequence {
        self.carried.as_ref().map_or(self.place.cursor, |place| place.cursor)
    }

    pub(super) fn depth(&self, stock: &Stock) -> u64 {
        if self.mode == Mode::Discarding {
            return 0;
        }
        self.places()
            .filter_map(|place| stock.feeds.get(place.feed).map(|feed| feed.depth(place)))
            .sum()
    }

    /// What became of an entry, dead letters aside: of what stands there, or of its replay.
    pub(super) fn fate(&self, stock: &Stock, sequence: Sequence) -> Option<Fate> {
        match self.replays.as_ref().and_then(|it| it.copy(sequence)) {
            Some(copy) => self.fate_at(stock, copy?),
            None => self.fate_at(stock, sequence),
        }
    }

    fn fate_at(&self, stock: &Stock, sequence: Sequence) -> Option<Fate> {
        if self.past.gaps.contains(sequence) {
            return Some(Fate::Dropped);
        }
        if self.places().any(|place| place.settled.contains_sequence(sequence)) {
            return Some(Fate::Delivered);
        }
        if let Some(place) = &self.carried
            && stock.feeds.get(place.feed).is_some_and(|feed| feed.holds(sequence))
        {
            return None;
        }
        match self.mode {
            _ if sequence <= self.place.cursor => Some(Fate::Delivered),
            Mode::Discarding => Some(Fate::Dropped),
            Mode::Reading | Mode::Keeping => None,
        }
    }

    /// Reads, keeps or discards from now on; `last` is the journal's end. Answers how many entries
    /// it drops.
    pub(super) fn change_mode(&mut self, stock: &mut Stock, mode: Mode, last: Sequence) -> u64 {
        let mut dropped = 0;
        match (self.mode, mode) {
            (Mode::Reading, Mode::Keeping) => {
                self.each_place(stock, Feed::stop_reading);
            }
            (Mode::Keeping, Mode::Reading) => {
                self.each_place(stock, Feed::start_reading);
            }
            (Mode::Reading | Mode::Keeping, Mode::Discarding) => {
                dropped = self.abandon(stock, last);
            }
            (Mode::Discarding, Mode::Reading | Mode::Keeping) => {
                self.past.gaps.add(self.place.cursor, last);
                if let Some(feed) = stock.feeds.get_mut(self.place.feed) {
                    self.place = feed.place_at_end(self.place.feed, last);
                    feed.waiting += 1;
                    feed.reading += u32::from(mode == Mode::Reading);
                }
            }
            _ => {}
        }
        self.mode = mode;
        dropped
    }

    /// Waits for nothing any more. Answers how many entries it drops.
    fn abandon(&mut self, stock: &mut Stock, last: Sequence) -> u64 {
        if self.mode == Mode::Reading {
            self.each_place(stock, Feed::stop_reading);
        }
        self.each_place(stock, Feed::stop_waiting);
        let mut dropped = 0;
        if let Some(mut place) = self.carried.take()
            && let Some(feed) = stock.take_private(place.feed)
        {
            dropped += place.skip(feed.end(), feed.last(), &mut self.past.gaps);
        }
        if let Some(feed) = stock.feeds.get(self.place.feed) {
            dropped += self.place.skip(feed.end(), last, &mut self.past.gaps);
            self.place.cursor = last;
        }
        self.pass_replays();
        self.past.dropped += dropped;
        dropped
    }

    /// Leaves its feeds for good: what waits is dropped. Answers how many entries that were.
    pub(super) fn leave(&mut self, stock: &mut Stock, last: Sequence) -> u64 {
        let dropped = self.change_mode(stock, Mode::Discarding, last);
        if let Some(feed) = stock.feeds.get_mut(self.place.feed) {
            feed.readers -= 1;
        }
        dropped
    }

    /// Leaves a forgotten emitter's past to its handles.
    pub(super) fn part(mut self) {
        self.past.cursor = self.place.cursor;
        // Set once, by the only one who takes the record out.
        let _ = self.farewell.set(self.past);
    }
}
