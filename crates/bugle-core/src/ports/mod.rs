//! The ports: everything that a store, or a transport, answers for the runtime.
//!
//! A [`Store`] yields all ports to what is kept, so that nothing is combined from two of them. They
//! are cut so that a store in memory answers at once and for nothing, and one on other machines may
//! answer late, fail for a while, and take an emitter away. Every implementation runs the
//! conformance suite of `bugle-testkit`.

mod appended;
mod attempt_log;
mod dead_letters;
mod emitter_specs;
mod error;
mod event_log;
mod journal;
mod positions;
mod reader;
mod store;
mod transport;

pub use appended::{Announcer, Appended, Expired, News};
pub use attempt_log::AttemptLog;
pub use dead_letters::DeadLetters;
pub use emitter_specs::{EmitterSpecs, SpecError};
pub use error::{ErrorKind, JournalError};
pub use event_log::EventLog;
pub use journal::{AppendError, Journal, JournalStats, Overflow};
pub use positions::Positions;
pub use reader::{Backlog, Entry, Fate, Forgive, Reader, ReaderInfo, Settlement};
pub use store::{Capabilities, Store, StoreInfo};
pub use transport::{Delivery, Session, Transport};
