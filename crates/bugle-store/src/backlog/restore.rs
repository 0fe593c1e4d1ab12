//! What has to be known of each emitter to restore its place, and how that is done.

use std::sync::Arc;

use bugle_core::{EmitterId, Sequence, Setbacks, Subscription};
use rustc_hash::{FxHashMap, FxHashSet};

use super::feed::{FIRST_ORDINAL, FeedId};
use super::kept::Kept;
use super::place::Place;
use super::record::{Mode, Record};
use super::state::State;

/// An emitter's place in the journal, as it can be written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) subscription: Arc<Subscription>,
    /// Whether it is paused, and what comes is not kept for it.
    pub(crate) discards: bool,
    /// Where the journal ended when its subscription began.
    pub(crate) since: Sequence,
    /// Everything up to here is settled.
    pub(crate) cursor: Sequence,
    /// What is settled above, from one place to another: everything there that it waited for.
    pub(crate) settled: Vec<(Sequence, Sequence)>,
    /// What waited already when its subscription changed, and still does. Up to `since` it
    /// waits for nothing else. `None` when it was not asked for.
    pub(crate) carried: Option<Vec<Sequence>>,
    /// What is remembered of failed attempts.
    pub(crate) setbacks: Option<Box<Setbacks>>,
}

/// An emitter that is to be restored.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) emitter: EmitterId,
    pub(crate) place: Snapshot,
}

/// An entry that only one emitter reads: a replay.
#[derive(Debug)]
pub(crate) struct Directed {
    pub(crate) emitter: EmitterId,
    /// The event's first place.
    pub(crate) origin: Sequence,
}

impl Restored {
    /// From behind where it waits for all that its subscription matches.
    fn joins_at(&self) -> Sequence {
        match self.place.discards {
            true => Sequence(u64::MAX),
            false => self.place.cursor.max(self.place.since),
        }
    }

    /// What it waits for from before that.
    fn carries(&self) -> impl Iterator<Item = Sequence> {
        let cursor = self.place.cursor;
        self.place.carried.iter().flatten().copied().filter(move |sequence| *sequence > cursor)
    }

    /// From behind where it may wait for anything.
    pub(crate) fn starts_at(&self) -> Sequence {
        match self.carries().next() {
            Some(_) => self.place.cursor,
            None => self.joins_at(),
        }
    }
}

impl State {
    /// An emitter's place as it is now; what it carries only if that is `wanted`.
    pub(crate) fn snapshot(&mut self, emitter: &EmitterId, carried: bool) -> Option<Snapshot> {
        let record = self.records.get_mut(*self.readers.get(emitter)?)?;
        record.catch_up(&mut self.stock);
        let feeds = &self.stock.feeds;
        let subscription = feeds.get(record.place.feed)?.subscription.clone()?;
        let mut settled = Vec::new();
        if let Some(place) = &record.carried {
            settled.extend(place.settled.ranges());
            // Between two places all that is below the second one's cursor is settled.
            let end = feeds.get(place.feed).map_or(record.since, |it| it.last().max(record.since));
            if record.place.cursor > end {
                settled.push((Sequence(end.0 + 1), record.place.cursor));
            }
        }
        settled.extend(record.place.settled.ranges());
        let carries = || {
            let place = record.carried.as_deref()?;
            let feed = feeds.get(place.feed)?;
            let waits = feed.unsettled(place, Sequence::START).map(|(sequence, _)| sequence);
            Some(waits.take_while(|sequence| *sequence <= record.since).collect())
        };
        Some(Snapshot {
            subscription,
            discards: record.mode == Mode::Discarding,
            since: record.since,
            cursor: record.cursor(),
            settled,
            carried: carried.then(|| carries().unwrap_or_default()),
            setbacks: record.setbacks.clone(),
        })
    }

    /// Restores emitters, none of which reads yet. `entries` are all that one of them may wait
    /// for, in order and no more than `most`, `directed` those of them that are replays, and `last`
    /// is the journal's end.
    pub(crate) fn restore<E>(
        &mut self,
        mut emitters: Vec<Restored>,
        last: Sequence,
        entries: impl Iterator<Item = Result<(Sequence, Kept), E>>,
        most: usize,
        mut directed: FxHashMap<Sequence, Directed>,
    ) -> Result<(), E> {
        emitters.sort_by_key(Restored::joins_at);
        self.stock.ledger.expect(most);
        let share = most / subscriptions(&emitters).max(1);
        let mut carried = FxHashMap::<Sequence, Vec<FeedId>>::default();
        let mut carriers = FxHashMap::<EmitterId, FeedId>::default();
        for restored in emitters.iter().filter(|it| it.carries().next().is_some()) {
            let feed = self.stock.insert_private(false);
            carriers.insert(restored.emitter.clone(), feed);
            for sequence in restored.carries() {
                carried.entry(sequence).or_default().push(feed);
            }
        }
        let mut carried_replays = Vec::new();
        let mut joining = emitters.iter().peekable();
        for entry in entries {
            let (sequence, kept) = entry?;
            while let Some(next) = joining.next_if(|it| it.joins_at() < sequence) {
                self.join(next, next.joins_at(), carriers.get(&next.emitter).copied(), share);
            }
            let carrying = carried.remove(&sequence).unwrap_or_default();
            if let Some(to) = directed.remove(&sequence) {
                match carrying.is_empty() {
                    true => self.restore_replay(&to, sequence, kept),
                    false => {
                        self.enter(sequence, kept, &carrying);
                        carried_replays.push((to, sequence));
                    }
                }
                continue;
            }
            let mut found = self.search(kept.name());
            found.extend(carrying);
            if !found.is_empty() {
                self.enter(sequence, kept, &found);
            }
            self.found = found;
        }
        for next in joining {
            self.join(next, next.joins_at().min(last), carriers.get(&next.emitter).copied(), 0);
        }
        self.last = last;
        for (to, sequence) in carried_replays {
            self.remember_replay(&to, sequence);
        }
        for restored in &emitters {
            self.settle_ranges(restored);
        }
        Ok(())
    }

    /// An emitter waits for what comes from now on. Its feed gets space for its even share of
    /// that: to grow into it by doubling would leave as much behind in the allocator, and what
    /// stays unused of it is never touched.
    fn join(&mut self, restored: &Restored, at: Sequence, carries: Option<FeedId>, share: usize) {
        let place = &restored.place;
        let to = self.feed(&place.subscription);
        let Some(feed) = self.stock.feeds.get_mut(to) else { return };
        feed.expect(share);
        let mut record = Record::new(feed.place_at_end(to, at), feed);
        record.since = place.since;
        record.setbacks.clone_from(&place.setbacks);
        let mode = if place.discards { Mode::Discarding } else { Mode::Keeping };
        record.change_mode(&mut self.stock, mode, at);
        record.carried =
            carries.map(|feed| Box::new(Place::new(feed, FIRST_ORDINAL, place.cursor)));
        let id = self.records.insert(record);
        self.readers.insert(restored.emitter.clone(), id);
    }

    /// A replay waits for its emitter, if that is there still.
    fn restore_replay(&mut self, to: &Directed, sequence: Sequence, kept: Kept) {
        let Some(id) = self.readers.get(&to.emitter) else { return };
        let Some(record) = self.records.get_mut(*id) else { return };
        if record.mode != Mode::Discarding && record.since < sequence {
            record.direct(&mut self.stock, sequence, kept, to.origin);
        }
    }

    /// A replay waits already.
    fn remember_replay(&mut self, to: &Directed, sequence: Sequence) {
        let record = self.readers.get(&to.emitter).and_then(|id| self.records.get_mut(*id));
        if let Some(record) = record {
            record.replays.get_or_insert_default().queued(to.origin, sequence);
        }
    }

    /// Something was delivered after an emitter's place was written down. `false` when it did not
    /// wait.
    pub(crate) fn settle_restored(&mut self, emitter: &EmitterId, sequence: Sequence) -> bool {
        let Some(id) = self.readers.get(emitter) else { return false };
        let Some(record) = self.records.get_mut(*id) else { return false };
        let settled = record.deliver(&mut self.stock, sequence);
        record.catch_up(&mut self.stock);
        settled
    }

    fn settle_ranges(&mut self, restored: &Restored) {
        let Some(id) = self.readers.get(&restored.emitter) else { return };
        let Some(record) = self.records.get_mut(*id) else { return };
        for (first, last) in &restored.place.settled {
            let after = Sequence(first.0.saturating_sub(1));
            let settled: Vec<Sequence> = record
                .places()
                .filter_map(|place| Some((place, self.stock.feeds.get(place.feed)?)))
                .flat_map(|(place, feed)| feed.unsettled(place, after))
                .map(|(sequence, _)| sequence)
                .take_while(|sequence| sequence <= last)
                .collect();
            for sequence in settled {
                record.settle(&mut self.stock, sequence);
            }
        }
        record.catch_up(&mut self.stock);
    }
}

/// How many different ones emitters have.
fn subscriptions(emitters: &[Restored]) -> usize {
    emitters.iter().map(|it| &it.place.subscription).collect::<FxHashSet<_>>().len()
}
