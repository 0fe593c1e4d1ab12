//! The events that someone waits for, each once, in the order of their arrival.

#[cfg(test)]
use std::collections::BTreeMap;
use std::sync::Arc;

use bugle_core::{Event, Sequence};
use slab::Slab;
use smallvec::SmallVec;

use super::history::{History, HistoryLimits};
use super::kept::{Cache, Kept};

/// What an event costs beside its payload: itself, its id, and its slots here and in a feed.
pub(super) const EVENT_OVERHEAD: u64 = 320;

/// Which of the events. Four bytes, since every slot of every feed has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldId(u32);

impl HeldId {
    /// No event: an event of this number would be the four-billionth that waits.
    pub(super) const NONE: Self = Self(u32::MAX);

    fn new(key: usize) -> Self {
        Self(u32::try_from(key).unwrap_or(u32::MAX))
    }

    fn key(self) -> usize {
        self.0 as usize
    }
}

/// Room for this many freed events before the slots themselves are given back.
const KEPT_CAPACITY: usize = 4096;

/// An event, and who holds it.
#[derive(Debug)]
struct Held {
    sequence: Sequence,
    kept: Kept,
    /// How many feeds hold it now.
    holding: u32,
    /// In how many of these an emitter that reads waits for it. At none the event is stalled.
    reading: u32,
    /// The neighbours in the order of arrival.
    older: HeldId,
    newer: HeldId,
}

/// The events that someone waits for.
#[derive(Debug)]
pub(super) struct Ledger {
    held: Slab<Held>,
    oldest: HeldId,
    newest: HeldId,
    /// The bytes of all payloads.
    bytes: u64,
    /// How many events wait only for emitters that do not read.
    stalled: usize,
    /// The bytes of their payloads.
    stalled_bytes: u64,
    /// None of these is older than this one.
    stalled_from: HeldId,
    /// Events that are about to be appended: how many, and the bytes of their payloads.
    reserved: (usize, u64),
    /// Which of the events are in memory.
    cache: Cache,
    /// Events that nobody waits for any more, until the lock is released: an allocator has no
    /// business under it.
    pub(super) gone: SmallVec<[Arc<Event>; 2]>,
    /// Those that nobody waits for any more and that are kept all the same, for the event log.
    pub(super) history: History,
}

impl Ledger {
    /// An empty ledger that keeps at most so many bytes of payload in memory.
    pub(super) fn new(max_cached: u64, history: HistoryLimits) -> Self {
        Self {
            held: Slab::new(),
            oldest: HeldId::NONE,
            newest: HeldId::NONE,
            bytes: 0,
            stalled: 0,
            stalled_bytes: 0,
            stalled_from: HeldId::NONE,
            reserved: (0, 0),
            cache: Cache::new(max_cached),
            gone: SmallVec::new(),
            history: History::new(history),
        }
    }

    fn get(&self, id: HeldId) -> Option<&Held> {
        self.held.get(id.key())
    }

    fn get_mut(&mut self, id: HeldId) -> Option<&mut Held> {
        self.held.get_mut(id.key())
    }

    /// Takes an event for so many feeds; in some of them an emitter that reads waits for it.
    pub(super) fn enter(
        &mut self,
        sequence: Sequence,
        kept: Kept,
        holding: u32,
        reading: u32,
    ) -> HeldId {
        let bytes = kept.bytes();
        let cached = matches!(kept, Kept::Here(_));
        let (older, newer) = (self.newest, HeldId::NONE);
        let key = self.held.insert(Held { sequence, kept, holding, reading, older, newer });
        let id = HeldId::new(key);
        match self.get_mut(older) {
            Some(newest) => newest.newer = id,
            None => self.oldest = id,
        }
        self.newest = id;
        self.bytes += bytes;
        if reading == 0 {
            self.stall(id);
        }
        if cached {
            self.cached(id, sequence, bytes);
        }
        id
    }

    /// One more feed holds an event. Said whether an emitter that reads waits for it there.
    pub(super) fn hold(&mut self, id: HeldId, reading: bool) {
        if let Some(held) = self.get_mut(id) {
            held.holding += 1;
        }
        if reading {
            self.wanted(id);
        }
    }

    /// An event that was read back is in memory again.
    pub(super) fn keep(&mut self, id: HeldId, sequence: Sequence, event: &Arc<Event>) {
        let Some(held) = self.get_mut(id) else { return };
        if held.sequence == sequence && matches!(held.kept, Kept::Away { .. }) {
            held.kept = Kept::Here(Arc::clone(event));
            self.cached(id, sequence, event.payload.len() as u64);
        }
    }

    /// An event has come into memory; the oldest there leave when they are too many.
    fn cached(&mut self, id: HeldId, sequence: Sequence, bytes: u64) {
        self.cache.enter(id, sequence, bytes);
        while let Some((id, sequence)) = self.cache.next_to_leave() {
            let Some(held) = self.held.get_mut(id.key()).filter(|it| it.sequence == sequence)
            else {
                continue;
            };
            if let Kept::Here(event) = &held.kept {
                let away = self.cache.away(event);
                if let Kept::Here(event) = std::mem::replace(&mut held.kept, away) {
                    self.gone.push(event);
                }
            }
        }
    }

    /// A feed lets go of an event. Said whether someone who reads waited for it there until now.
    pub(super) fn release(&mut self, id: HeldId, reading: bool) {
        let Some(held) = self.get_mut(id) else { return };
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
        let Some(held) = self.held.try_remove(id.key()) else { return };
        if self.stalled_from == id {
            self.stalled_from = held.newer;
        }
        match self.get_mut(held.older) {
            Some(older) => older.newer = held.newer,
            None => self.oldest = held.newer,
        }
        match self.get_mut(held.newer) {
            Some(newer) => newer.older = held.older,
            None => self.newest = held.older,
        }
        let bytes = held.kept.bytes();
        self.bytes -= bytes;
        if let Kept::Here(event) = held.kept {
            let sequence = held.sequence;
            let held = &self.held;
            self.cache.leave(bytes, held.len(), |id, sequence| {
                held.get(id.key()).is_some_and(|it| it.sequence == sequence)
            });
            self.settled(sequence, event);
        } else {
            self.history.remove(held.sequence);
        }
        if self.held.is_empty() && self.held.capacity() > KEPT_CAPACITY {
            self.held = Slab::new();
        }
    }

    /// Nobody waits for an event, or not any more.
    pub(super) fn settled(&mut self, sequence: Sequence, event: Arc<Event>) {
        self.history.push(sequence, event, &mut self.gone);
    }

    /// In one more feed an emitter that reads waits for an event.
    pub(super) fn wanted(&mut self, id: HeldId) {
        let Some(held) = self.get_mut(id) else { return };
        held.reading += 1;
        if held.reading == 1 {
            self.unstall(id);
        }
    }

    /// In one feed less an emitter that reads waits for an event.
    pub(super) fn unwanted(&mut self, id: HeldId) {
        let Some(held) = self.get_mut(id) else { return };
        held.reading -= 1;
        if held.reading == 0 {
            self.stall(id);
        }
    }

    fn stall(&mut self, id: HeldId) {
        let Some(held) = self.get(id) else { return };
        let (sequence, bytes) = (held.sequence, held.kept.bytes());
        self.stalled += 1;
        self.stalled_bytes += bytes;
        if self.get(self.stalled_from).is_none_or(|from| from.sequence > sequence) {
            self.stalled_from = id;
        }
    }

    fn unstall(&mut self, id: HeldId) {
        let Some(held) = self.get(id) else { return };
        let bytes = held.kept.bytes();
        self.stalled -= 1;
        self.stalled_bytes -= bytes;
    }

    /// An event.
    pub(super) fn kept(&self, id: HeldId) -> Option<&Kept> {
        self.get(id).map(|held| &held.kept)
    }

    /// Where an event stands.
    pub(super) fn sequence(&self, id: HeldId) -> Option<Sequence> {
        self.get(id).map(|held| held.sequence)
    }

    /// The oldest event.
    pub(super) fn oldest(&self) -> Option<HeldId> {
        (self.oldest != HeldId::NONE).then_some(self.oldest)
    }

    /// Keeps room for an event that is about to be appended.
    pub(super) fn reserve(&mut self, payload: u64) {
        self.reserved.0 += 1;
        self.reserved.1 += payload;
    }

    /// Gives up room that was kept.
    pub(super) fn unreserve(&mut self, payload: u64) {
        self.reserved.0 -= 1;
        self.reserved.1 -= payload;
    }

    /// Makes space for so many events at once.
    pub(super) fn expect(&mut self, events: usize) {
        self.held.reserve_exact(events);
    }

    /// The oldest event that no emitter that reads waits for.
    pub(super) fn oldest_stalled(&mut self) -> Option<HeldId> {
        if self.stalled == 0 {
            self.stalled_from = HeldId::NONE;
            return None;
        }
        while let Some(held) = self.get(self.stalled_from)
            && held.reading > 0
        {
            self.stalled_from = held.newer;
        }
        Some(self.stalled_from)
    }

    /// Whether one more payload fits. An empty ledger takes any.
    pub(super) fn fits(&self, payload: u64, max_bytes: u64) -> bool {
        self.with_reserved(self.held.len(), self.bytes, payload, max_bytes)
    }

    /// Whether one more payload would fit if nothing were stalled.
    pub(super) fn could_fit(&self, payload: u64, max_bytes: u64) -> bool {
        let events = self.held.len() - self.stalled;
        self.with_reserved(events, self.bytes - self.stalled_bytes, payload, max_bytes)
    }

    /// Whether all that room is kept for would fit if nothing were stalled.
    pub(super) fn reserved_could_fit(&self, max_bytes: u64) -> bool {
        let events = (self.held.len() - self.stalled + self.reserved.0) as u64;
        let bytes = self.bytes - self.stalled_bytes + self.reserved.1;
        events <= 1 || bytes + events * EVENT_OVERHEAD <= max_bytes
    }

    fn with_reserved(&self, events: usize, bytes: u64, payload: u64, max_bytes: u64) -> bool {
        let events = events + self.reserved.0;
        let with_it = bytes + self.reserved.1 + payload + (events as u64 + 1) * EVENT_OVERHEAD;
        events == 0 || with_it <= max_bytes
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
        while let Some(held) = self.get(next) {
            chain.push((held.sequence, (held.holding, held.reading)));
            next = held.newer;
        }
        assert_eq!(chain, expected.into_iter().collect::<Vec<_>>());
        assert_eq!(self.held.len(), chain.len());
        let stalled: Vec<_> = chain.iter().filter(|it| it.1.1 == 0).map(|it| it.0).collect();
        assert_eq!(self.stalled, stalled.len());
        if let Some(first) = stalled.first() {
            let from = self.get(self.stalled_from).map(|it| it.sequence);
            assert!(from.is_some_and(|from| from <= *first), "{from:?}, {first}");
        }
        let bytes = |ids: &mut dyn Iterator<Item = HeldId>| -> u64 {
            ids.filter_map(|id| self.kept(id)).map(Kept::bytes).sum()
        };
        assert_eq!(self.bytes, bytes(&mut self.held.iter().map(|(key, _)| HeldId::new(key))));
        self.cache.check(self.held.iter().map(|(_, held)| &held.kept));
        let is_stalled =
            |(key, held): (usize, &Held)| (held.reading == 0).then(|| HeldId::new(key));
        assert_eq!(self.stalled_bytes, bytes(&mut self.held.iter().filter_map(is_stalled)));
    }
}
