//! The port `Reader`, in memory.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Backlog, EmitterId, Entry, Fate, Forgive, JournalError, Reader, ReaderInfo, Sequence,
    Setback, Setbacks, Settlement,
};
use jiff::Timestamp;

use super::journal::Shared;
use crate::backlog::{Found, Mode, Opened, State};

/// A handle on one emitter's place in the journal.
///
/// The last one that was opened reads, settles and pauses. Earlier ones are fenced, and those of a
/// forgotten emitter read nothing and change nothing; but they can still be asked what became of an
/// entry.
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

impl MemoryReader {
    /// Does something to the place, unless this handle is fenced.
    fn change(
        &self,
        change: impl FnOnce(&mut State, &Opened),
    ) -> Answer<'static, Result<(), JournalError>> {
        Answer::now(self.shared.backlog.with(|state| {
            state.owned(&self.opened)?;
            change(state, &self.opened);
            Ok(())
        }))
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        self.shared.backlog.release(&self.emitter, &self.opened);
    }
}

impl Reader for MemoryReader {
    fn read(&self, after: Sequence, limit: usize) -> Answer<'_, Result<Vec<Entry>, JournalError>> {
        let found = self.shared.backlog.read(&self.opened, after, limit);
        Answer::now(found.map(|found| found.into_iter().filter_map(Found::entry).collect()))
    }

    fn settle(
        &self,
        sequence: Sequence,
        settlement: Settlement,
    ) -> Answer<'static, Result<(), JournalError>> {
        self.change(|state, opened| match settlement {
            Settlement::DeadLettered(letter) => {
                let origin = state.origin(opened, sequence);
                if state.settle(opened, sequence, false) {
                    self.shared.dead_letters.lock().push(*letter, origin);
                }
            }
            _ => {
                state.settle(opened, sequence, true);
            }
        })
    }

    fn set_back(
        &self,
        setback: &Setback,
        at: Timestamp,
    ) -> Answer<'static, Result<(), JournalError>> {
        self.change(|state, opened| {
            state.set_back(opened, setback, at);
        })
    }

    fn setbacks(&self, now: Timestamp) -> Setbacks {
        self.shared.backlog.with(|state| state.setbacks(&self.opened, now).0)
    }

    fn forgive(&self, what: Forgive) -> Answer<'static, Result<(), JournalError>> {
        self.change(|state, opened| {
            state.forgive(opened, what);
        })
    }

    fn info(&self) -> ReaderInfo {
        let dead_letters = self.shared.dead_letters.lock().of(&self.emitter);
        self.shared.backlog.info(&self.opened, dead_letters)
    }

    fn fate(&self, sequence: Sequence) -> Answer<'_, Result<Option<Fate>, JournalError>> {
        let is_dead = || self.shared.dead_letters.lock().contains(&self.emitter, sequence);
        Answer::now(Ok(self.shared.backlog.fate(&self.opened, sequence, is_dead)))
    }

    fn pause(&self, backlog: Backlog) -> Answer<'static, Result<(), JournalError>> {
        Answer::now(self.shared.backlog.change_mode(&self.opened, Mode::from(backlog)))
    }

    fn resume(&self) -> Answer<'static, Result<(), JournalError>> {
        Answer::now(self.shared.backlog.change_mode(&self.opened, Mode::Reading))
    }
}

impl fmt::Debug for MemoryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryReader")
            .field("emitter", &self.emitter)
            .field("info", &self.info())
            .finish_non_exhaustive()
    }
}
