//! What a runtime is given: a journal, its logs and emitters' specs, made together.

#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

use bugle_core::{AttemptLog, EmitterSpecs, EventLog, Journal};

use crate::memory::{MemoryAttemptLog, MemoryJournal, MemoryOptions};
#[cfg(feature = "sqlite")]
use crate::sqlite::{self, Repair, SqliteOptions, StoreError};

/// Where a runtime keeps its events, the records of them and of its attempts and, on disk, its
/// emitters' specs. Clones share all of it.
#[derive(Debug, Clone)]
pub struct Store {
    journal: Arc<dyn Journal>,
    attempts: Arc<dyn AttemptLog>,
    specs: Option<Arc<dyn EmitterSpecs>>,
    events: Arc<dyn EventLog>,
}

impl Store {
    /// A store in memory with the default [`MemoryOptions`]. What it holds goes with the process.
    pub fn memory() -> Self {
        Self::memory_with(MemoryOptions::default())
    }

    /// A store in memory with limits of your own.
    pub fn memory_with(options: MemoryOptions) -> Self {
        let journal = MemoryJournal::new(&options);
        let events = journal.events();
        Self {
            journal: Arc::new(journal),
            attempts: Arc::new(MemoryAttemptLog::new(&options)),
            specs: None,
            events: Arc::new(events),
        }
    }

    /// Opens the store in a directory with the default [`SqliteOptions`], or makes it. What it
    /// holds outlives the process: an event that was accepted is on the disk.
    ///
    /// Opening reads what is needed to know who waits for what, which takes a moment when much
    /// waits. Emitters go on where they were as soon as they are attached again; what comes
    /// meanwhile waits for them.
    ///
    /// # Errors
    /// [`StoreError`]: the directory is in use, newer, damaged, of another program, or can't be
    /// written.
    #[cfg(feature = "sqlite")]
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(directory, SqliteOptions::default())
    }

    /// Opens the store in a directory with settings of your own, or makes it.
    ///
    /// # Errors
    /// As [`Store::open`].
    #[cfg(feature = "sqlite")]
    pub fn open_with(
        directory: impl AsRef<Path>,
        options: SqliteOptions,
    ) -> Result<Self, StoreError> {
        let parts = sqlite::open(directory.as_ref(), &options)?;
        Ok(Self {
            journal: Arc::new(parts.journal),
            attempts: Arc::new(parts.attempts),
            events: Arc::new(parts.events),
            specs: Some(Arc::new(parts.specs)),
        })
    }

    /// Opens the store in a directory for reading only, whether a service has it open or not: its
    /// attempts, events, dead letters and specs, as they are on disk at the moment of each
    /// question. No lock is taken and nothing is written; whatever would change the store is an
    /// error that says so. A page of events reads what waits anew, some tenth of a second for a
    /// million.
    ///
    /// # Errors
    /// [`StoreError`]: there is no store, or it is newer, older, damaged, or of another program.
    #[cfg(feature = "sqlite")]
    pub fn open_read_only(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let store = Arc::new(sqlite::open_read_only(directory.as_ref())?);
        Ok(Self {
            journal: Arc::clone(&store) as Arc<dyn Journal>,
            attempts: Arc::clone(&store) as Arc<dyn AttemptLog>,
            events: Arc::clone(&store) as Arc<dyn EventLog>,
            specs: Some(store),
        })
    }

    /// Looks a store on disk through, also one that is refused, and says what is damaged and what a
    /// repair would lose. Nothing in it is changed; a copy of it is made for the while.
    ///
    /// # Errors
    /// [`StoreError`]: there is no store, it is in use, or there is no space for the copy.
    #[cfg(feature = "sqlite")]
    pub fn examine(directory: impl AsRef<Path>) -> Result<Repair, StoreError> {
        sqlite::repair(directory.as_ref(), false)
    }

    /// Repairs a damaged store on disk: what can be trusted is moved into a new database, which
    /// opens as any other, and what is lost is said. A copy of the damaged files stays in the
    /// store's directory. No number is given twice, and where it is not known how far an emitter
    /// was, events are delivered again rather than not.
    ///
    /// # Errors
    /// As [`Store::examine`]. Nothing is lost then: what was changed is in that copy.
    #[cfg(feature = "sqlite")]
    pub fn repair(directory: impl AsRef<Path>) -> Result<Repair, StoreError> {
        sqlite::repair(directory.as_ref(), true)
    }

    /// A store of parts that were made elsewhere, as one's own implementations of the ports. It
    /// keeps no specs, unless [`Store::with_specs`] adds that.
    pub fn from_parts(
        journal: Arc<dyn Journal>,
        attempts: Arc<dyn AttemptLog>,
        events: Arc<dyn EventLog>,
    ) -> Self {
        Self { journal, attempts, specs: None, events }
    }

    /// Keeps emitters' specs here.
    #[must_use]
    pub fn with_specs(mut self, specs: Arc<dyn EmitterSpecs>) -> Self {
        self.specs = Some(specs);
        self
    }

    /// What was accepted, and each emitter's place in it.
    pub fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.journal)
    }

    /// The record of attempts.
    pub fn attempts(&self) -> Arc<dyn AttemptLog> {
        Arc::clone(&self.attempts)
    }

    /// The record of events.
    pub fn events(&self) -> Arc<dyn EventLog> {
        Arc::clone(&self.events)
    }

    /// The specs of the emitters, which outlive the process. `None` for the memory store, in which
    /// nothing does.
    pub fn specs(&self) -> Option<Arc<dyn EmitterSpecs>> {
        self.specs.clone()
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::memory()
    }
}
