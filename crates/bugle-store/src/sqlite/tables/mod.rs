//! The database's tables: one file for each, with its statements and its seals.

pub(crate) mod attempts;
pub(crate) mod dead_letters;
pub(crate) mod emitters;
pub(crate) mod gone;
pub(crate) mod places;
pub(crate) mod positions;
pub(crate) mod replays;
pub(crate) mod schema;
pub(crate) mod seal;
pub(crate) mod specs;
pub(crate) mod stragglers;
pub(crate) mod stretches;
pub(crate) mod structure;
pub(crate) mod values;
