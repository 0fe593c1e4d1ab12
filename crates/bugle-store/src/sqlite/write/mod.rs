//! The two threads that write. The [`appender`] writes events to the log, syncs it, and tells who
//! waits; it never touches the database. The [`writer`] writes everything else into the database,
//! and the index of the log behind it.

pub(crate) mod answered;
pub(crate) mod answers;
pub(crate) mod append_queue;
pub(crate) mod appender;
pub(crate) mod checkpoint;
pub(crate) mod commit;
pub(crate) mod note;
pub(crate) mod poison;
pub(crate) mod presence;
pub(crate) mod promises;
pub(crate) mod queue;
pub(crate) mod settle_log;
pub(crate) mod space;
pub(crate) mod ticket;
pub(crate) mod work;
pub(crate) mod writer;
