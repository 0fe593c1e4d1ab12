//! Where an event is that someone waits for: in memory, or on disk only.

use std::collections::VecDeque;
use std::sync::Arc;

use bugle_core::{Entry, Event, EventName, Sequence};
use rustc_hash::FxHashMap;

use super::ledger::HeldId;

/// An event that someone waits for.
#[derive(Debug, Clone)]
pub(crate) enum Kept {
    /// It is in memory.
    Here(Arc<Event>),
    /// It is on disk; what has to be known of it without reading it is kept here.
    Away {
        /// The size of its payload.
        bytes: u32,
        /// Its name, shared with all events of this name.
        name: Arc<EventName>,
    },
}

impl Kept {
    /// The size of its payload.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Here(event) => event.payload.len() as u64,
            Self::Away { bytes, .. } => u64::from(*bytes),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &EventName {
        match self {
            Self::Here(event) => &event.name,
            Self::Away { name, .. } => name,
        }
    }
}

/// An entry that was read, and where its event is.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) sequence: Sequence,
    pub(super) held: HeldId,
    pub(crate) kept: Kept,
}

impl Found {
    /// The entry, if its event is in memory.
    pub(crate) fn entry(self) -> Option<Entry> {
        match self.kept {
            Kept::Here(event) => Some(Entry::new(self.sequence, event)),
            Kept::Away { .. } => None,
        }
    }
}

/// Names, each once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: FxHashMap<EventName, Arc<EventName>>,
    /// How many names are looked through for those that nobody uses any more.
    prune_at: usize,
}

/// Fewer names than this are never looked through.
const FEW_NAMES: usize = 1024;

impl Names {
    /// The shared name that is equal to this one.
    pub(crate) fn share(&mut self, name: &EventName) -> Arc<EventName> {
        if let Some(known) = self.known.get(name.as_str()) {
            return Arc::clone(known);
        }
        if self.known.len() >= self.prune_at.max(FEW_NAMES) {
            self.known.retain(|_, name| Arc::strong_count(name) > 1);
            self.prune_at = 2 * self.known.len();
        }
        let shared = Arc::new(name.clone());
        self.known.insert(name.clone(), Arc::clone(&shared));
        shared
    }
}

/// Which of the events are in memory: the newest, and those that were read back last, as far as
/// there is room.
#[derive(Debug)]
pub(super) struct Cache {
    /// In the order in which they came. Some may have left since.
    order: VecDeque<(HeldId, Sequence)>,
    /// The bytes of their payloads.
    bytes: u64,
    /// `u64::MAX` when there is nowhere else to keep them.
    max_bytes: u64,
    names: Names,
}

impl Cache {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self { order: VecDeque::new(), bytes: 0, max_bytes, names: Names::default() }
    }

    /// Whether events can be elsewhere.
    pub(super) fn is_bounded(&self) -> bool {
        self.max_bytes < u64::MAX
    }

    /// One more is in memory.
    pub(super) fn enter(&mut self, id: HeldId, sequence: Sequence, bytes: u64) {
        if self.is_bounded() {
            self.order.push_back((id, sequence));
            self.bytes += bytes;
        }
    }

    /// The next one that has to leave, if there are too many. It may have left already.
    pub(super) fn next_to_leave(&mut self) -> Option<(HeldId, Sequence)> {
        if self.bytes > self.max_bytes { self.order.pop_front() } else { None }
    }

    /// An event leaves because of the others: what is kept of it.
    pub(super) fn away(&mut self, event: &Event) -> Kept {
        self.bytes -= event.payload.len() as u64;
        let bytes = u32::try_from(event.payload.len()).unwrap_or(u32::MAX);
        Kept::Away { bytes, name: self.names.share(&event.name) }
    }

    /// An event leaves because nobody waits for it any more. `is_here` says of the others whether
    /// they are in memory; `count` is how many there can be.
    pub(super) fn leave(
        &mut self,
        bytes: u64,
        count: usize,
        is_here: impl Fn(HeldId, Sequence) -> bool,
    ) {
        if self.is_bounded() {
            self.bytes -= bytes;
            if self.order.len() > 2 * count + 64 {
                self.order.retain(|(id, sequence)| is_here(*id, *sequence));
            }
        }
    }
}

#[cfg(test)]
impl Cache {
    /// Compares the count with what is kept.
    pub(super) fn check<'a>(&self, kept: impl Iterator<Item = &'a Kept>) {
        if self.is_bounded() {
            let here = kept.filter(|kept| matches!(kept, Kept::Here(_)));
            assert_eq!(self.bytes, here.map(Kept::bytes).sum::<u64>());
            assert!(self.bytes <= self.max_bytes);
        }
    }
}
