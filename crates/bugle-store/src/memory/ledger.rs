//! The events that a journal holds, each once, in the order of their arrival.

use std::collections::BTreeMap;
use std::sync::Arc;

use bugle_core::{Event, Sequence};
use slab::Slab;
use smallvec::SmallVec;

use super::feed::FeedId;

/// What an event costs beside its payload: itself, its id, and its slots here and in a feed.
const EVENT_OVERHEAD: u64 = 320;

/// Which of the events.
pub(super) type HeldId = usize;

/// Room for this many freed events before the slots themselves are given back.
const KEPT_CAPACITY: usize = 4096;

/// An event, and who holds it.
#[derive(Debug)]
struct Held {
    sequence: Sequence,
    event: Arc<Event>,
    /// The feeds that took it. Some may have let go of it since.
    feeds: SmallVec<[FeedId; 1]>,
    /// How many feeds hold it now.
    holding: u32,
    /// In how many of these an emitter that reads waits for it. At none the event is stalled.
    reading: u32,
    /// The neighbours in the order of arrival.
    older: Option<HeldId>,
    newer: Option<HeldId>,
}

/// The events that someone waits for.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    held: Slab<Held>,
    oldest: Option<HeldId>,
    newest: Option<HeldId>,
    /// The bytes of all payloads.
    bytes: u64,
    /// The events that wait only for emitters that do not read, by age.
    stalled: BTreeMap<Sequence, HeldId>,
    /// The bytes of their payloads.
    stalled_bytes: u64,
    /// Events that nobody waits for any more, until the lock is released: an allocator has no
    /// business under it.
    pub(super) gone: SmallVec<[Arc<Event>; 2]>,
}

impl Ledger {
    /// Takes an event for these feeds; in so many of them an emitter that reads waits for it.
    pub(super) fn enter(
        &mut self,
        sequence: Sequence,
        event: Arc<Event>,
        feeds: &[FeedId],
        reading: u32,
    ) -> HeldId {
        let bytes = event.payload.len() as u64;
        let id = self.held.insert(Held {
            sequence,
            event,
            feeds: SmallVec::from_slice(feeds),
            holding: u32::try_from(feeds.len()).unwrap_or(u32::MAX),
            reading,
            older: self.newest,
            newer: None,
        });
        match self.newest.and_then(|newest| self.held.get_mut(newest)) {
            Some(newest) => newest.newer = Some(id),
            None => self.oldest = Some(id),
        }
        self.newest = Some(id);
        self.bytes += bytes;
        if reading == 0 {
            self.stall(id);
        }
        id
    }

    /// One more feed holds an event; an emitter that reads waits for it there.
    pub(super) fn hold(&mut self, id: HeldId, feed: FeedId) {
        if let Some(held) = self.held.get_mut(id) {
            held.feeds.push(feed);
            held.holding += 1;
        }
        self.wanted(id);
    }

    /// A feed lets go of an event. Said whether someone who reads waited for it there until now.
    pub(super) fn release(&mut self, id: HeldId, reading: bool) {
        let Some(held) = self.held.get_mut(id) else { return };
        held.holding -= 1;
        if held.holding > 0 {
            if reading {
                self.unwanted(id);
            }
            return;
        }
        if held.reading == 0 {
            self.unstall(id);
        }
        let Some(held) = self.held.try_remove(id) else { return };
        match held.older.and_then(|older| self.held.get_mut(older)) {
            Some(older) => older.newer = held.newer,
            None => self.oldest = held.newer,
        }
        match held.newer.and_then(|newer| self.held.get_mut(newer)) {
            Some(newer) => newer.older = held.older,
            None => self.newest = held.older,
        }
        self.bytes -= held.event.payload.len() as u64;
        self.gone.push(held.event);
        if self.held.is_empty() && self.held.capacity() > KEPT_CAPACITY {
            self.held = Slab::new();
        }
    }

    /// In one more feed an emitter that reads waits for an event.
    pub(super) fn wanted(&mut self, id: HeldId) {
        let Some(held) = self.held.get_mut(id) else { return };
        held.reading += 1;
        if held.reading == 1 {
            self.unstall(id);
        }
    }

    /// In one feed less an emitter that reads waits for an event.
    pub(super) fn unwanted(&mut self, id: HeldId) {
        let Some(held) = self.held.get_mut(id) else { return };
        held.reading -= 1;
        if held.reading == 0 {
            self.stall(id);
        }
    }

    fn stall(&mut self, id: HeldId) {
        let Some(held) = self.held.get(id) else { return };
        if self.stalled.insert(held.sequence, id).is_none() {
            self.stalled_bytes += held.event.payload.len() as u64;
        }
    }

    fn unstall(&mut self, id: HeldId) {
        let Some(held) = self.held.get(id) else { return };
        if self.stalled.remove(&held.sequence).is_some() {
            self.stalled_bytes -= held.event.payload.len() as u64;
        }
    }

    /// An event.
    pub(super) fn event(&self, id: HeldId) -> Option<&Arc<Event>> {
        self.held.get(id).map(|held| &held.event)
    }

    /// Where an event stands, and the feeds that took it.
    pub(super) fn whereabouts(&self, id: HeldId) -> Option<(Sequence, SmallVec<[FeedId; 1]>)> {
        self.held.get(id).map(|held| (held.sequence, held.feeds.clone()))
    }

    /// The oldest event.
    pub(super) fn oldest(&self) -> Option<HeldId> {
        self.oldest
    }

    /// The oldest event that no emitter that reads waits for.
    pub(super) fn oldest_stalled(&self) -> Option<HeldId> {
        self.stalled.first_key_value().map(|(_, id)| *id)
    }

    /// Whether one more payload fits. An empty ledger takes any.
    pub(super) fn fits(&self, payload: u64, max_bytes: u64) -> bool {
        fits(self.held.len(), self.bytes, payload, max_bytes)
    }

    /// Whether one more payload would fit if nothing were stalled.
    pub(super) fn could_fit(&self, payload: u64, max_bytes: u64) -> bool {
        let events = self.held.len() - self.stalled.len();
        fits(events, self.bytes - self.stalled_bytes, payload, max_bytes)
    }

    /// How many events there are.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// The bytes of their payloads.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn fits(events: usize, bytes: u64, payload: u64, max_bytes: u64) -> bool {
    let with_it = bytes + payload + (events as u64 + 1) * EVENT_OVERHEAD;
    events == 0 || with_it <= max_bytes
}

#[cfg(test)]
impl Ledger {
    /// Compares what is held with what the feeds' live slots say, each with whether someone who
    /// reads waits for it.
    pub(super) fn check(&self, live: impl Iterator<Item = (Sequence, bool)>) {
        let mut expected = BTreeMap::<Sequence, (u32, u32)>::new();
        for (sequence, reading) in live {
            let (holding, all_reading) = expected.entry(sequence).or_default();
            *holding += 1;
            *all_reading += u32::from(reading);
        }
        let mut chain = Vec::new();
        let mut next = self.oldest;
        while let Some(held) = next.and_then(|id| self.held.get(id)) {
            chain.push((held.sequence, (held.holding, held.reading)));
            next = held.newer;
        }
        assert_eq!(chain, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(self.held.len(), chain.len());
        let stalled: Vec<_> = chain.iter().filter(|it| it.1.1 == 0).map(|it| it.0).collect();
        assert_eq!(self.stalled.keys().copied().collect::<Vec<_>>(), stalled);
        let bytes = |ids: &mut dyn Iterator<Item = HeldId>| -> u64 {
            ids.filter_map(|id| self.event(id)).map(|event| event.payload.len() as u64).sum()
        };
        assert_eq!(self.bytes, bytes(&mut self.held.iter().map(|(id, _)| id)));
        assert_eq!(self.stalled_bytes, bytes(&mut self.stalled.values().copied()));
    }
}
