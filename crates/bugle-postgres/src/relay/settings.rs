//! The settings of a relay.

use std::time::Duration;

use bugle::{RestartBudget, RetryPolicy};

use super::error::RelayError;
use super::source::Source;
use crate::database::Database;

/// A relay to be started.
#[derive(Debug, Clone)]
#[must_use]
pub struct RelayBuilder {
    pub(super) database: Database,
    pub(super) source: Source,
    pub(super) batch: usize,
    pub(super) poll_interval: Duration,
    pub(super) backoff: RetryPolicy,
    pub(super) restart_budget: RestartBudget,
}

impl RelayBuilder {
    pub(super) fn new(database: Database, source: Source) -> Self {
        Self {
            database,
            source,
            batch: 1_000,
            poll_interval: Duration::from_secs(1),
            backoff: RetryPolicy::exponential(Duration::from_millis(100), Duration::from_secs(15)),
            restart_budget: RestartBudget::default(),
        }
    }

    /// Sets the most rows that are taken at once; fewer when they are large. Twice as many are held
    /// in memory. Default 1,000; at least 1.
    pub fn batch(mut self, rows: usize) -> Self {
        self.batch = rows.max(1);
        self
    }

    /// Sets the time between two looks at the table without a notification, and between two tries
    /// of a node that stands by to lead. Default 1 s.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Sets the delays before it connects again. The policy's number of attempts does not matter: a
    /// relay never gives up on a database. Default: from 0.1 s, doubling, to 15 s.
    pub fn backoff(mut self, policy: RetryPolicy) -> Self {
        self.backoff = policy;
        self
    }

    /// Sets the number of crashes after which it stays down. Default: 3 restarts in 5 seconds.
    pub fn restart_budget(mut self, budget: RestartBudget) -> Self {
        self.restart_budget = budget;
        self
    }

    /// Connects, and checks that the relay can work: the table is there, and this role may read and
    /// mark it. A relay that is started without this check finds out by itself, and tries again.
    ///
    /// # Errors
    /// [`RelayError`] says what is missing.
    pub async fn check(&self) -> Result<(), RelayError> {
        let connection = self.database.connect().await?;
        let opened = self.source.open(&connection).await?;
        opened.check_rights(&connection).await
    }
}
