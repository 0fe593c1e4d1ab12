//! The port `AttemptLog`, on disk.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Attempt, AttemptId, AttemptLog, AttemptLogPolicy, AttemptQuery, LogError, NewAttempt,
    Page, PageCursor,
};

use super::shared::Shared;
use crate::sqlite::search::attempts::{Search, get};
use crate::sqlite::search::reader_thread::below;

/// The attempts on disk.
pub(crate) struct SqliteAttemptLog {
    shared: Arc<Shared>,
    policy: AttemptLogPolicy,
}

impl SqliteAttemptLog {
    pub(crate) fn new(shared: Arc<Shared>, policy: AttemptLogPolicy) -> Self {
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

    fn lost(&self) -> u64 {
        self.shared.queue.lost_attempts()
    }

    fn get(&self, id: AttemptId) -> Answer<'_, Result<Option<Attempt>, LogError>> {
        let Ok(id) = i64::try_from(id.number()) else { return Answer::now(Ok(None)) };
        let found = self.shared.log_lookup.ask(move |conn| get(conn, id));
        Answer::later(async move { Ok(found.await?) })
    }

    fn page(
        &self,
        query: &AttemptQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<Attempt>, LogError>> {
        let limit = match query.page_limit() {
            Ok(limit) => limit,
            Err(error) => return Answer::now(Err(error)),
        };
        let below = below(cursor);
        let view = self.shared.attempt_ids.view(&query.event_ids);
        let search = Search { query: query.clone(), limit, below, view };
        let found = self.shared.log_lookup.ask(move |conn| search.run(conn));
        Answer::later(async move { Ok(found.await?) })
    }
}

impl fmt::Debug for SqliteAttemptLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteAttemptLog")
            .field("policy", &self.policy)
            .field("lost", &self.shared.queue.lost_attempts())
            .finish_non_exhaustive()
    }
}
