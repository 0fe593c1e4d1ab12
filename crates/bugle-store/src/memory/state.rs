//! What the journal's one lock guards.
//!
//! One lock means that the order of appends is the order of sequence numbers, and that nobody who
//! reads several names can miss a lower one. What happens under it is short.

use std::sync::Arc;

use bugle_core::{
    AppendError, EmitterId, Event, JournalStats, NameIndex, Overflow, Sequence, Subscription,
};
use rustc_hash::FxHashMap;
use slab::Slab;

use super::feed::{Feed, FeedId};
use super::ledger::HeldId;
use super::options::MemoryOptions;
use super::record::{Farewell, Mode, Record, Stock};
use super::room::{Limit, WaitingRoom};

/// Which of the readers.
pub(super) type ReaderId = usize;

/// What the journal's one lock guards.
#[derive(Debug)]
pub(super) struct State {
    /// The last sequence number that was given.
    last: Sequence,
    /// The feeds and what they hold.
    pub(super) stock: Stock,
    /// From an event's name to the feeds that take it.
    index: NameIndex<FeedId, ()>,
    /// The last search in the index: a feed that it finds twice is met once.
    search: u64,
    /// What the last search found; kept for its capacity.
    found: Vec<FeedId>,
    /// The feed of each subscription that someone has.
    feeds: FxHashMap<Arc<Subscription>, FeedId>,
    records: Slab<Record>,
    readers: FxHashMap<EmitterId, ReaderId>,
    /// The last handle that was opened.
    epoch: u64,
    /// Appends that wait for room.
    pub(super) waiting: WaitingRoom,
    /// The counters of the statistics.
    pub(super) counts: JournalStats,
    max_events: usize,
    max_bytes: u64,
    overflow: Overflow,
}

/// How a handle finds its record.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) reader: ReaderId,
    pub(super) epoch: u64,
    pub(super) farewell: Farewell,
}

impl State {
    pub(super) fn new(options: &MemoryOptions) -> Self {
        Self {
            last: Sequence::START,
            stock: Stock::default(),
            index: NameIndex::default(),
            search: 0,
            found: Vec::new(),
            feeds: FxHashMap::default(),
            records: Slab::new(),
            readers: FxHashMap::default(),
            epoch: 0,
            waiting: WaitingRoom::default(),
            counts: JournalStats::default(),
            max_events: options.max_events_per_subscription,
            max_bytes: options.max_bytes,
            overflow: options.overflow,
        }
    }

    /// Appends an event, or says which limit has no room for it.
    pub(super) fn append(&mut self, event: &Arc<Event>) -> Result<Sequence, Limit> {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.search += 1;
        let Self { index, stock, search, .. } = self;
        index.for_each(&event.name, |id, ()| {
            if let Some(feed) = stock.feeds.get_mut(*id)
                && feed.meet(*search)
                && feed.waiting > 0
            {
                found.push(*id);
            }
        });
        let room = match found.is_empty() {
            true => Ok(()),
            false => self.make_room(&found, event.payload.len() as u64),
        };
        let appended = room.map(|()| self.put(event, &found));
        self.found = found;
        appended
    }

    fn put(&mut self, event: &Arc<Event>, found: &[FeedId]) -> Sequence {
        self.last.0 += 1;
        self.counts.appended += 1;
        if found.is_empty() {
            return self.last;
        }
        let Stock { feeds, ledger } = &mut self.stock;
        let reading =
            found.iter().filter(|id| feeds.get(**id).is_some_and(|feed| feed.reading > 0)).count();
        let reading = u32::try_from(reading).unwrap_or(u32::MAX);
        let held = ledger.enter(self.last, Arc::clone(event), found, reading);
        for id in found {
            if let Some(feed) = feeds.get_mut(*id) {
                feed.push(self.last, held);
            }
        }
        self.last
    }

    /// Sees to it that an event fits, or drops nothing and says why not.
    fn make_room(&mut self, found: &[FeedId], payload: u64) -> Result<(), Limit> {
        let drops = self.overflow == Overflow::DropOldest;
        let Stock { feeds, ledger } = &mut self.stock;
        let mut crowded = false;
        for id in found {
            let Some(feed) = feeds.get(*id) else { continue };
            if feed.len() >= self.max_events {
                crowded = true;
                if !drops && !feed.front_is_stalled() {
                    return Err(Limit::Events(*id));
                }
            }
        }
        if !ledger.fits(payload, self.max_bytes) {
            crowded = true;
            if !drops && !ledger.could_fit(payload, self.max_bytes) {
                return Err(Limit::Bytes);
            }
        }
        if crowded {
            self.clear_room(found, payload);
        }
        Ok(())
    }

    fn clear_room(&mut self, found: &[FeedId], payload: u64) {
        for id in found {
            let Stock { feeds, ledger } = &mut self.stock;
            let Some(feed) = feeds.get_mut(*id) else { continue };
            while feed.len() >= self.max_events {
                self.counts.dropped += u64::from(feed.drop_front(ledger));
            }
        }
        while !self.stock.ledger.fits(payload, self.max_bytes) {
            let ledger = &self.stock.ledger;
            let Some(victim) = ledger.oldest_stalled().or_else(|| ledger.oldest()) else { break };
            self.drop_event(victim);
        }
    }

    /// Drops an event wherever it waits, and what is older there. For an event that is stalled, or
    /// the oldest of all, everything older in a feed that holds it is stalled there too.
    fn drop_event(&mut self, victim: HeldId) {
        let Stock { feeds, ledger } = &mut self.stock;
        let Some((sequence, holders)) = ledger.whereabouts(victim) else { return };
        for id in holders {
            if let Some(feed) = feeds.get_mut(id)
                && feed.holds(sequence)
            {
                self.counts.dropped += feed.drop_through(sequence, ledger);
                wake_if_room(&mut self.waiting, feed, Limit::Events(id), self.max_events);
            }
        }
    }

    /// The error that says which limit was reached.
    pub(super) fn full(&self, limit: Limit) -> AppendError {
        let limit = match limit {
            Limit::Bytes => format!("it holds {} bytes of events at most", self.max_bytes),
            Limit::Events(id) => {
                let feed = self.stock.feeds.get(id);
                let names = feed.and_then(|feed| feed.subscription.as_ref());
                let names = names.map(ToString::to_string).unwrap_or_default();
                format!("{} events wait for emitters of {names}", self.max_events)
            }
        };
        AppendError::Full { limit }
    }

    /// Wakes the first append that waits at a limit, if there is room.
    pub(super) fn wake_next(&mut self, limit: Limit) {
        if self.waiting.is_empty() {
            return;
        }
        match limit {
            Limit::Bytes if self.stock.ledger.could_fit(0, self.max_bytes) => {
                self.waiting.wake_first(limit);
            }
            Limit::Bytes => {}
            Limit::Events(id) => match self.stock.feeds.get(id) {
                Some(feed) => wake_if_room(&mut self.waiting, feed, limit, self.max_events),
                None => self.waiting.wake_all(limit),
            },
        }
    }

    /// Opens an emitter's reader.
    pub(super) fn open(&mut self, emitter: &EmitterId, subscription: &Subscription) -> Opened {
        self.epoch += 1;
        let to = self.feed(subscription);
        let reader = match self.readers.get(emitter) {
            Some(reader) => *reader,
            None => {
                let Some(feed) = self.stock.feeds.get_mut(to) else { return Opened::nowhere() };
                let place = feed.place_at_end(to, self.last);
                let reader = self.records.insert(Record::new(place, feed));
                self.readers.insert(emitter.clone(), reader);
                reader
            }
        };
        let Some(record) = self.records.get_mut(reader) else { return Opened::nowhere() };
        record.epoch = self.epoch;
        record.catch_up(&mut self.stock);
        let from = record.place.feed;
        if from == to {
            record.change_mode(&mut self.stock, Mode::Reading, self.last);
        } else {
            self.counts.dropped += record.move_to(&mut self.stock, to, subscription, self.last);
        }
        let farewell = Arc::clone(&record.farewell);
        self.after_leaving(from);
        Opened { reader, epoch: self.epoch, farewell }
    }

    /// The feed of a subscription.
    fn feed(&mut self, subscription: &Subscription) -> FeedId {
        if let Some(feed) = self.feeds.get(subscription) {
            return *feed;
        }
        let subscription = Arc::new(subscription.clone());
        let feed = self.stock.feeds.insert(Feed::new(Some(Arc::clone(&subscription))));
        self.index.insert(&subscription, &feed, &());
        self.feeds.insert(subscription, feed);
        feed
    }

    /// Forgets an emitter.
    pub(super) fn forget(&mut self, emitter: &EmitterId) {
        let Some(reader) = self.readers.remove(emitter) else { return };
        let Some(mut record) = self.records.try_remove(reader) else { return };
        record.catch_up(&mut self.stock);
        let from = record.place.feed;
        self.counts.dropped += record.leave(&mut self.stock, self.last);
        record.part();
        self.after_leaving(from);
    }

    /// Gives up a feed that nobody has a place in, and wakes who waited for room that is there now.
    fn after_leaving(&mut self, feed: FeedId) {
        if self.stock.feeds.get(feed).is_some_and(|feed| feed.readers == 0)
            && let Some(gone) = self.stock.feeds.try_remove(feed)
            && let Some(subscription) = gone.subscription
        {
            self.index.remove(&subscription, &feed);
            self.feeds.remove(&subscription);
        }
        self.wake_next(Limit::Events(feed));
        self.wake_next(Limit::Bytes);
    }

    /// Lets a reader read, keep or discard.
    pub(super) fn change_mode(&mut self, opened: &Opened, mode: Mode) {
        let last = self.last;
        let Some((record, stock)) = self.current(opened) else { return };
        let feed = record.place.feed;
        let dropped = record.change_mode(stock, mode, last);
        self.counts.dropped += dropped;
        self.wake_next(Limit::Events(feed));
        self.wake_next(Limit::Bytes);
    }

    /// Settles an entry. `false` when it did not wait.
    pub(super) fn settle(&mut self, opened: &Opened, sequence: Sequence) -> bool {
        let Some((record, stock)) = self.current(opened) else { return false };
        let feed = record.place.feed;
        let settled = record.settle(stock, sequence);
        if record.carried.is_some() {
            record.catch_up(stock);
        }
        if !self.waiting.is_empty() {
            self.wake_next(Limit::Events(feed));
            self.wake_next(Limit::Bytes);
        }
        settled
    }

    /// A reader's record, up to date: for any of its handles.
    pub(super) fn record(&mut self, opened: &Opened) -> Option<(&mut Record, &mut Stock)> {
        let record = self.records.get_mut(opened.reader)?;
        if !Arc::ptr_eq(&record.farewell, &opened.farewell) {
            return None;
        }
        record.catch_up(&mut self.stock);
        Some((record, &mut self.stock))
    }

    /// A reader's record, up to date: only for the last of its handles.
    pub(super) fn current(&mut self, opened: &Opened) -> Option<(&mut Record, &mut Stock)> {
        self.record(opened).filter(|(record, _)| record.epoch == opened.epoch)
    }

    pub(super) fn stats(&self) -> JournalStats {
        let mut stats = self.counts;
        stats.events = self.stock.ledger.len() as u64;
        stats.bytes = self.stock.ledger.bytes();
        stats
    }
}

fn wake_if_room(waiting: &mut WaitingRoom, feed: &Feed, limit: Limit, max_events: usize) {
    if feed.waiting == 0 {
        waiting.wake_all(limit);
    } else if feed.len() < max_events || feed.front_is_stalled() {
        waiting.wake_first(limit);
    }
}

impl Opened {
    /// A handle without a record.
    fn nowhere() -> Self {
        Self { reader: usize::MAX, epoch: 0, farewell: Farewell::default() }
    }
}

#[cfg(test)]
impl State {
    /// Counts everything anew and compares.
    pub(super) fn check(&mut self) {
        for (_, record) in &mut self.records {
            record.catch_up(&mut self.stock);
        }
        let Stock { feeds, ledger } = &self.stock;
        for (id, feed) in feeds {
            let here: Vec<_> = self
                .records
                .iter()
                .filter(|(_, record)| record.mode != Mode::Discarding)
                .flat_map(|(_, it)| it.places().map(move |place| (place, it.mode == Mode::Reading)))
                .filter(|(place, _)| place.feed == id)
                .collect();
            feed.check(&here, ledger);
        }
        ledger.check(feeds.iter().flat_map(|(_, feed)| feed.live_slots()));
        let public = feeds.iter().filter(|(_, feed)| feed.subscription.is_some()).count();
        assert_eq!(public, self.feeds.len());
        let carried = self.records.iter().filter(|(_, it)| it.carried.is_some()).count();
        assert_eq!(public + carried, feeds.len());
        assert_eq!(self.records.len(), self.readers.len());
    }
}
