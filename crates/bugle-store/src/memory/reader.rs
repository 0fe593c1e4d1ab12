//! The port `Reader`, in memory.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Backlog, EmitterId, Entry, Fate, JournalError, Reader, Sequence, Settlement,
};

use super::journal::Shared;
use super::record::Mode;
use super::state::Opened;

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
        let entries = self.shared.with(|state| match state.current(&self.opened) {
            Some((record, stock)) => record.read(stock, after, limit),
            None => Vec::new(),
        });
        Answer::now(Ok(entries))
    }

    fn settle(
        &self,
        sequence: Sequence,
        settlement: Settlement,
    ) -> Answer<'static, Result<(), JournalError>> {
        self.shared.with(|state| {
            if state.settle(&self.opened, sequence)
                && let Settlement::DeadLettered(letter) = settlement
            {
                self.shared.dead_letters.lock().push(*letter);
            }
        });
        Answer::now(Ok(()))
    }

    fn cursor(&self) -> Sequence {
        self.shared.with(|state| match state.record(&self.opened) {
            Some((record, _)) => record.cursor(),
            None => self.opened.farewell.get().map_or(Sequence::START, |past| past.cursor),
        })
    }

    fn depth(&self) -> u64 {
        self.shared.with(|state| match state.record(&self.opened) {
            Some((record, stock)) => record.depth(stock),
            None => 0,
        })
    }

    fn dropped(&self) -> u64 {
        self.shared.with(|state| match state.record(&self.opened) {
            Some((record, _)) => record.past.dropped,
            None => self.opened.farewell.get().map_or(0, |past| past.dropped),
        })
    }

    fn fate(&self, sequence: Sequence) -> Option<Fate> {
        self.shared.with(|state| {
            if self.shared.dead_letters.lock().contains(&self.emitter, sequence) {
                return Some(Fate::DeadLettered);
            }
            match state.record(&self.opened) {
                Some((record, stock)) => record.fate(stock, sequence),
                None => self.opened.farewell.get().map(|past| past.fate(sequence)),
            }
        })
    }

    fn pause(&self, backlog: Backlog) {
        self.shared.with(|state| state.change_mode(&self.opened, Mode::from(backlog)));
    }

    fn resume(&self) {
        self.shared.with(|state| state.change_mode(&self.opened, Mode::Reading));
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
