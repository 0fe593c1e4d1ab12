//! The store on disk.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, clippy::panic)]

mod attempts;
mod conformance;
mod damage;
mod dead_letters;
mod events;
mod flips;
mod model;
mod promises;
mod read_only;
mod recovery;
mod retention;
mod setbacks;
mod space;
mod specs;
mod support;
