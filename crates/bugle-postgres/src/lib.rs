#![doc = include_str!("../README.md")]

pub mod audit;
mod database;
mod error;
mod install;
pub mod outbox;
mod relay;
mod sealed;
mod table;
#[cfg(feature = "tls")]
mod tls;

pub use audit::AuditTable;
pub use database::{Connection, Database};
pub use error::DatabaseError;
pub use install::{InstallError, Plan};
pub use outbox::{Outbox, Processed};
pub use relay::{Relay, RelayBuilder, RelayError, RelayPhase, RelayStatus, Source};
pub use table::{TableName, TableNameError};
