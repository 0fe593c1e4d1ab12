//! Room for what comes: whether there is any, who waits for it, and what has to go for it.

use std::sync::Arc;

use bugle_core::{AppendError, Event, Overflow, Sequence};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::feed::{Feed, FeedId};
use super::kept::Kept;
use super::ledger::{EVENT_OVERHEAD, HeldId};
use super::record::Stock;
use super::room::{Limit, NoRoom, WaitingRoom};
use super::state::State;

/// Room that is kept for an event until it is published or withdrawn.
#[derive(Debug)]
#[must_use]
pub(crate) struct Reserved {
    feeds: SmallVec<[FeedId; 2]>,
    payload: u64,
}

impl State {
    /// Keeps room for an event that is about to be appended, or says which limit has none.
    pub(crate) fn reserve(&mut self, event: &Event) -> Result<Reserved, NoRoom> {
        let found = self.search(&event.name);
        let payload = event.payload.len() as u64;
        let reserved = self.check_room(&found, payload).map(|_| self.keep_room(&found, payload));
        self.found = found;
        Ok(reserved?)
    }

    /// Keeps room for events that are about to be appended together, or for none of them.
    pub(crate) fn reserve_all(&mut self, events: &[Arc<Event>]) -> Result<Vec<Reserved>, NoRoom> {
        let keep = |event: &Arc<Event>| {
            let found = self.search(&event.name);
            let reserved = self.keep_room(&found, event.payload.len() as u64);
            self.found = found;
            reserved
        };
        let reserved: Vec<Reserved> = events.iter().map(keep).collect();
        match self.check_reserved(&reserved) {
            Ok(()) => Ok(reserved),
            Err(no_room) => {
                reserved.iter().for_each(|reserved| self.unreserve(reserved));
                Err(no_room)
            }
        }
    }

    fn keep_room(&mut self, found: &[FeedId], payload: u64) -> Reserved {
        for id in found {
            if let Some(feed) = self.stock.feeds.get_mut(*id) {
                feed.reserve();
            }
        }
        if !found.is_empty() {
            self.stock.ledger.reserve(payload);
        }
        Reserved { feeds: SmallVec::from_slice(found), payload }
    }

    /// Whether there is the room that is kept for these events.
    fn check_reserved(&self, all: &[Reserved]) -> Result<(), NoRoom> {
        let wanted = all.iter().filter(|it| !it.feeds.is_empty());
        let (count, bytes) =
            wanted.fold((0, 0), |(count, bytes), it| (count + 1, bytes + it.payload));
        let (max_events, max_bytes) = (self.limits.max_events, self.limits.max_bytes);
        if count > 1 && bytes + count * EVENT_OVERHEAD > max_bytes {
            return Err(self.never_fits(all.len(), Limit::Bytes));
        }
        let mut each = FxHashMap::<FeedId, usize>::default();
        for id in all.iter().flat_map(|it| &it.feeds) {
            *each.entry(*id).or_default() += 1;
        }
        if let Some((id, _)) = each.iter().find(|(_, count)| **count > max_events) {
            return Err(self.never_fits(all.len(), Limit::Events(*id)));
        }
        if self.limits.overflow == Overflow::DropOldest {
            return Ok(());
        }
        for id in each.keys() {
            let Some(feed) = self.stock.feeds.get(*id) else { continue };
            let crowded = feed.expected_len() > max_events
                && feed.expected_len() - feed.stalled_len() > max_events;
            if crowded || (feed.spans_too_much() && !feed.front_is_stalled()) {
                return Err(NoRoom::Now(Limit::Events(*id)));
            }
        }
        if count > 0 && !self.stock.ledger.reserved_could_fit(max_bytes) {
            return Err(NoRoom::Now(Limit::Bytes));
        }
        Ok(())
    }

    fn never_fits(&self, events: usize, limit: Limit) -> NoRoom {
        NoRoom::Ever(AppendError::BatchTooLarge { events, limit: self.in_words(limit) })
    }

    /// Gives up the room that was kept for an event.
    fn unreserve(&mut self, reserved: &Reserved) {
        for id in &reserved.feeds {
            if let Some(feed) = self.stock.feeds.get_mut(*id) {
                feed.unreserve();
            }
        }
        if !reserved.feeds.is_empty() {
            self.stock.ledger.unreserve(reserved.payload);
        }
    }

    /// An event is not appended after all: who waits for its room may have it.
    pub(crate) fn withdraw(&mut self, reserved: &Reserved) {
        self.unreserve(reserved);
        for id in &reserved.feeds {
            self.wake_next(Limit::Events(*id));
        }
        self.wake_next(Limit::Bytes);
    }

    /// Appends an event for which room was kept. If the room is gone nevertheless, because an
    /// emitter that was paused reads again, there is one event too many rather than one less.
    pub(crate) fn publish(&mut self, event: &Arc<Event>, reserved: &Reserved) -> Sequence {
        self.unreserve(reserved);
        let found = self.search(&event.name);
        if !found.is_empty() {
            self.clear_room(&found, reserved.payload);
        }
        let sequence = self.put(Kept::Here(Arc::clone(event)), &found);
        self.found = found;
        sequence
    }

    /// Appends events for which room was kept.
    pub(crate) fn publish_all(
        &mut self,
        events: &[Arc<Event>],
        reserved: &[Reserved],
    ) -> Vec<Sequence> {
        events.iter().zip(reserved).map(|(event, kept)| self.publish(event, kept)).collect()
    }

    /// Passes over a place whose event nobody is to read: who appended it did not wait for it.
    pub(crate) fn pass_over(&mut self, reserved: &Reserved) {
        self.withdraw(reserved);
        self.last.0 += 1;
    }

    /// Takes an event back that was just published, from whom it still waits for.
    pub(crate) fn retract(&mut self, sequence: Sequence, event: &Event) {
        for (_, record) in &mut self.records {
            record.settle(&mut self.stock, sequence);
        }
        let found = self.search(&event.name);
        for id in &found {
            self.wake_next(Limit::Events(*id));
        }
        self.wake_replays();
        self.wake_next(Limit::Bytes);
        self.found = found;
    }

    /// A place in the order of the appends that wait for room.
    pub(super) fn ticket(&mut self) -> u64 {
        self.counts.blocked += 1;
        self.waiting.ticket()
    }

    /// Refuses an append for want of room: the error that says which limit was reached.
    pub(super) fn reject(&mut self, limit: Limit) -> AppendError {
        self.counts.rejected += 1;
        AppendError::Full { limit: self.in_words(limit) }
    }

    /// Whether an event could be given room: `Ok(true)` if something has to be dropped for it.
    pub(super) fn check_room(&self, found: &[FeedId], payload: u64) -> Result<bool, Limit> {
        if found.is_empty() {
            return Ok(false);
        }
        let drops = self.limits.overflow == Overflow::DropOldest;
        let Stock { feeds, ledger, .. } = &self.stock;
        let mut crowded = false;
        for id in found {
            let Some(feed) = feeds.get(*id) else { continue };
            if feed.expects_to_be_full(self.limits.max_events) {
                crowded = true;
                if !drops && !feed.front_is_stalled() {
                    return Err(Limit::Events(*id));
                }
            }
        }
        if !ledger.fits(payload, self.limits.max_bytes) {
            crowded = true;
            if !drops && !ledger.could_fit(payload, self.limits.max_bytes) {
                return Err(Limit::Bytes);
            }
        }
        Ok(crowded)
    }

    /// Drops what has to go for an event: with `DropOldest` the oldest, otherwise only what nobody
    /// reads.
    pub(super) fn clear_room(&mut self, found: &[FeedId], payload: u64) {
        let drops = self.limits.overflow == Overflow::DropOldest;
        for id in found {
            let Stock { feeds, ledger, .. } = &mut self.stock;
            let Some(feed) = feeds.get_mut(*id) else { continue };
            while feed.is_full(self.limits.max_events) && (drops || feed.front_is_stalled()) {
                self.counts.dropped += u64::from(feed.drop_front(ledger));
            }
        }
        self.wake_replays();
        while !self.stock.ledger.fits(payload, self.limits.max_bytes) {
            let Some(victim) = self.victim(drops) else { break };
            if !self.drop_event(victim) {
                break;
            }
        }
    }

    /// What goes first: the oldest event that nobody reads, or else, if it may, the oldest of all.
    fn victim(&mut self, drops: bool) -> Option<HeldId> {
        let stalled = self.stock.ledger.oldest_stalled();
        if stalled.is_some() || !drops {
            return stalled;
        }
        if self.stock.feeds.iter().any(|(_, feed)| feed.waiting > feed.reading) {
            // A reader that has not noticed yet what was dropped may seem to read what it has
            // settled long ago, above that.
            for (_, record) in &mut self.records {
                record.catch_up(&mut self.stock);
            }
        }
        self.stock.ledger.oldest_stalled().or(self.stock.ledger.oldest())
    }

    /// Drops an event wherever it waits, and what is older there. For an event that is stalled, or
    /// the oldest of all, everything older in a feed that holds it is stalled there too. `false`
    /// when it did not wait anywhere.
    fn drop_event(&mut self, victim: HeldId) -> bool {
        let Some(sequence) = self.stock.ledger.sequence(victim) else { return false };
        let Some(kept) = self.stock.ledger.kept(victim).cloned() else { return false };
        let mut holders = self.search(kept.name());
        holders.extend(&self.stock.private);
        let Stock { feeds, ledger, .. } = &mut self.stock;
        let mut waited = false;
        for id in &holders {
            if let Some(feed) = feeds.get_mut(*id)
                && feed.holds(sequence)
            {
                waited = true;
                self.counts.dropped += feed.drop_through(sequence, ledger);
                wake_if_room(&mut self.waiting, feed, Limit::Events(*id), self.limits.max_events);
            }
        }
        self.wake_replays();
        self.found = holders;
        waited
    }

    fn in_words(&self, limit: Limit) -> String {
        match limit {
            Limit::Bytes | Limit::Spare => {
                format!("it holds {} bytes of events at most", self.limits.max_bytes)
            }
            Limit::Emitter(_) => {
                format!("{} events at most wait for the emitter", self.limits.max_events)
            }
            Limit::Events(id) => {
                let feed = self.stock.feeds.get(id);
                let names = feed.and_then(|feed| feed.subscription.as_ref());
                let names = names.map(ToString::to_string).unwrap_or_default();
                format!("{} events at most wait for emitters of {names}", self.limits.max_events)
            }
        }
    }

    /// Wakes the first append that waits at a limit, if there is room.
    pub(super) fn wake_next(&mut self, limit: Limit) {
        if self.waiting.is_empty() {
            return;
        }
        match limit {
            Limit::Bytes => {
                if self.stock.ledger.could_fit(0, self.limits.max_bytes) {
                    self.waiting.wake_first(limit);
                }
                self.wake_next(Limit::Spare);
            }
            Limit::Spare => {
                if self.stock.ledger.fits(0, self.limits.max_bytes) {
                    self.waiting.wake_first(limit);
                }
            }
            Limit::Emitter(reader) => match self.records.get(reader) {
                Some(record)
                    if record.expected_depth(&self.stock) < self.limits.max_events as u64 =>
                {
                    self.waiting.wake_first(limit);
                }
                Some(_) => {}
                None => self.waiting.wake_all(limit),
            },
            Limit::Events(id) => match self.stock.feeds.get(id) {
                Some(feed) => wake_if_room(&mut self.waiting, feed, limit, self.limits.max_events),
                None => self.waiting.wake_all(limit),
            },
        }
    }
}

fn wake_if_room(waiting: &mut WaitingRoom, feed: &Feed, limit: Limit, max_events: usize) {
    if feed.waiting == 0 {
        waiting.wake_all(limit);
    } else if !feed.expects_to_be_full(max_events) || feed.front_is_stalled() {
        waiting.wake_first(limit);
    }
}
