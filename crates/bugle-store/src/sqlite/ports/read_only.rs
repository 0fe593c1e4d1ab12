//! A store that is read only, beside the service that has it open, or without one.
//!
//! Each question is answered from a connection of its own, with what is on disk at that moment. No
//! lock is taken, and nothing is written.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use bugle_core::ErrorKind::Refused;
use bugle_core::{
    Announcer, Answer, AppendError, Appended, Attempt, AttemptId, AttemptLog, AttemptLogPolicy,
    AttemptQuery, Backlog, Batch, BoxFuture, DeadLetter, DeadLetterId, DeadLetterQuery,
    DeadLetters, EmitterId, EmitterSpec, EmitterSpecs, Entry, Event, EventLog, EventQuery, Journal,
    JournalError, JournalStats, LogError, LoggedEvent, NewAttempt, Overflow, Page, PageCursor,
    Position, Positions, Reader, Replay, ReplayError, Replayed, RequestId, Sequence, SourceId,
    SpecError, Store, StoreInfo, Subscription,
};
use rusqlite::Connection;

use super::event_log::Live;
use crate::backlog::{HistoryLimits, Limits};
use crate::log::{Known, LogReader, SegmentError};
use crate::sqlite::behind::LoggedFrame;
use crate::sqlite::directory::{DATABASE, orphan};
use crate::sqlite::error::{StoreError, Trouble, log_failed};
use crate::sqlite::load::try_load;
use crate::sqlite::open::known;
use crate::sqlite::search::attempts::{Search, get};
use crate::sqlite::search::dead_letters;
use crate::sqlite::search::entries::{entries_after, entry};
use crate::sqlite::search::events::EventSearch;
use crate::sqlite::search::ids::{Ids, Indexed};
use crate::sqlite::search::index::LogView;
use crate::sqlite::search::reader_thread::{Lookup, below};
use crate::sqlite::tables::positions::find_position;
use crate::sqlite::tables::schema;
use crate::sqlite::tables::specs::{parse_all, read_all};
use crate::sqlite::tables::structure::check_structure;
use crate::sqlite::write::answered::{self, Mark};
use crate::sqlite::write::promises;
use crate::sqlite::write::settle_log::SettleLog;

/// Nothing is refused that is in the store already.
const LIMITS: Limits = Limits {
    max_events: usize::MAX,
    max_bytes: u64::MAX,
    overflow: Overflow::Reject,
    max_cached: 0,
    history: HistoryLimits::NONE,
};

/// All ports of a store that is read only.
#[derive(Debug, Clone)]
pub(crate) struct ReadOnly {
    lookup: Arc<Lookup>,
}

/// Opens the store in a directory for reading.
pub(crate) fn open_read_only(directory: &Path) -> Result<ReadOnly, StoreError> {
    let file = directory.join(DATABASE);
    if directory.is_file() {
        return Err(StoreError::NotADirectory { path: directory.to_owned() });
    }
    if let Some(left) = orphan(directory) {
        let reason = format!("it is missing, or empty, though its {left} is there");
        return Err(StoreError::damaged(&file, reason));
    }
    match file.metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StoreError::NoStore { path: directory.to_owned() });
        }
        Err(error) => return Err(StoreError::io(&file, &error)),
        Ok(_) => {}
    }
    // Before the database, which a service may have open and write to.
    let mark = answered::find(&file)?.map(|found| found.mark);
    let conn = schema::read_only(&file)?;
    check_structure(&conn, &file)?;
    promises::check(&conn, &file, mark)?;
    // A segment that is deleted by a service at this moment may be missed once.
    check_log(&conn, directory, mark).or_else(|_| check_log(&conn, directory, mark))?;
    Ok(ReadOnly { lookup: Arc::new(Lookup::start_anew(&file)?) })
}

/// Sees to it that the log has what it should have.
fn check_log(conn: &Connection, directory: &Path, mark: Option<Mark>) -> Result<(), StoreError> {
    let failed = |error: rusqlite::Error| StoreError::sqlite(&directory.join(DATABASE), &error);
    let identity = promises::read(conn).map_err(failed)?.identity;
    let known = known(conn, mark).map_err(failed)?;
    let visit = |found| LoggedFrame::try_from((directory, found)).map(drop);
    Ok(LogReader::open(directory, identity).check::<SegmentError>(&known, visit)?)
}

/// What is in the log at this moment, of which the database is read.
fn look(conn: &Connection) -> rusqlite::Result<(LogView, Sequence)> {
    let file = conn.path().map(Path::new).unwrap_or(Path::new(DATABASE));
    let directory = file.parent().unwrap_or(file);
    let identity = promises::read(conn)?.identity;
    let Known { last, .. } = known(conn, None)?;
    let log = LogReader::open(directory, identity);
    let mut tail: Vec<Arc<LoggedFrame>> = Vec::new();
    let visit = |found| -> Result<(), SegmentError> {
        tail.push(Arc::new(LoggedFrame::try_from((directory, found))?));
        Ok(())
    };
    log.behind(last, visit).map_err(log_failed)?;
    let end = tail.last().map_or(Sequence::START, |frame| frame.last());
    Ok((LogView { log, tail }, end))
}

/// The position of a source, if it has moved in these frames.
fn moved(tail: &[Arc<LoggedFrame>], source: &SourceId) -> Option<Position> {
    let positions = tail.iter().rev().filter_map(|frame| frame.position.as_ref());
    positions.into_iter().find(|it| it.source == *source).map(|it| it.position.clone())
}

fn refused() -> JournalError {
    JournalError::new(
        Refused,
        "the store was opened for reading only: open it with Store::open to change it",
    )
}

fn not_written<T>() -> Answer<'static, Result<T, LogError>> {
    Answer::now(Err(refused().into()))
}

impl ReadOnly {
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Trouble>> {
        self.lookup.ask(question)
    }
}

impl Journal for ReadOnly {
    fn append(&self, _event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>> {
        Answer::now(Err(refused().into()))
    }

    fn append_all(&self, _batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>> {
        Answer::now(Err(refused().into()))
    }

    fn reader(
        &self,
        _emitter: &EmitterId,
        _subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        Answer::now(Err(refused()))
    }

    fn forget(&self, _emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        Answer::now(Err(refused()))
    }

    fn replay(
        &self,
        _emitter: &EmitterId,
        _events: Vec<Replay>,
    ) -> Answer<'_, Result<Vec<Replayed>, ReplayError>> {
        Answer::now(Err(refused().into()))
    }

    /// Nothing comes here.
    fn appended(&self) -> Appended {
        Announcer::new().listen()
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        Answer::now(Ok(()))
    }
}

impl Positions for ReadOnly {
    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>> {
        let source = source.clone();
        let found = self.ask(move |conn| {
            let _moment = conn.unchecked_transaction()?;
            match moved(&look(conn)?.0.tail, &source) {
                Some(position) => Ok(Some(position)),
                None => find_position(conn, &source),
            }
        });
        Answer::later(async move { Ok(found.await?) })
    }
}

impl DeadLetters for ReadOnly {
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
        let found = self.ask(move |conn| dead_letters::count(conn, &query));
        Answer::later(async move { Ok(found.await?) })
    }

    fn after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        let (emitter, query) = (emitter.clone(), query.clone());
        let found = self.ask(move |conn| dead_letters::after(conn, &emitter, origin, &query));
        Answer::later(async move { Ok(found.await?) })
    }

    fn discard(&self, _ids: Vec<DeadLetterId>) -> Answer<'_, Result<u64, JournalError>> {
        Answer::now(Err(refused()))
    }
}

impl Store for ReadOnly {
    fn info(&self) -> StoreInfo {
        StoreInfo::new(Backlog::Keep, Overflow::Reject)
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(self.clone())
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(self.clone())
    }

    fn positions(&self) -> Arc<dyn Positions> {
        Arc::new(self.clone())
    }

    fn attempts(&self) -> Arc<dyn AttemptLog> {
        Arc::new(self.clone())
    }

    fn events(&self) -> Option<Arc<dyn EventLog>> {
        Some(Arc::new(self.clone()))
    }

    fn specs(&self) -> Option<Arc<dyn EmitterSpecs>> {
        Some(Arc::new(self.clone()))
    }

    /// Who has it open for writing counts.
    fn stats(&self) -> JournalStats {
        JournalStats::default()
    }
}

impl AttemptLog for ReadOnly {
    fn policy(&self) -> AttemptLogPolicy {
        AttemptLogPolicy::Failures
    }

    fn record(&self, _attempt: NewAttempt) {}

    fn lost(&self) -> u64 {
        0
    }

    fn get(&self, id: AttemptId) -> Answer<'_, Result<Option<Attempt>, LogError>> {
        let Ok(id) = i64::try_from(id.number()) else { return Answer::now(Ok(None)) };
        let found = self.ask(move |conn| get(conn, id));
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
        let (below, query) = (below(cursor), query.clone());
        let found = self.ask(move |conn| {
            let (log, _) = look(conn)?;
            let view = Ids::load(conn, Indexed::Attempts, &log.log)?.view(&query.event_ids);
            Search { query, limit, below, view }.run(conn)
        });
        Answer::later(async move { Ok(found.await?) })
    }
}

impl EventLog for ReadOnly {
    fn get(&self, id: &RequestId) -> Answer<'_, Result<Option<LoggedEvent>, LogError>> {
        let page = EventLog::page(self, &EventQuery::new().event_ids([id.clone()]).limit(1), None);
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
        let (below, query) = (below(cursor), query.clone());
        let found = self.ask(move |conn| {
            // Before the moment, so that what is no longer here is in the database.
            let settled =
                conn.path().map(|file| SettleLog::read(file.as_ref())).unwrap_or_default();
            // All that is read is of one moment.
            let moment = conn.unchecked_transaction()?;
            let (log, end) = look(conn)?;
            let loaded = try_load(conn, &log, end, &settled, LIMITS)?;
            let view = loaded.event_ids.view(&query.event_ids);
            let live = Live { backlog: loaded.backlog, dead: loaded.dead };
            let page = EventSearch { query, limit, below, view }.run(conn, &log, &live)?;
            moment.commit()?;
            Ok(page)
        });
        Answer::later(async move { Ok(found.await?) })
    }

    fn entry(&self, id: &RequestId) -> Answer<'_, Result<Option<Entry>, LogError>> {
        let id = id.clone();
        let found = self.ask(move |conn| {
            let (log, _) = look(conn)?;
            let ids = Ids::load(conn, Indexed::Events, &log.log)?;
            entry(conn, &log, &ids.view(std::slice::from_ref(&id)), &id)
        });
        Answer::later(async move { Ok(found.await?) })
    }

    fn entries_after(
        &self,
        after: Sequence,
        query: &EventQuery,
    ) -> Answer<'_, Result<Vec<Entry>, LogError>> {
        let query = query.clone();
        let found = self.ask(move |conn| {
            let (log, _) = look(conn)?;
            entries_after(conn, &log, after, &query)
        });
        Answer::later(async move { Ok(found.await?) })
    }

    fn mark_delivered(&self, _id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        not_written()
    }

    fn delete(&self, _id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        not_written()
    }
}

impl EmitterSpecs for ReadOnly {
    fn all(&self) -> Answer<'static, Result<Vec<EmitterSpec>, SpecError>> {
        let found = self.ask(read_all);
        Answer::later(async move {
            let found = found.await.map_err(JournalError::from)?;
            parse_all(found)
        })
    }

    fn put(&self, _spec: EmitterSpec) -> Answer<'static, Result<(), JournalError>> {
        Answer::now(Err(refused()))
    }

    fn remove(&self, _id: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        Answer::now(Err(refused()))
    }
}
