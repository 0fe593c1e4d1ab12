//! Where Bugle keeps what it accepted: journals and attempt logs.
//!
//! It is: the memory store, which lives and dies with the process and bounds what it holds, and the
//! store on disk, which goes on where it was, whatever ended the process. It is not: a place to
//! look things up by content, nor one that several processes share.
//!
//! Every store is a [`Store`], which yields the ports that [`bugle_core::Store`] names. None needs a
//! particular async runtime. Several runtimes of one process may share a store: each emitter is at
//! the one that attached it last.
//!
//! ```
//! use bugle_core::Overflow;
//! use bugle_store::{MemoryOptions, Store};
//!
//! let store = Store::memory();
//! let small = Store::memory_with(
//!     MemoryOptions::new().max_bytes(16 << 20).overflow(Overflow::Reject),
//! );
//! # drop((store, small));
//! ```
//!
//! # On disk
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use bugle_store::{SqliteOptions, Store, StoreError};
//!
//! # let directory = tempfile::tempdir()?;
//! # std::env::set_current_dir(&directory)?;
//! let store = Store::open("./bugle-data")?;
//! let again = Store::open("./bugle-data");
//! assert!(matches!(again, Err(StoreError::InUse { .. })));
//! drop(store);
//!
//! let store = Store::open_with("./bugle-data", SqliteOptions::new().settled_events(1_000_000))?;
//! # drop(store);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "sqlite"))]
//! # fn main() {}
//! ```
//!
//! Events are in segments, files of its directory that only grow and are deleted as a whole;
//! everything else, and what finds events in the segments, is in SQLite, in one file (and SQLite's
//! log beside it). One process at a time has it open, and others may read it meanwhile with
//! [`Store::open_read_only`]; `sqlite3` reads all but the events. [`Durability`] says what
//! survives what, [`SqliteOptions`] what is kept and for how long.
//!
//! SQLite comes with the crate, through `rusqlite` with its `bundled` feature. A program links one
//! SQLite only: if yours has `rusqlite` already, a wide range of its versions will do; if that is
//! not enough, leave the feature `sqlite` out, and the store on disk with it.

mod backlog;
#[cfg(feature = "sqlite")]
mod fault;
#[cfg(feature = "sqlite")]
mod files;
#[cfg(feature = "sqlite")]
mod log;
mod memory;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use memory::MemoryOptions;
#[cfg(feature = "sqlite")]
pub use sqlite::{Durability, Repair, SqliteOptions, StoreError};
pub use store::Store;

/// The names of all fault points.
#[cfg(feature = "fault-points")]
#[doc(hidden)]
pub fn fault_points() -> impl Iterator<Item = &'static str> {
    fault::Point::ALL.iter().map(|point| point.name())
}
