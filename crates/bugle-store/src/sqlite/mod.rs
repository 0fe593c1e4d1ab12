//! The store on disk: SQLite, in one directory.
//!
//! Read it along the way of an event: [`journal`] is the port; [`queue`] what waits for the
//! [`writer`], the one thread that writes, in one transaction for all that waits ([`batch`]); the
//! [`syncer`] syncs that, and [`publish`] has it read and tells who waited ([`answers`]). What was
//! settled is noted in [`settled`] until the writer writes it into the database. The
//! tables are [`events`], [`replays`], [`places`], [`dead_letters`], [`specs`] and [`attempts`],
//! made in [`schema`].
//! [`lookup`] is the one thread that reads, [`load`] what is read when the store is opened, and
//! [`retention`] what is deleted. Who waits for what is the [`backlog`](crate::backlog).

mod answered;
mod answers;
mod attempts;
mod batch;
mod callers;
mod checkpoint;
mod dead_letter_search;
mod dead_letters;
mod directory;
mod distrust;
mod emitters;
mod entries;
mod error;
mod event_log;
mod event_search;
mod events;
mod gone;
mod ids;
mod journal;
mod left;
mod load;
mod log;
mod lookup;
mod note;
mod open;
mod options;
mod places;
mod positions;
mod presence;
mod promises;
mod publish;
mod queue;
mod read_only;
mod reader;
mod repair;
mod replays;
mod retention;
mod salvage;
mod schema;
mod seal;
mod search;
mod settled;
mod space;
mod specs;
mod structure;
mod syncer;
mod writer;

pub use error::StoreError;
pub(crate) use open::open;
pub use options::{Durability, SqliteOptions};
pub(crate) use read_only::open_read_only;
pub use repair::Repair;
pub(crate) use repair::repair;
