//! Finding things: on threads of their own, so that no caller is held up.

pub(crate) mod attempts;
pub(crate) mod dead_letters;
pub(crate) mod entries;
pub(crate) mod events;
pub(crate) mod ids;
pub(crate) mod index;
pub(crate) mod read_back;
pub(crate) mod reader_thread;
