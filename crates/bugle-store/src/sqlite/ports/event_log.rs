//! The port `EventLog`, on disk.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, Entry, EventLog, EventQuery, LogError, LoggedEvent, Page, PageCursor, RequestId,
    Sequence,
};

use super::shared::Shared;
use crate::backlog::{Backlog, TakenAs};
use crate::sqlite::search::entries::{entries_after, entry};
use crate::sqlite::search::events::{EventSearch, Undelivered, sequences_of};
use crate::sqlite::search::reader_thread::below;
use crate::sqlite::tables::dead_letters::DeadIndex;
use crate::sqlite::write::answers::Asker;

/// The events on disk.
pub(crate) struct SqliteEventLog {
    shared: Arc<Shared>,
}

/// What waits, and what is dead, as the journal knows it now.
pub(crate) struct Live {
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) dead: Arc<DeadIndex>,
}

impl Undelivered for Live {
    fn below(&self, below: Sequence, count: usize) -> rusqlite::Result<Vec<Sequence>> {
        let mut found: Vec<Sequence> = self.backlog.with(|state| {
            let waiting = state.waiting_below(below, count);
            let mut found = self.dead.below(below, count);
            found.extend(waiting.iter().map(|it| it.sequence));
            found
        });
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.dedup();
        found.truncate(count);
        Ok(found)
    }
}

impl SqliteEventLog {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The end of what was accepted: what is written behind it may not be synced yet.
    fn end(&self) -> Sequence {
        self.shared.backlog.with(|state| state.last())
    }

    /// Has all events of a request id wait no more. Answers whether there is one.
    async fn take(&self, id: &RequestId, taken: TakenAs) -> Result<bool, LogError> {
        let Shared { backlog, queue, dead, event_ids, log_lookup, .. } = &*self.shared;
        let end = self.end();
        // What leaves the first while it is looked at is in the second.
        let log = self.shared.log_view();
        let view = event_ids.view(std::slice::from_ref(id));
        let id = id.clone();
        let found = log_lookup.ask(move |conn| sequences_of(conn, &log, &view, &id));
        let mut found = found.await.map_err(LogError::from)?;
        found.retain(|(sequence, _)| *sequence <= end);
        if found.is_empty() {
            return Ok(false);
        }
        let (done, is_done) = Asker::here();
        backlog.with(|state| {
            let mut taken_from = Vec::new();
            for (sequence, _) in &found {
                taken_from.extend(state.take(*sequence, taken));
                dead.absolve(*sequence);
            }
            queue.put(|work| {
                taken_from.iter().for_each(|emitter| work.mark(emitter, false));
                let sequences = found.iter().map(|(sequence, _)| *sequence);
                work.absolved.extend(sequences.clone());
                if taken == TakenAs::Dropped {
                    work.deleted.extend(sequences);
                }
                work.synced.push(done);
            });
        });
        backlog.count_taken();
        let done = is_done.await.unwrap_or_else(|_| Err(Shared::closed()));
        done?;
        Ok(true)
    }
}

impl EventLog for SqliteEventLog {
    fn get(&self, id: &RequestId) -> Answer<'_, Result<Option<LoggedEvent>, LogError>> {
        let query = EventQuery::new().event_ids([id.clone()]).limit(1);
        let page = self.page(&query, None);
        Answer::later(async move { Ok(page.await?.items.into_iter().next()) })
    }

    fn page(
        &self,
        query: &EventQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<LoggedEvent>, LogError>> {
        let limit = match query.page_limit() {
            Ok(limit) => limit,
            Err(error) => return Answer::now(Err(error)),
        };
        let Shared { backlog, dead, event_ids, log_lookup, .. } = &*self.shared;
        let below = below(cursor).min(self.end().0.cast_signed() + 1);
        let log = self.shared.log_view();
        let view = event_ids.view(&query.event_ids);
        let search = EventSearch { query: query.clone(), limit, below, view };
        let live = Live { backlog: Arc::clone(backlog), dead: Arc::clone(dead) };
        let found = log_lookup.ask(move |conn| search.run(conn, &log, &live));
        Answer::later(async move { Ok(found.await?) })
    }

    fn entry(&self, id: &RequestId) -> Answer<'_, Result<Option<Entry>, LogError>> {
        let Shared { event_ids, log_lookup, .. } = &*self.shared;
        let (log, end) = (self.shared.log_view(), self.end());
        let (view, id) = (event_ids.view(std::slice::from_ref(id)), id.clone());
        let found = log_lookup.ask(move |conn| entry(conn, &log, &view, &id));
        Answer::later(async move { Ok(found.await?.filter(|entry| entry.sequence <= end)) })
    }

    fn entries_after(
        &self,
        after: Sequence,
        query: &EventQuery,
    ) -> Answer<'_, Result<Vec<Entry>, LogError>> {
        let log_lookup = &self.shared.log_lookup;
        let (query, end) = (query.clone(), self.end());
        let log = self.shared.log_view();
        let found = log_lookup.ask(move |conn| entries_after(conn, &log, after, &query));
        Answer::later(async move {
            let mut found = found.await?;
            found.retain(|entry| entry.sequence <= end);
            Ok(found)
        })
    }

    fn mark_delivered(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        let id = id.clone();
        Answer::later(async move { self.take(&id, TakenAs::Delivered).await })
    }

    fn delete(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        let id = id.clone();
        Answer::later(async move { self.take(&id, TakenAs::Dropped).await })
    }
}

impl fmt::Debug for SqliteEventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteEventLog").field("file", &self.shared.file).finish_non_exhaustive()
    }
}
