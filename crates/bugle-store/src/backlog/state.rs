//! What the journal's one lock guards.
//!
//! One lock means that the order of appends is the order of sequence numbers, and that nobody who
//! reads several names can miss a lower one. What happens under it is short.

use std::sync::Arc;

use bugle_core::{
    Announcer, Batch, EmitterId, ErrorKind, Event, EventName, JournalError, JournalStats,
    NameIndex, Sequence, Subscription,
};
use rustc_hash::FxHashMap;
use slab::Slab;

use super::feed::{Feed, FeedId};
use super::kept::Found;
use super::kept::Kept;
use super::positions::Positions;
use super::record::{Farewell, Mode, Record, Stock};
use super::room::{Limit, NoRoom, WaitingRoom};
use super::{Limits, fenced};

/// Which of the readers.
pub(super) type ReaderId = usize;

/// What the journal's one lock guards.
#[derive(Debug)]
pub(crate) struct State {
    /// The last sequence number that was given.
    pub(super) last: Sequence,
    /// The feeds and what they hold.
    pub(super) stock: Stock,
    /// From an event's name to the feeds that take it.
    index: NameIndex<FeedId, ()>,
    /// The last search in the index: a feed that it finds twice is met once.
    search: u64,
    /// What the last search found; kept for its capacity.
    pub(super) found: Vec<FeedId>,
    /// The feed of each subscription that someone has.
    feeds: FxHashMap<Arc<Subscription>, FeedId>,
    pub(super) records: Slab<Record>,
    pub(super) readers: FxHashMap<EmitterId, ReaderId>,
    /// The last handle that was opened.
    epoch: u64,
    /// How far each source was read.
    pub(crate) positions: Positions,
    /// Appends that wait for room.
    pub(super) waiting: WaitingRoom,
    /// Those who hear of what is appended.
    pub(super) announcer: Announcer,
    /// The counters of the statistics.
    pub(super) counts: JournalStats,
    pub(super) limits: Limits,
}

/// How a handle finds its record.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(super) reader: ReaderId,
    pub(super) epoch: u64,
    pub(super) farewell: Farewell,
}

impl State {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            last: Sequence::START,
            stock: Stock::new(limits.max_cached, limits.history),
            index: NameIndex::default(),
            search: 0,
            found: Vec::new(),
            feeds: FxHashMap::default(),
            records: Slab::new(),
            readers: FxHashMap::default(),
            epoch: 0,
            positions: Positions::default(),
            waiting: WaitingRoom::default(),
            announcer: Announcer::new(),
            counts: JournalStats::default(),
            limits: *limits,
        }
    }

    /// Appends an event, or says which limit has no room for it.
    pub(crate) fn append(&mut self, event: &Arc<Event>) -> Result<Sequence, NoRoom> {
        let found = self.search(&event.name);
        let payload = event.payload.len() as u64;
        let appended = self.check_room(&found, payload).map(|crowded| {
            if crowded {
                self.clear_room(&found, payload);
            }
            self.put(Kept::Here(Arc::clone(event)), &found)
        });
        self.found = found;
        Ok(appended?)
    }

    /// Appends all events of a batch and notes its position, or does nothing of it.
    pub(crate) fn append_all(&mut self, batch: &Batch) -> Result<Vec<Sequence>, NoRoom> {
        let reserved = self.reserve_all(&batch.events)?;
        let appended = self.publish_all(&batch.events, &reserved);
        if let Some(position) = &batch.position {
            self.positions.advance(position);
        }
        Ok(appended)
    }

    /// The feeds that take events of a name: of each that somebody waits in.
    pub(super) fn search(&mut self, name: &EventName) -> Vec<FeedId> {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        self.search += 1;
        let Self { index, stock, search, .. } = self;
        index.for_each(name, |id, ()| {
            if let Some(feed) = stock.feeds.get_mut(*id)
                && feed.meet(*search)
                && feed.waiting > 0
            {
                found.push(*id);
            }
        });
        found
    }

    pub(super) fn put(&mut self, kept: Kept, found: &[FeedId]) -> Sequence {
        self.last.0 += 1;
        self.counts.appended += 1;
        if !found.is_empty() {
            self.announcer.appended(kept.name(), &mut self.waiting.woken);
            self.enter(self.last, kept, found);
        } else if let Kept::Here(event) = kept {
            self.stock.ledger.settled(self.last, event);
        }
        self.last
    }

    /// Has an event wait in these feeds.
    pub(super) fn enter(&mut self, sequence: Sequence, kept: Kept, found: &[FeedId]) {
        let Stock { feeds, ledger, .. } = &mut self.stock;
        let reading =
            found.iter().filter(|id| feeds.get(**id).is_some_and(|feed| feed.reading > 0)).count();
        let [holding, reading] =
            [found.len(), reading].map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let held = ledger.enter(sequence, kept, holding, reading);
        for id in found {
            if let Some(feed) = feeds.get_mut(*id) {
                feed.push(sequence, held);
            }
        }
    }

    /// Opens an emitter's reader.
    pub(crate) fn open(&mut self, emitter: &EmitterId, subscription: &Subscription) -> Opened {
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
        if record.is_held {
            record.is_wanted = true;
            self.announcer.moved(emitter, &mut self.waiting.woken);
        }
        record.is_held = true;
        record.catch_up(&mut self.stock);
        let from = record.place.feed;
        if from == to {
            record.change_mode(&mut self.stock, Mode::Reading, self.last);
        } else {
            record.move_to(&mut self.stock, to, self.last);
        }
        let farewell = Arc::clone(&record.farewell);
        self.after_leaving(from);
        self.wake_next(Limit::Emitter(reader));
        Opened { reader, epoch: self.epoch, farewell }
    }

    /// Whether an emitter may be opened by who asks on his own.
    pub(crate) fn may_have(&mut self, emitter: &EmitterId) -> Result<(), JournalError> {
        let record = self.readers.get(emitter).and_then(|reader| self.records.get_mut(*reader));
        match record {
            Some(record) if record.is_held => {
                record.is_wanted = true;
                Err(fenced())
            }
            Some(_) => Ok(()),
            None => {
                let message = format!("there is no emitter {emitter:?} any more: attach it anew");
                Err(JournalError::new(ErrorKind::Refused, message))
            }
        }
    }

    /// The handle that reads is gone.
    pub(crate) fn release(&mut self, emitter: &EmitterId, opened: &Opened) {
        let Some(record) = self.records.get_mut(opened.reader) else { return };
        if record.is_current(opened) {
            record.is_held = false;
            if std::mem::take(&mut record.is_wanted) {
                self.announcer.moved(emitter, &mut self.waiting.woken);
            }
        }
    }

    /// Whether a handle is not fenced. One whose emitter is forgotten is not, and reads nothing.
    pub(crate) fn owned(&self, opened: &Opened) -> Result<(), JournalError> {
        match self.records.get(opened.reader) {
            Some(record) if record.is_of(opened) && record.epoch != opened.epoch => Err(fenced()),
            _ => Ok(()),
        }
    }

    /// The feed of a subscription.
    pub(super) fn feed(&mut self, subscription: &Subscription) -> FeedId {
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
    pub(crate) fn forget(&mut self, emitter: &EmitterId) {
        let Some(reader) = self.readers.remove(emitter) else { return };
        let Some(mut record) = self.records.try_remove(reader) else { return };
        record.catch_up(&mut self.stock);
        let from = record.place.feed;
        self.counts.dropped += record.leave(&mut self.stock, self.last);
        record.part();
        self.after_leaving(from);
        self.wake_next(Limit::Emitter(reader));
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
    pub(crate) fn change_mode(&mut self, opened: &Opened, mode: Mode) {
        let last = self.last;
        let Some((record, stock)) = self.current(opened) else { return };
        let feed = record.place.feed;
        let dropped = record.change_mode(stock, mode, last);
        self.counts.dropped += dropped;
        self.wake_next(Limit::Events(feed));
        self.wake_next(Limit::Emitter(opened.reader));
        self.wake_next(Limit::Bytes);
    }

    /// Settles an entry. `false` when it did not wait.
    pub(crate) fn settle(&mut self, opened: &Opened, sequence: Sequence, delivered: bool) -> bool {
        let Some((record, stock)) = self.current(opened) else { return false };
        let feed = record.place.feed;
        let settled = match delivered {
            true => record.deliver(stock, sequence),
            false => record.settle(stock, sequence),
        };
        if record.carried.is_some() {
            record.catch_up(stock);
        }
        if !self.waiting.is_empty() {
            self.wake_next(Limit::Events(feed));
            self.wake_next(Limit::Emitter(opened.reader));
            self.wake_next(Limit::Bytes);
        }
        settled
    }

    /// A reader's record, up to date: for any of its handles.
    pub(super) fn record(&mut self, opened: &Opened) -> Option<(&mut Record, &mut Stock)> {
        let record = self.records.get_mut(opened.reader)?;
        if !record.is_of(opened) {
            return None;
        }
        record.catch_up(&mut self.stock);
        Some((record, &mut self.stock))
    }

    /// A reader's record, up to date: only for the last of its handles.
    pub(super) fn current(&mut self, opened: &Opened) -> Option<(&mut Record, &mut Stock)> {
        self.record(opened).filter(|(record, _)| record.epoch == opened.epoch)
    }

    /// The next event has this number: those in between have none.
    pub(crate) fn go_on_at(&mut self, next: Sequence) {
        self.last = self.last.max(Sequence(next.0.saturating_sub(1)));
    }

    /// The journal's end.
    pub(crate) fn last(&self) -> Sequence {
        self.last
    }

    /// Keeps events that were read back in memory for a while.
    pub(crate) fn keep<'a>(&mut self, read: impl Iterator<Item = (&'a Found, &'a Arc<Event>)>) {
        for (found, event) in read {
            self.stock.ledger.keep(found.held, found.sequence, event);
        }
    }

    pub(super) fn stats(&self) -> JournalStats {
        let mut stats = self.counts;
        stats.events = self.stock.ledger.len() as u64;
        stats.bytes = self.stock.ledger.bytes();
        stats
    }
}

impl Opened {
    /// A handle on a record, beside the one that reads.
    pub(super) fn of(reader: ReaderId, record: &Record) -> Self {
        Self { reader, epoch: record.epoch, farewell: Arc::clone(&record.farewell) }
    }

    /// A handle without a record.
    fn nowhere() -> Self {
        Self { reader: usize::MAX, epoch: 0, farewell: Farewell::default() }
    }
}

#[cfg(test)]
impl State {
    /// Counts everything anew and compares.
    pub(crate) fn check(&mut self) {
        for (_, record) in &mut self.records {
            record.catch_up(&mut self.stock);
        }
        let Stock { feeds, ledger, .. } = &self.stock;
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
        assert_eq!(carried, self.stock.private.len());
        assert_eq!(self.records.len(), self.readers.len());
    }
}
