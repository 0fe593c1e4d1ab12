//! The ports that the store stands behind, and what they share.

pub(crate) mod attempt_log;
pub(crate) mod dead_letters;
pub(crate) mod event_log;
pub(crate) mod journal;
pub(crate) mod read_only;
pub(crate) mod reader;
pub(crate) mod replay;
pub(crate) mod shared;
pub(crate) mod specs;
pub(crate) mod store;
