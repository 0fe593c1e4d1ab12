//! Events that nobody waits for any more, and that are kept for the event log.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bugle_core::{Event, Sequence};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HistoryLimits {
    /// How many events.
    pub(crate) events: usize,
    /// How many bytes of payload.
    pub(crate) bytes: u64,
}

impl HistoryLimits {
    /// Nothing is kept: where events are on disk.
    pub(crate) const NONE: Self = Self { events: 0, bytes: 0 };
}

/// The events that were settled last.
#[derive(Debug)]
pub(super) struct History {
    events: BTreeMap<Sequence, Arc<Event>>,
    /// In the order in which they were settled.
    order: VecDeque<Sequence>,
    bytes: u64,
    limits: HistoryLimits,
    /// The first place of each event that is delivered again, as long as it waits or is kept.
    origins: FxHashMap<Sequence, Sequence>,
}

impl History {
    pub(super) fn new(limits: HistoryLimits) -> Self {
        Self {
            events: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            limits,
            origins: FxHashMap::default(),
        }
    }

    /// Keeps an event. What has to go for it, or itself, is put aside: an allocator has no business
    /// under the lock.
    pub(super) fn push(
        &mut self,
        sequence: Sequence,
        event: Arc<Event>,
        gone: &mut SmallVec<[Arc<Event>; 2]>,
    ) {
        if self.limits.events == 0 {
            self.origins.remove(&sequence);
            gone.push(event);
            return;
        }
        self.bytes += event.payload.len() as u64;
        self.events.insert(sequence, event);
        self.order.push_back(sequence);
        while self.events.len() > self.limits.events || self.bytes > self.limits.bytes {
            let Some(oldest) = self.order.pop_front() else { break };
            gone.extend(self.take(oldest));
        }
    }

    /// Forgets an event.
    pub(super) fn remove(&mut self, sequence: Sequence) {
        if self.take(sequence).is_some() {
            self.order.retain(|place| *place != sequence);
        }
    }

    fn take(&mut self, sequence: Sequence) -> Option<Arc<Event>> {
        self.origins.remove(&sequence);
        let event = self.events.remove(&sequence)?;
        self.bytes -= event.payload.len() as u64;
        Some(event)
    }

    /// An event is delivered again, from this place.
    pub(super) fn delivered_again(&mut self, sequence: Sequence, origin: Sequence) {
        self.origins.insert(sequence, origin);
    }

    /// The first place of the event at this one.
    pub(super) fn origin(&self, sequence: Sequence) -> Sequence {
        self.origins.get(&sequence).copied().unwrap_or(sequence)
    }

    /// Whether an event is kept.
    pub(super) fn has(&self, sequence: Sequence) -> bool {
        self.events.contains_key(&sequence)
    }

    /// Those below a place, newest first.
    pub(super) fn below(&self, below: Sequence) -> impl Iterator<Item = (Sequence, &Arc<Event>)> {
        self.events.range(..below).rev().map(|(sequence, event)| (*sequence, event))
    }

    /// Those behind a place, in order.
    pub(super) fn after(&self, after: Sequence) -> impl Iterator<Item = (Sequence, &Arc<Event>)> {
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        self.events.range(behind).map(|(sequence, event)| (*sequence, event))
    }
}
