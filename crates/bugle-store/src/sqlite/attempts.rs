//! The port `AttemptLog`, on disk.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Attempt, AttemptId, AttemptLog, AttemptLogError, AttemptLogPolicy, AttemptQuery,
    NewAttempt, Page, PageCursor,
};

use super::epochs::hash;
use super::error::Trouble;
use super::journal::Shared;
use super::search::{Search, get};

/// The attempts on disk.
pub(crate) struct SqliteAttemptLog {
    shared: Arc<Shared>,
    policy: AttemptLogPolicy,
}

impl SqliteAttemptLog {
    pub(super) fn new(shared: Arc<Shared>, policy: AttemptLogPolicy) -> Self {
        Self { shared, policy }
    }
}

impl AttemptLog for SqliteAttemptLog {
    fn policy(&self) -> AttemptLogPolicy {
        self.policy
    }

    fn record(&self, attempt: NewAttempt) {
        if self.policy == AttemptLogPolicy::All || !attempt.outcome.is_delivered() {
            self.shared.queue.put_attempt(attempt);
        }
    }

    fn get(&self, id: AttemptId) -> Answer<'_, Result<Option<Attempt>, AttemptLogError>> {
        let Ok(id) = i64::try_from(id.0) else { return Answer::now(Ok(None)) };
        let found = self.shared.lookup.ask(move |conn| get(conn, id));
        Answer::later(async move { found.await.map_err(failed) })
    }

    fn page(
        &self,
        query: &AttemptQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<Attempt>, AttemptLogError>> {
        let limit = match query.page_limit() {
            Ok(limit) => limit,
            Err(error) => return Answer::now(Err(error)),
        };
        let below =
            cursor.map_or(i64::MAX, |cursor| i64::try_from(cursor.number()).unwrap_or(i64::MAX));
        let hashes: Vec<u32> = query.event_ids.iter().map(hash).collect();
        let (epochs, recent) = self.shared.epochs.view(&hashes);
        let search = Search { query: query.clone(), limit, below, epochs, recent };
        let found = self.shared.lookup.ask(move |conn| search.run(conn));
        Answer::later(async move { found.await.map_err(failed) })
    }
}

fn failed(trouble: Trouble) -> AttemptLogError {
    AttemptLogError::Store { message: trouble.message }
}

impl fmt::Debug for SqliteAttemptLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteAttemptLog")
            .field("policy", &self.policy)
            .field("lost", &self.shared.queue.lost_attempts())
            .finish_non_exhaustive()
    }
}
