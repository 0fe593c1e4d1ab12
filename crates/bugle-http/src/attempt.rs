//! An attempt that looks for a connection.

use bugle_core::Delivery;
use tokio::time::Instant;

use crate::failure::Progress;
use crate::response::Reading;

/// An attempt that needs a connection other than an idle one.
pub(crate) struct Attempt<'a> {
    pub(crate) delivery: &'a Delivery,
    pub(crate) reading: Reading,
    pub(crate) started: Instant,
    pub(crate) progress: Progress,
    /// True when the request was made again because a kept connection brought no byte of an answer.
    pub(crate) met_silence: bool,
    /// The number of addresses that a proxy may be asked for, and of those that it did not reach.
    pub(crate) addresses: usize,
    pub(crate) not_found_at: usize,
}
