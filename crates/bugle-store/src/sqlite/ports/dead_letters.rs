//! The ports `DeadLetters` and `Positions`, on disk.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, BoxFuture, DeadLetter, DeadLetterId, DeadLetterQuery, DeadLetters, EmitterId,
    JournalError, LogError, Page, PageCursor, Position, Positions, Sequence, SourceId,
};
use rusqlite::Connection;

use super::shared::Shared;
use crate::sqlite::search::dead_letters;
use crate::sqlite::search::reader_thread::below;
use crate::sqlite::write::answers::Asker;
use crate::sqlite::write::work::Discard;

/// The dead letters on disk.
pub(crate) struct SqliteDeadLetters {
    shared: Arc<Shared>,
}

impl SqliteDeadLetters {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Asks for dead letters, once those are written that somebody may have heard of.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, JournalError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            if shared.dead.has_unwritten() {
                let (written, is_written) = Asker::here();
                shared.queue.put(|work| work.written.push(written));
                // What can't be written is not found, and tried again by the writer.
                let _ = is_written.await;
            }
            Ok(shared.lookup.ask(question).await?)
        })
    }
}

impl DeadLetters for SqliteDeadLetters {
    fn get(&self, id: DeadLetterId) -> Answer<'_, Result<Option<DeadLetter>, LogError>> {
        let found = self.ask(move |conn| dead_letters::get(conn, id));
        Answer::later(async move { Ok(found.await?) })
    }

    fn page(
        &self,
        query: &DeadLetterQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<DeadLetter>, LogError>> {
        let limit = match query.page_limit() {
            Ok(limit) => limit,
            Err(error) => return Answer::now(Err(error)),
        };
        let (below, query) = (below(cursor), query.clone());
        let found = self.ask(move |conn| dead_letters::page(conn, &query, limit, below));
        Answer::later(async move { Ok(found.await?) })
    }

    fn count(&self, query: &DeadLetterQuery) -> Answer<'_, Result<u64, JournalError>> {
        let query = query.clone();
        Answer::Later(self.ask(move |conn| dead_letters::count(conn, &query)))
    }

    fn after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        let (emitter, query) = (emitter.clone(), query.clone());
        Answer::Later(self.ask(move |conn| dead_letters::after(conn, &emitter, origin, &query)))
    }

    fn discard(&self, ids: Vec<DeadLetterId>) -> Answer<'_, Result<u64, JournalError>> {
        let (answer, answered) = Asker::here();
        self.shared.queue.put(|work| work.discards.push(Discard { ids, answer }));
        Answer::later(async move { answered.await.unwrap_or_else(|_| Err(Shared::closed())) })
    }
}

/// How far each source was read.
pub(crate) struct SqlitePositions {
    shared: Arc<Shared>,
}

impl SqlitePositions {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Positions for SqlitePositions {
    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>> {
        Answer::now(Ok(self.shared.backlog.with(|state| state.positions.get(source))))
    }
}

impl fmt::Debug for SqliteDeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteDeadLetters").field("file", &self.shared.file).finish_non_exhaustive()
    }
}

impl fmt::Debug for SqlitePositions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlitePositions").field("file", &self.shared.file).finish_non_exhaustive()
    }
}
