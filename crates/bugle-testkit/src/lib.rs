#![doc = include_str!("../README.md")]

mod authority;
mod background;
pub mod conformance;
mod forward_proxy;
mod gate;
mod killer;
mod leaks;
mod network;
#[cfg(unix)]
mod postgres;
mod receiver;
mod remote;
mod scripted;
mod server;
mod victim;

pub use authority::ClientCa;
pub use forward_proxy::{ForwardProxy, ForwardProxyBuilder};
pub use gate::Gate;
pub use killer::{FAULT_POINT, KillError, Moment, ProcessKiller};
pub use leaks::assert_no_leaks;
pub use network::{Conditions, FaultyNetwork, Way};
#[cfg(unix)]
pub use postgres::Postgres;
pub use receiver::{Ledger, Received, Receiver, ReceiverBuilder, Reply, Stage, TimedOut, Tls};
pub use remote::RemoteStore;
pub use scripted::{Act, Attempted, Ending, ScriptedTransport, TransportScript};
pub use victim::{Ended, Victim, end_with_parent};
