//! What tests of webhook emitters stand on.

mod authority;
mod background;
pub mod conformance;
mod gate;
mod receiver;
mod scripted;

pub use authority::ClientCa;
pub use gate::Gate;
pub use receiver::{Ledger, Received, Receiver, ReceiverBuilder, Reply, Stage, TimedOut, Tls};
pub use scripted::{Act, Attempted, Ending, ScriptedTransport, TransportScript};
