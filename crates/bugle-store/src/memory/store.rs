//! The port `Store`, in memory.

use std::sync::Arc;

use bugle_core::{
    AttemptLog, Backlog, DeadLetters, EmitterSpecs, EventLog, Journal, JournalStats, Overflow,
    Positions, Store, StoreInfo,
};

use super::attempts::MemoryAttemptLog;
use super::events::MemoryEventLog;
use super::journal::{MemoryJournal, Shared};
use super::options::MemoryOptions;

/// The store in memory.
#[derive(Debug)]
pub(crate) struct MemoryStore {
    shared: Arc<Shared>,
    attempts: Arc<MemoryAttemptLog>,
    overflow: Overflow,
}

impl MemoryStore {
    pub(crate) fn new(options: &MemoryOptions) -> Self {
        Self {
            shared: Arc::new(Shared::new(options)),
            attempts: Arc::new(MemoryAttemptLog::new(options)),
            overflow: options.overflow,
        }
    }

    /// Checks that the state's counts agree with one another.
    #[cfg(test)]
    pub(super) fn check(&self) {
        self.shared.backlog.with(crate::backlog::State::check);
    }
}

impl Store for MemoryStore {
    fn info(&self) -> StoreInfo {
        StoreInfo::new(Backlog::Discard, self.overflow)
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(MemoryJournal::new(Arc::clone(&self.shared)))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::clone(&self.shared) as Arc<dyn DeadLetters>
    }

    fn positions(&self) -> Arc<dyn Positions> {
        Arc::clone(&self.shared) as Arc<dyn Positions>
    }

    fn attempts(&self) -> Arc<dyn AttemptLog> {
        Arc::clone(&self.attempts) as Arc<dyn AttemptLog>
    }

    fn events(&self) -> Option<Arc<dyn EventLog>> {
        Some(Arc::new(MemoryEventLog::new(Arc::clone(&self.shared))))
    }

    /// Nothing here outlives the process.
    fn specs(&self) -> Option<Arc<dyn EmitterSpecs>> {
        None
    }

    fn stats(&self) -> JournalStats {
        self.shared.backlog.stats()
    }
}
