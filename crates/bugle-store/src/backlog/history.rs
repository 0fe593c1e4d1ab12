//! Events that nobody waits for any more, and that are kept for the event log.

use std::collections::VecDeque;
use std::sync::Arc;

use bugle_core::{Event, Sequence};
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

/// The events that were settled last, in the order in which they were.
#[derive(Debug)]
pub(super) struct History {
    events: VecDeque<(Sequence, Arc<Event>)>,
    bytes: u64,
    limits: HistoryLimits,
}

impl History {
    pub(super) fn new(limits: HistoryLimits) -> Self {
        Self { events: VecDeque::new(), bytes: 0, limits }
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
            gone.push(event);
            return;
        }
        self.bytes += event.payload.len() as u64;
        self.events.push_back((sequence, event));
        while self.events.len() > self.limits.events || self.bytes > self.limits.bytes {
            let Some((_, oldest)) = self.events.pop_front() else { break };
            self.bytes -= oldest.payload.len() as u64;
            gone.push(oldest);
        }
    }

    /// Forgets an event.
    pub(super) fn remove(&mut self, sequence: Sequence) {
        if let Some(at) = self.events.iter().position(|(place, _)| *place == sequence)
            && let Some((_, event)) = self.events.remove(at)
        {
            self.bytes -= event.payload.len() as u64;
        }
    }

    /// All of it, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Sequence, Arc<Event>)> {
        self.events.iter()
    }
}
