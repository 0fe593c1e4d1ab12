//! The store in memory: bounded, fast, and gone with the process.
//!
//! Read it from the outside in: [`journal`] is the port, [`state`] what one lock guards, [`feed`]
//! what the readers of one subscription share, [`place`] one reader's position in a feed, and
//! [`ledger`] the events themselves, each held once.

mod attempts;
mod dead_letters;
mod feed;
mod journal;
mod ledger;
#[cfg(test)]
mod model;
mod options;
mod place;
mod reader;
mod record;
mod room;
mod state;

pub(crate) use attempts::MemoryAttemptLog;
pub(crate) use journal::MemoryJournal;
pub use options::MemoryOptions;
