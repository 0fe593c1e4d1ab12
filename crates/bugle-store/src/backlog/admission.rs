//! Room for what comes: whether there is any, who waits for it, and what has to go for it.

use std::sync::Arc;

use bugle_core::{AppendError, Event, Overflow, Sequence};
use smallvec::SmallVec;

use super::feed::{Feed, FeedId};
use super::kept::Kept;
use super::ledger::HeldId;
use super::record::Stock;
use super::room::{Limit, WaitingRoom};
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
    pub(crate) fn reserve(&mut self, event: &Event) -> Result<Reserved, Limit> {
        let found = self.search(&event.name);
        let payload = event.payload.len() as u64;
        let reserved = self.check_room(&found, payload).map(|_| {
            for id in &found {
                if let Some(feed) = self.stock.feeds.get_mut(*id) {
                    feed.reserve();
                }
            }
            if !found.is_empty() {
                self.stock.ledger.reserve(payload);
            }
            Reserved { feeds: SmallVec::from_slice(&found), payload }
        });
        self.found = found;
        reserved
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

    /// Passes over a place whose event nobody is to read: who appended it did not wait for it.
    pub(crate) fn pass_over(&mut self, reserved: &Reserved) -> Sequence {
        self.withdraw(reserved);
        self.last.0 += 1;
        self.last
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
        self.full(limit)
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
            if feed.expected_len() >= self.limits.max_events {
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
            while feed.len() >= self.limits.max_events && (drops || feed.front_is_stalled()) {
                self.counts.dropped += u64::from(feed.drop_front(ledger));
            }
        }
        while !self.stock.ledger.fits(payload, self.limits.max_bytes) {
            let ledger = &mut self.stock.ledger;
            let oldest = ledger.oldest().filter(|_| drops);
            let Some(victim) = ledger.oldest_stalled().or(oldest) else { break };
            if !self.drop_event(victim) {
                break;
            }
        }
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
        self.found = holders;
        waited
    }

    fn full(&self, limit: Limit) -> AppendError {
        let limit = match limit {
            Limit::Bytes => {
                format!("it holds {} bytes of events at most", self.limits.max_bytes)
            }
            Limit::Events(id) => {
                let feed = self.stock.feeds.get(id);
                let names = feed.and_then(|feed| feed.subscription.as_ref());
                let names = names.map(ToString::to_string).unwrap_or_default();
                format!("{} events wait for emitters of {names}", self.limits.max_events)
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
            Limit::Bytes if self.stock.ledger.could_fit(0, self.limits.max_bytes) => {
                self.waiting.wake_first(limit);
            }
            Limit::Bytes => {}
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
    } else if feed.expected_len() < max_events || feed.front_is_stalled() {
        waiting.wake_first(limit);
    }
}
