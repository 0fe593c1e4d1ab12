//! The port `Journal`, in memory.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, AppendError, Backlog as Keep, Batch, DeadLetter, EmitterId, Event, Journal,
    JournalError, JournalStats, Position, Reader, Sequence, SourceId, Subscription,
};
use parking_lot::Mutex;

use super::dead_letters::DeadLetters;
use super::events::MemoryEventLog;
use super::options::MemoryOptions;
use super::reader::MemoryReader;
#[cfg(test)]
use crate::backlog::State;
use crate::backlog::{Backlog, HistoryLimits, Limits};

/// The journal in memory: safe as long as the process lives. All it does, it does at once; only an
/// append that waits for room answers later.
#[derive(Clone)]
pub(crate) struct MemoryJournal {
    shared: Arc<Shared>,
}

/// What the journal and its readers share.
pub(super) struct Shared {
    pub(super) backlog: Backlog,
    /// Locked after the backlog, where both are.
    pub(super) dead_letters: Mutex<DeadLetters>,
}

impl MemoryJournal {
    pub(crate) fn new(options: &MemoryOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                backlog: Backlog::new(Limits {
                    max_events: options.max_events_per_subscription,
                    max_bytes: options.max_bytes,
                    overflow: options.overflow,
                    max_cached: u64::MAX,
                    history: HistoryLimits {
                        events: options.settled_events,
                        bytes: options.settled_bytes,
                    },
                }),
                dead_letters: Mutex::new(DeadLetters::new(
                    options.dead_letters,
                    options.dead_letter_bytes,
                )),
            }),
        }
    }
}

impl MemoryJournal {
    /// The log of its events.
    pub(crate) fn events(&self) -> MemoryEventLog {
        MemoryEventLog::new(Arc::clone(&self.shared))
    }
}

#[cfg(test)]
impl MemoryJournal {
    /// Checks that the state's counts agree with one another.
    pub(super) fn check(&self) {
        self.shared.backlog.with(State::check);
    }
}

impl Journal for MemoryJournal {
    fn append(&self, event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>> {
        let payload = event.payload.len() as u64;
        self.shared.backlog.when_there_is_room(payload, move |state| state.append(&event))
    }

    fn append_all(&self, batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>> {
        let largest = batch.events.iter().map(|it| it.payload.len() as u64).max().unwrap_or(0);
        self.shared.backlog.when_there_is_room(largest, move |state| state.append_all(&batch))
    }

    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>> {
        Answer::now(Ok(self.shared.backlog.with(|state| state.positions.get(source))))
    }

    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        let opened = self.shared.backlog.open(emitter, subscription);
        Answer::now(Ok(Arc::new(MemoryReader::new(
            Arc::clone(&self.shared),
            emitter.clone(),
            opened,
        ))))
    }

    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        self.shared.backlog.with(|state| state.forget(emitter));
        Answer::now(Ok(()))
    }

    fn default_backlog(&self) -> Keep {
        Keep::Discard
    }

    fn dead_letters(
        &self,
        emitter: Option<&EmitterId>,
        limit: usize,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        Answer::now(Ok(self.shared.dead_letters.lock().newest(emitter, limit)))
    }

    fn stats(&self) -> JournalStats {
        self.shared.backlog.stats()
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        Answer::now(Ok(()))
    }
}

impl fmt::Debug for MemoryJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryJournal").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
