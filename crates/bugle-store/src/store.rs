//! What a runtime is given: a journal and an attempt log, made together.

use std::sync::Arc;

use bugle_core::{AttemptLog, Journal};

use crate::memory::{MemoryAttemptLog, MemoryJournal, MemoryOptions};

/// Where a runtime keeps its events and the record of its attempts. Clones share both.
#[derive(Debug, Clone)]
pub struct Store {
    journal: Arc<dyn Journal>,
    attempts: Arc<dyn AttemptLog>,
}

impl Store {
    /// A store in memory with the default [`MemoryOptions`]. What it holds goes with the process.
    pub fn memory() -> Self {
        Self::memory_with(MemoryOptions::default())
    }

    /// A store in memory with limits of your own.
    pub fn memory_with(options: MemoryOptions) -> Self {
        Self {
            journal: Arc::new(MemoryJournal::new(&options)),
            attempts: Arc::new(MemoryAttemptLog::new(&options)),
        }
    }

    /// A store of parts that were made elsewhere, as one's own implementations of the ports.
    pub fn from_parts(journal: Arc<dyn Journal>, attempts: Arc<dyn AttemptLog>) -> Self {
        Self { journal, attempts }
    }

    /// What was accepted, and each emitter's place in it.
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.journal)
    }

    /// The record of attempts.
    pub fn attempts(&self) -> Arc<dyn AttemptLog> {
        Arc::clone(&self.attempts)
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::memory()
    }
}
