//! Opening a store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use bugle_core::Sequence;
use rusqlite::Connection;

use super::behind::{Behind, LoggedFrame};
use super::budget::Budget;
use super::directory::Directory;
use super::error::StoreError;
use super::load::{Loaded, last_sequence, load};
use super::options::{Durability, SqliteOptions};
use super::ports::shared::Shared;
use super::ports::store::SqliteStore;
use super::search::index::LogView;
use super::search::reader_thread::Lookup;
use super::tables::replays::replays_in;
use super::tables::schema;
use super::tables::stretches::{last_stretch, segments};
use super::upkeep::Retention;
use super::write::answered::{self, Answered, Mark};
use super::write::append_queue::AppendQueue;
use super::write::appender::Appender;
use super::write::checkpoint::Checkpoint;
use super::write::commit::{PAGE, Tables};
use super::write::poison::Poison;
use super::write::presence::Presence;
use super::write::promises;
use super::write::queue::Queue;
use super::write::settle_log::SettleLog;
use super::write::writer::{Writer, WriterState};
use crate::backlog::{HistoryLimits, Limits};
use crate::fault::{Point, pass};
use crate::log::{self, Known, LogOptions, LogReader, LogWriter};

/// Opens the store in a directory, or makes it.
pub(crate) fn open(path: &Path, options: &SqliteOptions) -> Result<SqliteStore, StoreError> {
    let directory = Directory::take(path)?;
    let file = directory.file.clone();
    pass(Point::OpenLocked, true);
    let found = answered::find(&file)?;
    let mark = found.map(|found| found.mark);
    let conn = schema::writer(&file, mark).or_else(|error| match error {
        StoreError::Full { .. } => {
            directory.give_reserve_up();
            schema::writer(&file, mark)
        }
        error => Err(error),
    })?;
    pass(Point::OpenCreated, true);
    let failed = |error: rusqlite::Error| StoreError::sqlite(&file, &error);
    let said = promises::read(&conn).map_err(failed)?;
    let for_log = Arc::new(AtomicU64::new(u64::MAX));
    let Log { writer: log, reader, tail } = open_log(path, &conn, mark, &for_log, options)?;
    let end = Sequence(log.next().0 - 1);
    let view = LogView { log: reader.clone(), tail };
    let (mut settled, notes) = SettleLog::open(&file);
    let mut loaded = load(&conn, &file, &view, end, &notes, limits(options))?;
    let last = loaded.backlog.with(|state| state.last());
    promises::settle(&conn, mark, end).map_err(failed)?;
    let run = if options.durability == Durability::Os { answered::this_run() } else { 0 };
    let own =
        Mark { identity: said.mark_identity(), sequence: last, confirmed: said.confirmed, run };
    let answered = Arc::new(Answered::open(&file, found, own));
    pass(Point::OpenLoaded, true);
    let lookup = Lookup::start(&file, "bugle-store-reader")?;
    let log_lookup = Lookup::start(&file, "bugle-store-logs")?;
    let poison = Poison::none(&file);
    settled.moved(std::mem::take(&mut loaded.moved));
    loaded.dead.handed_over(replays_in(&view.tail).count());
    let (backlog, dead) = (Arc::clone(&loaded.backlog), Arc::clone(&loaded.dead));
    let [event_ids, attempt_ids] = [&loaded.event_ids, &loaded.attempt_ids].map(Arc::clone);
    let appends = Arc::<AppendQueue>::default();
    let queue = Arc::new(Queue::new(settled));
    let behind = Arc::new(Behind::new(view.tail));
    let appender = Appender {
        log,
        queue: Arc::clone(&appends),
        database: Arc::clone(&queue),
        backlog: Arc::clone(&backlog),
        behind: Arc::clone(&behind),
        dead: Arc::clone(&dead),
        answered: Arc::clone(&answered),
        poison: poison.clone(),
        syncs: options.durability == Durability::Fsync,
    };
    let parts = WriterParts {
        directory,
        conn,
        loaded,
        log: reader.clone(),
        appends: Arc::clone(&appends),
        queue: Arc::clone(&queue),
        behind: Arc::clone(&behind),
        answered,
        poison: poison.clone(),
        checkpoint: Checkpoint::start(&file, &poison)?,
        for_log,
        options: options.clone(),
    };
    // The one that writes the log closes the other one's queue, so it ends first.
    let database = parts.start(&file)?;
    let log = start_appender(&file, appender)?;
    let shared = Arc::new(Shared {
        backlog,
        appends,
        queue,
        behind,
        log: reader,
        dead,
        event_ids,
        attempt_ids,
        lookup,
        log_lookup,
        file,
        poison,
        writers: vec![log, database],
    });
    Ok(SqliteStore::new(shared, options))
}

fn limits(options: &SqliteOptions) -> Limits {
    Limits {
        max_events: options.max_events_per_subscription,
        max_bytes: options.max_bytes,
        overflow: options.overflow,
        max_cached: options.cached_bytes,
        history: HistoryLimits::NONE,
    }
}

/// The log, and what of it is not in the index.
struct Log {
    writer: LogWriter,
    reader: LogReader,
    tail: Vec<Arc<LoggedFrame>>,
}

fn open_log(
    path: &Path,
    conn: &Connection,
    mark: Option<Mark>,
    for_log: &Arc<AtomicU64>,
    options: &SqliteOptions,
) -> Result<Log, StoreError> {
    let failed =
        |error: rusqlite::Error| StoreError::sqlite(&path.join(super::directory::DATABASE), &error);
    let identity = promises::read(conn).map_err(failed)?.identity;
    if mark.is_some_and(|mark| promises::is_outlived(&mark, answered::this_run())) {
        // The system went down, and of what was not synced the index may have more than the log.
        drop_lost(conn, &LogReader::open(path, identity)).map_err(failed)?;
    }
    let known = known(conn, mark).map_err(failed)?;
    let pages: i64 =
        conn.pragma_query_value(None, "page_count", |row| row.get(0)).map_err(failed)?;
    let limit = Budget::of_log(options.max_file_bytes, pages.cast_unsigned() * PAGE);
    for_log.store(limit, std::sync::atomic::Ordering::Relaxed);
    let log_options =
        LogOptions { segment_bytes: options.segment_bytes, max_bytes: Arc::clone(for_log) };
    let mut tail = Vec::new();
    let visit = |found| -> Result<(), StoreError> {
        tail.push(Arc::new(LoggedFrame::try_from((path, found))?));
        Ok(())
    };
    let (writer, reader) = log::open(path, identity, log_options, &known, visit)?;
    Ok(Log { writer, reader, tail })
}

/// Deletes the end of the index, as far as the log does not have it.
fn drop_lost(conn: &Connection, log: &LogReader) -> rusqlite::Result<()> {
    while let Some(stretch) = last_stretch(conn)? {
        if stretch.end().is_some_and(|(first, address)| log.frame(first, address).is_ok()) {
            break;
        }
        let first = stretch.first.0.cast_signed();
        for sql in [
            "DELETE FROM stretches WHERE first >= ?1",
            "DELETE FROM segments WHERE first >= ?1",
            "DELETE FROM replays WHERE sequence >= ?1",
        ] {
            conn.execute(sql, [first])?;
        }
    }
    Ok(())
}

/// What a database knows of its log.
pub(crate) fn known(conn: &Connection, mark: Option<Mark>) -> rusqlite::Result<Known> {
    let last = last_stretch(conn)?;
    let marked = mark.map_or(Sequence::START, |mark| mark.sequence);
    Ok(Known {
        last: last.and_then(|stretch| stretch.end()),
        segments: segments(conn)?.iter().map(|it| it.segment).collect(),
        answered: promises::last_answered(conn, mark)?,
        next: Sequence(last_sequence(conn)?.max(marked).0 + 1),
    })
}

/// What the thread that writes the database begins with.
struct WriterParts {
    directory: Directory,
    conn: Connection,
    loaded: Loaded,
    log: LogReader,
    appends: Arc<AppendQueue>,
    queue: Arc<Queue>,
    behind: Arc<Behind>,
    answered: Arc<Answered>,
    poison: Poison,
    checkpoint: Checkpoint,
    for_log: Arc<AtomicU64>,
    options: SqliteOptions,
}

impl WriterParts {
    /// Starts the thread, and waits until it is ready.
    fn start(self, file: &Path) -> Result<JoinHandle<()>, StoreError> {
        let (ready, is_ready) = channel();
        let run = move || {
            self.run(|started| {
                // Who opens the store waits for this.
                let _ = ready.send(started);
            });
        };
        let thread = std::thread::Builder::new()
            .name("bugle-store-database".to_owned())
            .spawn(run)
            .map_err(|error| StoreError::io(file, &error))?;
        match is_ready.recv() {
            Ok(ready) => ready.map(|()| thread),
            Err(_) => Err(StoreError::damaged(file, "the thread that writes it did not start")),
        }
    }

    fn run(self, started: impl FnOnce(Result<(), StoreError>)) {
        // The directory is ours until the thread is done with it, and has closed its connection.
        let Self { directory, conn, loaded, log, appends, queue, behind, options, .. } = self;
        let abandon = Abandon(Arc::clone(&queue));
        let begin = || -> rusqlite::Result<Writer<'_>> {
            let Loaded { backlog, keys, dead, event_ids, attempt_ids, .. } = loaded;
            let ids = [event_ids, attempt_ids];
            let indexed = last_stretch(&conn)?.map_or(Sequence::START, |stretch| stretch.last);
            let letters = options.dead_letters;
            let database = &directory.database;
            let retained = Arc::clone(&dead);
            let tables = Tables::new(&conn, database, keys, dead, ids.clone(), indexed, letters)?;
            let retention = Retention::new(&conn, ids, log.clone(), appends, retained, &options)?;
            conn.pragma_update(None, "synchronous", "normal")?;
            let mut budget = Budget::new(options.max_file_bytes, log.clone(), self.for_log);
            budget.share(&conn);
            Ok(Writer {
                conn: &conn,
                file: directory.file.clone(),
                backlog,
                queue,
                behind,
                log,
                answered: self.answered,
                tables,
                retention,
                budget,
                durability: options.durability,
                checkpoint: self.checkpoint,
                poison: self.poison,
                presence: Presence::of(&directory.file),
                state: WriterState::new(),
            })
        };
        match begin() {
            Ok(writer) => {
                started(Ok(()));
                writer.run();
            }
            Err(error) => started(Err(StoreError::sqlite(&directory.file, &error))),
        }
        drop(abandon);
    }
}

/// Starts the thread that writes the log.
fn start_appender(file: &Path, appender: Appender) -> Result<JoinHandle<()>, StoreError> {
    let end = (Arc::clone(&appender.queue), Arc::clone(&appender.database));
    let run = move || {
        let _end = AppenderEnd(end);
        appender.run();
    };
    std::thread::Builder::new()
        .name("bugle-store-log".to_owned())
        .spawn(run)
        .map_err(|error| StoreError::io(file, &error))
}

/// Tells those who wait for the thread that writes the log that it has ended, in whatever way; the
/// database's is to end, too.
struct AppenderEnd((Arc<AppendQueue>, Arc<Queue>));

impl Drop for AppenderEnd {
    fn drop(&mut self) {
        let (appends, database) = &self.0;
        appends.abandon();
        database.close();
    }
}

/// Tells those who wait for the thread that writes the database that it has ended, in whatever way.
struct Abandon(Arc<Queue>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
