//! Where Bugle keeps what it accepted: journals and attempt logs.
//!
//! It is: the memory store, which lives and dies with the process and bounds what it holds. It is
//! not: a place to look things up by content, nor one that several processes share.
//!
//! Every store is a [`Store`]: a [`Journal`](bugle_core::Journal) and an
//! [`AttemptLog`](bugle_core::AttemptLog), made together. None needs a particular async runtime.
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

mod memory;
mod store;

pub use memory::MemoryOptions;
pub use store::Store;
