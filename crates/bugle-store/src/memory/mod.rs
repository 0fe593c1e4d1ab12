//! The store in memory: bounded, fast, and gone with the process.
//!
//! [`store`], [`journal`] and [`reader`] are the ports; who waits for what, with the events themselves, is the
//! [`backlog`](crate::backlog).

mod attempts;
mod dead_letters;
mod events;
mod journal;
#[cfg(test)]
mod model;
mod options;
mod reader;
mod store;

pub use options::MemoryOptions;
pub(crate) use store::MemoryStore;
