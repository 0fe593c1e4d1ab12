//! The calls of a runtime, on the handle that callers have of it. Each asks the tree, the store, or
//! the specs.

pub(crate) mod attempts;
pub(crate) mod builder;
pub(crate) mod dead_letters;
pub(crate) mod emit;
pub(crate) mod emit_batch;
pub(crate) mod ensure;
pub(crate) mod events;
pub(crate) mod pages;
pub(crate) mod pause;
pub(crate) mod receipt;
pub(crate) mod replay;
pub(crate) mod replay_since;
pub(crate) mod restore;
pub(crate) mod runtime;
pub(crate) mod size_hint;
