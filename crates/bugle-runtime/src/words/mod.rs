//! The words: what callers say and are told, and what is written of a runtime. They know nothing of
//! how it works.

pub(crate) mod description;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod handler;
pub(crate) mod log;
pub(crate) mod report;
pub(crate) mod trace;
pub(crate) mod watch;
