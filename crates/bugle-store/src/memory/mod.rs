//! The store in memory: bounded, fast, and gone with the process.
//!
//! [`journal`] and [`reader`] are the ports; who waits for what, with the events themselves, is the
//! [`backlog`](crate::backlog).

mod attempts;
mod dead_letters;
mod events;
mod journal;
#[cfg(test)]
mod model;
mod options;
mod reader;

pub(crate) use attempts::MemoryAttemptLog;
pub(crate) use journal::MemoryJournal;
pub use options::MemoryOptions;
