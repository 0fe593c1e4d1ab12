//! The store that a runtime is given.

use std::ops::Deref;
#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

use bugle_core::Store as Ports;

use crate::memory::{MemoryOptions, MemoryStore};
#[cfg(feature = "sqlite")]
use crate::sqlite::{self, Repair, SqliteOptions, StoreError};

/// Where a runtime keeps its events, the records of them and of its attempts and, on disk, its
/// emitters' specs. Clones share all of it, and so may several runtimes.
///
/// It dereferences to the port that all stores implement, [`bugle_core::Store`], which yields the
/// journal and the logs.
#[derive(Debug, Clone)]
pub struct Store {
    ports: Arc<dyn Ports>,
}

impl Deref for Store {
    type Target = dyn Ports;
    fn deref(&self) -> &(dyn Ports + 'static) {
        &*self.ports
    }
}

impl From<Store> for Arc<dyn Ports> {
    fn from(store: Store) -> Self {
        store.ports
    }
}

impl Store {
    /// A store in memory with the default [`MemoryOptions`]. What it holds goes with the process.
    pub fn memory() -> Self {
        Self::memory_with(MemoryOptions::default())
    }

    /// A store in memory with limits of your own.
    pub fn memory_with(options: MemoryOptions) -> Self {
        Self::of(MemoryStore::new(&options))
    }

    /// A store of one's own: an implementation of the port.
    pub fn of(store: impl Ports) -> Self {
        Self { ports: Arc::new(store) }
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
        Ok(Self::of(sqlite::open(directory.as_ref(), &options)?))
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
        Ok(Self::of(sqlite::open_read_only(directory.as_ref())?))
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
}

impl Default for Store {
    fn default() -> Self {
        Self::memory()
    }
}
