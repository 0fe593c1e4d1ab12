//! What tests of webhook emitters stand on.

mod background;
mod receiver;

pub use receiver::{Gate, Ledger, Received, Receiver, ReceiverBuilder, Reply, Stage, TimedOut};
