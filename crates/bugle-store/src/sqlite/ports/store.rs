//! The port `Store`, on disk.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    AttemptLog, Backlog, DeadLetters, EmitterSpecs, EventLog, Journal, JournalError, JournalStats,
    Overflow, Positions, Store, StoreInfo,
};

use super::attempt_log::SqliteAttemptLog;
use super::dead_letters::{SqliteDeadLetters, SqlitePositions};
use super::event_log::SqliteEventLog;
use super::journal::SqliteJournal;
use super::shared::Shared;
use super::specs::SqliteSpecs;
use crate::sqlite::options::SqliteOptions;

/// The store on disk.
pub(crate) struct SqliteStore {
    shared: Arc<Shared>,
    attempts: Arc<SqliteAttemptLog>,
    overflow: Overflow,
}

impl SqliteStore {
    pub(crate) fn new(shared: Arc<Shared>, options: &SqliteOptions) -> Self {
        let attempts = SqliteAttemptLog::new(Arc::clone(&shared), options.attempt_policy);
        Self { shared, attempts: Arc::new(attempts), overflow: options.overflow }
    }
}

impl Store for SqliteStore {
    fn info(&self) -> StoreInfo {
        StoreInfo::new(Backlog::Keep, self.overflow)
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(SqliteJournal::new(Arc::clone(&self.shared)))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(SqliteDeadLetters::new(Arc::clone(&self.shared)))
    }

    fn positions(&self) -> Arc<dyn Positions> {
        Arc::new(SqlitePositions::new(Arc::clone(&self.shared)))
    }

    fn attempts(&self) -> Arc<dyn AttemptLog> {
        Arc::clone(&self.attempts) as Arc<dyn AttemptLog>
    }

    fn events(&self) -> Option<Arc<dyn EventLog>> {
        Some(Arc::new(SqliteEventLog::new(Arc::clone(&self.shared))))
    }

    fn specs(&self) -> Option<Arc<dyn EmitterSpecs>> {
        Some(Arc::new(SqliteSpecs::new(Arc::clone(&self.shared))))
    }

    fn stats(&self) -> JournalStats {
        self.shared.backlog.stats()
    }

    fn trouble(&self) -> Option<JournalError> {
        self.shared.poison.why().cloned().map(JournalError::from)
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("file", &self.shared.file).finish_non_exhaustive()
    }
}
