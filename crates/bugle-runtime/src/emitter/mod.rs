//! One emitter: its spec, its actor, and its courier with all that a delivery takes. It knows the
//! words, and neither the tree that it is in nor the calls.

pub(crate) mod actor;
pub(crate) mod consequence;
pub(crate) mod courier;
pub(crate) mod doorbell;
pub(crate) mod hindrance;
pub(crate) mod limiter;
pub(crate) mod message;
pub(crate) mod not_here;
pub(crate) mod rounds;
pub(crate) mod settlements;
pub(crate) mod spec;
pub(crate) mod target;
pub(crate) mod tools;
pub(crate) mod verdict;
