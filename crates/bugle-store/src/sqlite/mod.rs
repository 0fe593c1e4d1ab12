//! The store on disk: a log of events in segments, and SQLite for everything else, in one
//! directory.
//!
//! Read it along the way of an event: [`ports::journal`] is the port; [`write::append_queue`] what
//! waits for the [log](crate::log), and [`write::appender`] the thread that writes it, syncs it,
//! has the events be read and tells who waits ([`write::answers`]). Until it is in the index of
//! the log, a frame is [`behind`]. What was settled is noted in [`write::settle_log`]. Everything
//! else waits in [`write::queue`] for [`write::writer`], the thread that writes the [`tables`], in
//! one transaction for all that waits ([`write::commit`]).
//!
//! [`search`] is for what reads, [`load`] is what is read when the store is opened, and [`upkeep`]
//! what is deleted. Who waits for what is the [`backlog`](crate::backlog).

mod behind;
mod budget;
mod directory;
mod error;
mod load;
mod open;
mod options;
mod ports;
mod repair;
mod search;
mod tables;
mod upkeep;
mod write;

pub use error::StoreError;
pub(crate) use open::open;
pub use options::{Durability, SqliteOptions};
pub(crate) use ports::read_only::open_read_only;
pub use repair::Repair;
pub(crate) use repair::repair;
