//! The relay: follows a table, and makes its rows into events.
//!
//! One node of several leads, by an advisory lock that belongs to its connection; the others stand
//! by. So the order is that of the table, for every record and over all of them, and no two nodes
//! take the same row. Rows that are gathered go into the runtime's journal, and only then are they
//! marked:
//!
//! ```text
//!            gather k+2 ──┐
//! PostgreSQL  mark k      │  the database and the relay work at the same time
//!             ────────────┤
//! relay       emit k+1  ──┘
//! ```
//!
//! A row is found because it is not marked, and not by a number that is remembered. So a row that
//! is committed late, with a lower position than one that was taken already, is taken next.

mod emit;
mod entry;
mod error;
mod ranges;
mod resume;
mod session;
mod settings;
mod shared;
mod source;
mod status;
mod supervisor;

pub(crate) use emit::is_of_the_event;
pub use error::RelayError;
pub use settings::RelayBuilder;
pub(crate) use source::BATCH_BYTES;
pub use source::Source;
pub use status::{RelayPhase, RelayStatus};
pub use supervisor::Relay;
