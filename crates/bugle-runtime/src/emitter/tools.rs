//! The tools of a runtime's couriers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bugle_core::{AttemptLog, Transport};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::words::watch::Teller;

/// Every courier of a runtime works with these.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) attempts: Arc<dyn AttemptLog>,
    pub(crate) teller: Teller,
    /// The start of the time that lanes count in.
    pub(crate) epoch: Instant,
    /// The time of day then.
    pub(crate) epoch_at: Timestamp,
    /// Counts how often events were taken from those who waited for them: couriers compare it.
    pub(crate) taken: Arc<AtomicU64>,
    /// Set where a reader knows exactly how much waits.
    pub(crate) counts_are_exact: bool,
}

impl Tools {
    /// The time of day, as far as this process is concerned: a clock that is set meanwhile changes
    /// no wait of it.
    pub(crate) fn time_of_day(&self, now: Duration) -> Timestamp {
        let elapsed = SignedDuration::try_from(now).unwrap_or(SignedDuration::MAX);
        self.epoch_at.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Notes that events were taken from those who waited for them.
    pub(crate) fn count_taken(&self) {
        self.taken.fetch_add(1, Ordering::Release);
    }
}
