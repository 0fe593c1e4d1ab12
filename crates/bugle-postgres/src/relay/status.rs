//! The status of a relay, as its owner sees it.

use std::fmt;

use serde::Serialize;

/// The present phase of a relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RelayPhase {
    /// It connects to the database.
    #[default]
    Connecting,
    /// Another node leads; this one takes over when that is gone.
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

/// The status of a relay. The counts begin when it is started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RelayStatus {
    /// The present phase.
    pub phase: RelayPhase,
    /// The number of rows that became events in the journal.
    pub relayed: u64,
    /// The number of those that are marked in the table.
    pub marked: u64,
    /// The number of rows that could not be made into events.
    pub set_aside: u64,
    /// The reason why the last of them could not.
    pub last_set_aside: Option<String>,
    /// The warnings for its operator, as the table was when it was last looked at: see
    /// [`AuditTable::warnings`](crate::AuditTable::warnings).
    pub warnings: Vec<String>,
    /// The number of times that it found no more rows to take.
    pub drained: u64,
    /// The number of times that it connected.
    pub connections: u64,
    /// The number of times that it crashed.
    pub crashes: u64,
    /// The last error.
    pub last_error: Option<String>,
}
