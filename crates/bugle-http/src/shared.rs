//! The state that all sessions of a transport share.

use std::time::Duration;

use crate::resolve::Resolve;
use crate::slots::Slots;
use crate::tls::TlsSettings;

/// The state that all sessions of a transport share.
pub(crate) struct Shared {
    pub(crate) resolver: Box<dyn Resolve>,
    pub(crate) slots: Slots,
    /// The longest wait of an attempt for a slot or a stream.
    pub(crate) patience: Duration,
    pub(crate) tls: TlsSettings,
}
