//! The port `Reader`, in memory.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Backlog, EmitterId, Entry, Fate, Forgive, JournalError, Reader, Sequence, Setback,
    Setbacks, Settlement,
};
use jiff::Timestamp;

use super::journal::Shared;
use crate::backlog::{Found, Opened};

/// A handle on one emitter's place in the journal.
///
/// The last one that was opened reads, settles and pauses. Earlier ones, and those of a forgotten
/// emitter, read nothing and change nothing, but they can still be asked what became of an entry.
pub(super) struct MemoryReader {
    shared: Arc<Shared>,
    emitter: EmitterId,
    opened: Opened,
}

impl MemoryReader {
    pub(super) fn new(shared: Arc<Shared>, emitter: EmitterId, opened: Opened) -> Self {
        Self { shared, emitter, opened }
    }
}

impl Reader for MemoryReader {
    fn read(&self, after: Sequence, limit: usize) -> Answer<'_, Result<Vec<Entry>, JournalError>> {
        let found = self.shared.backlog.read(&self.opened, after, limit);
        Answer::now(Ok(found.into_iter().filter_map(Found::entry).collect()))
    }

    fn settle(
        &self,
        sequence: Sequence,
        settlement: Settlement,
    ) -> Answer<'static, Result<(), JournalError>> {
        self.shared.backlog.with(|state| match settlement {
            Settlement::DeadLettered(letter) => {
                let origin = state.origin(&self.opened, sequence);
                if state.settle(&self.opened, sequence, false) {
                    self.shared.dead_letters.lock().push(*letter, origin);
                }
            }
            _ => {
                state.settle(&self.opened, sequence, true);
            }
        });
        Answer::now(Ok(()))
    }

    fn set_back(
        &self,
        setback: &Setback,
        at: Timestamp,
    ) -> Answer<'static, Result<(), JournalError>> {
        self.shared.backlog.with(|state| state.set_back(&self.opened, setback, at));
        Answer::now(Ok(()))
    }

    fn setbacks(&self, now: Timestamp) -> Setbacks {
        self.shared.backlog.with(|state| state.setbacks(&self.opened, now).0)
    }

    fn forgive(&self, what: Forgive) {
        self.shared.backlog.with(|state| state.forgive(&self.opened, what));
    }

    fn dead_letters(&self) -> u64 {
        self.shared.dead_letters.lock().of(&self.emitter)
    }

    fn since(&self) -> Sequence {
        self.shared.backlog.since(&self.opened)
    }

    fn cursor(&self) -> Sequence {
        self.shared.backlog.cursor(&self.opened)
    }

    fn depth(&self) -> u64 {
        self.shared.backlog.depth(&self.opened)
    }

    fn dropped(&self) -> u64 {
        self.shared.backlog.dropped(&self.opened)
    }

    fn taken(&self) -> u64 {
        self.shared.backlog.taken()
    }

    fn fate(&self, sequence: Sequence) -> Option<Fate> {
        self.shared.backlog.fate(&self.opened, sequence, || {
            self.shared.dead_letters.lock().contains(&self.emitter, sequence)
        })
    }

    fn pause(&self, backlog: Backlog) {
        self.shared.backlog.pause(&self.opened, backlog);
    }

    fn resume(&self) {
        self.shared.backlog.resume(&self.opened);
    }
}

impl fmt::Debug for MemoryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReader")
            .field("emitter", &self.emitter)
            .field("cursor", &self.cursor())
            .field("depth", &self.depth())
            .finish_non_exhaustive()
    }
}
