//! What waits for the readers of one subscription.

#[cfg(test)]
mod check;
mod find;
mod slot;

use std::collections::VecDeque;
use std::sync::Arc;

use bugle_core::{Sequence, Subscription};

use super::kept::Found;
use super::ledger::{HeldId, Ledger};
use super::place::{Gaps, Place};
use slot::Slot;

/// Which of the feeds.
pub(super) type FeedId = usize;

/// The first ordinal of a feed. In tests it is one that soon has no room in 32 bits.
pub(super) const FIRST_ORDINAL: u64 = if cfg!(test) { u32::MAX as u64 - 7 } else { 0 };

/// So far a feed's first slot may be behind the next one, since slots count in 32 bits. A billion
/// is left for what is about to be appended.
const MAX_SPAN: u64 = 3 << 30;

/// Slots that an empty feed keeps for its next entries.
const KEPT_CAPACITY: usize = 1024;

/// The entries that the readers of one subscription share, in order. An entry is live while one of
/// them waits for it, and the first slot is always live.
#[derive(Debug)]
pub(super) struct Feed {
    /// What it takes in; `None` for a reader's private feed, which takes nothing any more: it
    /// carries what waited when the reader was opened again with another subscription.
    pub(super) subscription: Option<Arc<Subscription>>,
    slots: VecDeque<Slot>,
    /// How many slots are live.
    live: usize,
    /// How many entries are about to be appended.
    reserved: usize,
    /// The next slot's ordinal.
    end: u64,
    /// The last slot's sequence number.
    last: Sequence,
    /// Slots below this ordinal were dropped for those that had not settled them.
    dropped_end: u64,
    /// The last sequence number that was dropped.
    dropped_through: Sequence,
    /// The readers that have a place here.
    pub(super) readers: u32,
    /// Those of them that a new entry waits for: all but those that discard.
    pub(super) waiting: u32,
    /// Those of them that read.
    pub(super) reading: u32,
    /// The last search that met this feed, so that none meets it twice.
    met: u64,
}

impl Feed {
    /// An empty feed.
    pub(super) fn new(subscription: Option<Arc<Subscription>>) -> Self {
        Self {
            subscription,
            slots: VecDeque::new(),
            live: 0,
            reserved: 0,
            end: FIRST_ORDINAL,
            last: Sequence::START,
            dropped_end: 0,
            dropped_through: Sequence::START,
            readers: 0,
            waiting: 0,
            reading: 0,
            met: 0,
        }
    }

    /// Whether this search meets the feed for the first time.
    pub(super) fn meet(&mut self, search: u64) -> bool {
        std::mem::replace(&mut self.met, search) != search
    }

    /// The ordinal of the next slot.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// A slot's ordinal.
    fn ordinal(&self, slot: &Slot) -> u64 {
        slot.ordinal_before(self.end)
    }

    /// The last entry's place in the journal.
    pub(super) fn last(&self) -> Sequence {
        self.last
    }

    /// Makes space for so many entries at once, in a feed that is new.
    pub(super) fn expect(&mut self, entries: usize) {
        if self.slots.capacity() == 0 {
            self.slots.reserve_exact(entries);
        }
    }

    /// Keeps room for an entry that is about to be appended.
    pub(super) fn reserve(&mut self) {
        self.reserved += 1;
    }

    /// Gives up room that was kept.
    pub(super) fn unreserve(&mut self) {
        self.reserved = self.reserved.saturating_sub(1);
    }

    /// How many entries someone waits for, with those that are about to be appended.
    pub(super) fn expected_len(&self) -> usize {
        self.live + self.reserved
    }

    /// Whether it has no room for one more, where so many entries may wait.
    pub(super) fn is_full(&self, max_events: usize) -> bool {
        self.live >= max_events || self.spans_too_much()
    }

    /// The same, counting those that are about to be appended.
    pub(super) fn expects_to_be_full(&self, max_events: usize) -> bool {
        self.expected_len() >= max_events || self.spans_too_much()
    }

    /// Whether an entry waits while three billion others came and went: there is no room then.
    pub(super) fn spans_too_much(&self) -> bool {
        self.slots.front().is_some_and(|front| self.end - self.ordinal(front) > MAX_SPAN)
    }

    /// Whether no reader that reads waits for the oldest entry.
    pub(super) fn front_is_stalled(&self) -> bool {
        self.slots.front().is_some_and(|slot| slot.reading == 0)
    }

    /// How many entries no reader that reads waits for: they are the first ones.
    pub(super) fn stalled_len(&self) -> usize {
        self.slots.iter().take_while(|slot| slot.reading == 0).filter(|slot| slot.is_live()).count()
    }

    /// Appends an entry that all waiting readers wait for.
    pub(super) fn push(&mut self, sequence: Sequence, held: HeldId) {
        self.slots.push_back(Slot::new(self.end, sequence, held, self.waiting, self.reading));
        self.end += 1;
        self.last = sequence;
        self.live += 1;
    }

    /// One more reader reads here.
    pub(super) fn join(&mut self) {
        self.readers += 1;
        self.waiting += 1;
        self.reading += 1;
    }

    /// Leaves an ordinal out: it stands for what a place has settled already.
    pub(super) fn leave_out(&mut self) -> u64 {
        self.end += 1;
        self.end - 1
    }

    /// Where a reader that has just come stands: at the end.
    pub(super) fn place_at_end(&self, feed: FeedId, cursor: Sequence) -> Place {
        Place::new(feed, self.end, cursor)
    }

    /// Moves a place past what was dropped before it was settled there. Answers how many entries
    /// that were.
    pub(super) fn catch_up(
        &mut self,
        place: &mut Place,
        reads: bool,
        gaps: &mut Gaps,
        ledger: &mut Ledger,
    ) -> u64 {
        if place.next >= self.dropped_end {
            return 0;
        }
        let missed = place.skip(self.dropped_end, self.dropped_through, gaps);
        if reads {
            // What is settled just above what was dropped is passed too.
            self.pass(self.index_of(self.dropped_end), place.next, ledger);
        }
        missed
    }

    /// How many entries wait for a place.
    pub(super) fn depth(&self, place: &Place) -> u64 {
        self.end.saturating_sub(place.next).saturating_sub(place.settled.count())
    }

    /// Whether an entry is live here.
    pub(super) fn holds(&self, sequence: Sequence) -> bool {
        let at = self.seek(0, sequence);
        self.slots.get(at).is_some_and(|slot| slot.sequence == sequence && slot.is_live())
    }

    /// Whether an entry waits for a place.
    pub(super) fn waits(&self, place: &Place, sequence: Sequence) -> bool {
        let before = Sequence(sequence.0.saturating_sub(1));
        self.unsettled(place, before).next().is_some_and(|(first, _)| first == sequence)
    }

    /// The entries that wait for a place, in order, from behind a sequence number.
    pub(super) fn unsettled<'a>(
        &'a self,
        place: &'a Place,
        after: Sequence,
    ) -> impl Iterator<Item = (Sequence, HeldId)> + 'a {
        let start = self.index_of(place.next);
        let start = match after {
            after if after > place.cursor => self.seek(start, Sequence(after.0.saturating_add(1))),
            _ => start,
        };
        self.slots
            .range(start.min(self.slots.len())..)
            .filter(|slot| slot.is_live() && !place.settled.contains(self.ordinal(slot)))
            .map(|slot| (slot.sequence, slot.held))
    }

    /// The entries below a sequence number that somebody waits for, newest first.
    pub(super) fn below(&self, end: Sequence) -> impl Iterator<Item = (Sequence, HeldId)> {
        let end = self.slots.partition_point(|slot| slot.sequence < end);
        let live = self.slots.range(..end).rev().filter(|slot| slot.is_live());
        live.map(|slot| (slot.sequence, slot.held))
    }

    /// The entries behind a sequence number that somebody waits for, in order.
    pub(super) fn after(&self, after: Sequence) -> impl Iterator<Item = (Sequence, HeldId)> {
        let start = self.slots.partition_point(|slot| slot.sequence <= after);
        let live = self.slots.range(start..).filter(|slot| slot.is_live());
        live.map(|slot| (slot.sequence, slot.held))
    }

    /// Reads entries.
    pub(super) fn read(
        &self,
        place: &Place,
        after: Sequence,
        limit: usize,
        ledger: &Ledger,
        into: &mut Vec<Found>,
    ) {
        let wanted = limit.saturating_sub(into.len());
        into.extend(self.unsettled(place, after).take(wanted).filter_map(|(sequence, held)| {
            ledger.kept(held).map(|kept| Found { sequence, held, kept: kept.clone() })
        }));
    }

    /// Settles an entry for a place. `false` when it did not wait for it.
    pub(super) fn settle(
        &mut self,
        place: &mut Place,
        reads: bool,
        sequence: Sequence,
        ledger: &mut Ledger,
    ) -> bool {
        if sequence <= place.cursor {
            return false;
        }
        let at = self.seek(self.index_of(place.next), sequence);
        let Some(slot) = self.slots.get_mut(at) else { return false };
        let ordinal = slot.ordinal_before(self.end);
        if slot.sequence != sequence || place.settled.contains(ordinal) {
            return false;
        }
        self.live -= usize::from(slot.no_longer_waits(ledger));
        if ordinal == place.next {
            place.next += 1;
            place.cursor = sequence;
            place.close_up();
            if reads {
                self.pass(at, place.next, ledger);
            }
        } else {
            place.settled.insert(ordinal, sequence);
        }
        self.trim();
        true
    }

    /// A reader that reads has its cursor no longer below these slots.
    fn pass(&mut self, from: usize, end: u64, ledger: &mut Ledger) {
        let to = self.index_of(end).max(from);
        for slot in self.slots.range_mut(from..to) {
            slot.no_longer_read(ledger);
        }
    }

    /// A place's reader stops reading, and keeps what waits for it.
    pub(super) fn stop_reading(&mut self, place: &Place, ledger: &mut Ledger) {
        self.reading -= 1;
        let start = self.index_of(place.next);
        self.pass(start, u64::MAX, ledger);
    }

    /// A place's reader reads again.
    pub(super) fn start_reading(&mut self, place: &Place, ledger: &mut Ledger) {
        self.reading += 1;
        let start = self.index_of(place.next);
        for slot in self.slots.range_mut(start..) {
            slot.reading += 1;
            if slot.reading == 1 && slot.is_live() {
                ledger.wanted(slot.held);
            }
        }
    }

    /// A place's reader, which does not read now, no longer waits for anything.
    pub(super) fn stop_waiting(&mut self, place: &Place, ledger: &mut Ledger) {
        self.waiting -= 1;
        let start = self.index_of(place.next);
        let mut died = 0;
        for slot in self.slots.range_mut(start..) {
            if slot.is_live() && !place.settled.contains(slot.ordinal_before(self.end)) {
                died += usize::from(slot.no_longer_waits(ledger));
            }
        }
        self.live -= died;
        self.trim();
    }

    /// Drops the oldest entry. Answers for how many readers.
    pub(super) fn drop_front(&mut self, ledger: &mut Ledger) -> u32 {
        let Some(slot) = self.slots.pop_front() else { return 0 };
        ledger.release(slot.held, slot.reading > 0);
        self.live -= 1;
        self.dropped_end = self.ordinal(&slot) + 1;
        self.dropped_through = slot.sequence;
        self.trim();
        slot.waiting
    }

    /// Drops the entries up to and with a sequence number. Answers how many in all, counted once
    /// for each reader.
    pub(super) fn drop_through(&mut self, sequence: Sequence, ledger: &mut Ledger) -> u64 {
        let mut dropped = 0;
        while self.slots.front().is_some_and(|slot| slot.sequence <= sequence) {
            dropped += u64::from(self.drop_front(ledger));
        }
        dropped
    }

    /// Gives back the slots that nobody waits for: those in front at once, those between live ones
    /// when they are the most.
    fn trim(&mut self) {
        while self.slots.front().is_some_and(|slot| !slot.is_live()) {
            self.slots.pop_front();
        }
        if self.slots.is_empty() {
            if self.slots.capacity() > KEPT_CAPACITY {
                self.slots = VecDeque::new();
            }
        } else if self.slots.len() > 2 * self.live + 64 {
            self.slots.retain(Slot::is_live);
        }
    }
}
