//! How a relay is doing.

use std::fmt;

use serde::Serialize;

/// What a relay does at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RelayPhase {
    /// It connects to the database.
    #[default]
    Connecting,
    /// Another node leads; it takes over when that one is gone.
    Standby,
    /// It takes rows.
    Leading,
    /// Something failed; it waits before it tries again.
    BackingOff,
    /// It crashed too often, and stays down.
    Failed,
    /// It was shut down, or its runtime was.
    Stopped,
}

impl fmt::Display for RelayPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connecting => "connecting",
            Self::Standby => "standby",
            Self::Leading => "leading",
            Self::BackingOff => "backing off",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        })
    }
}

/// How a relay is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RelayStatus {
    /// What it does at the moment.
    pub phase: RelayPhase,
    /// How many rows are events in the journal, since it was started.
    pub relayed: u64,
    /// How many of them are marked in the table.
    pub marked: u64,
    /// How many rows could not be made into events.
    pub set_aside: u64,
    /// Why the last of them could not.
    pub last_set_aside: Option<String>,
    /// The warnings for its operator, as the table was when it was last looked at: see
    /// [`AuditTable::warnings`](crate::AuditTable::warnings).
    pub warnings: Vec<String>,
    /// How often it has found nothing more to take.
    pub drained: u64,
    /// How often it connected.
    pub connections: u64,
    /// How often it crashed.
    pub crashes: u64,
    /// What went wrong last.
    pub last_error: Option<String>,
}
