//! Opening a store.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use super::answered::{self, Answered, Mark};
use super::attempts::SqliteAttemptLog;
use super::checkpoint::Checkpoint;
use super::directory::Directory;
use super::distrust::Distrust;
use super::error::StoreError;
use super::event_log::SqliteEventLog;
use super::journal::{Shared, SqliteJournal};
use super::load::load;
use super::lookup::Lookup;
use super::options::{Durability, SqliteOptions};
use super::promises;
use super::publish::Publisher;
use super::queue::Queue;
use super::schema;
use super::settled::Settled;
use super::specs::SqliteSpecs;
use super::syncer::Syncer;
use super::writer::{Beside, Writer};
use crate::backlog::{HistoryLimits, Limits};
use crate::fault::{Point, pass};

/// The parts of a store.
pub(crate) struct Parts {
    pub(crate) journal: SqliteJournal,
    pub(crate) attempts: SqliteAttemptLog,
    pub(crate) specs: SqliteSpecs,
    pub(crate) events: SqliteEventLog,
}

/// Opens the store in a directory, or makes it.
pub(crate) fn open(path: &Path, options: &SqliteOptions) -> Result<Parts, StoreError> {
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
    let own = promises::settle(&conn, mark).map_err(|error| StoreError::sqlite(&file, &error))?;
    let run = if options.durability == Durability::Os { answered::this_run() } else { 0 };
    let answered = Arc::new(Answered::open(&file, found, Mark { run, ..own }));
    let (mut settled, notes) = Settled::open(&file);
    let mut loaded = load(
        &conn,
        &file,
        &notes,
        Limits {
            max_events: options.max_events_per_subscription,
            max_bytes: options.max_bytes,
            overflow: options.overflow,
            max_cached: options.cached_bytes,
            history: HistoryLimits::NONE,
        },
    )?;
    pass(Point::OpenLoaded, true);
    let lookup = Lookup::start(&file, "bugle-store-reader")?;
    let log_lookup = Lookup::start(&file, "bugle-store-logs")?;
    let distrust = Distrust::none(&file);
    let checkpoint = Checkpoint::start(&file, &distrust)?;
    settled.moved(std::mem::take(&mut loaded.moved));
    let queue = Arc::new(Queue::new(settled));
    let (backlog, dead) = (Arc::clone(&loaded.backlog), Arc::clone(&loaded.dead));
    let publisher =
        Publisher { backlog: Arc::clone(&backlog), queue: Arc::clone(&queue), answered };
    let syncer = Syncer::start(&file, &distrust, &publisher)?;
    let beside = Beside { publisher, syncer, checkpoint, distrust: distrust.clone() };
    let [event_ids, attempt_ids] = [&loaded.event_ids, &loaded.attempt_ids].map(Arc::clone);
    let (ready, is_ready) = channel();
    let writer = {
        let (queue, options) = (Arc::clone(&queue), options.clone());
        move || {
            // The directory is ours until the writer is done with it, and has closed its connection.
            let directory = directory;
            let conn = conn;
            let abandon = Abandon(queue);
            match Writer::new(&conn, &directory, loaded, beside, &options) {
                Ok(writer) => {
                    // Who opens the store waits for this.
                    let _ = ready.send(Ok(()));
                    writer.run();
                }
                Err(error) => {
                    let _ = ready.send(Err(StoreError::sqlite(&directory.file, &error)));
                }
            }
            drop(abandon);
        }
    };
    let writer = std::thread::Builder::new()
        .name("bugle-store-writer".to_owned())
        .spawn(writer)
        .map_err(|error| StoreError::io(&file, &error))?;
    let shared = Shared {
        backlog,
        queue,
        dead,
        event_ids,
        attempt_ids,
        lookup,
        log_lookup,
        file,
        distrust,
        writer: Some(writer),
    };
    match is_ready.recv() {
        Ok(ready) => ready?,
        Err(_) => return Err(StoreError::damaged(&shared.file, "the writer did not start")),
    }
    let shared = Arc::new(shared);
    Ok(Parts {
        journal: SqliteJournal::new(Arc::clone(&shared)),
        specs: SqliteSpecs::new(Arc::clone(&shared)),
        events: SqliteEventLog::new(Arc::clone(&shared)),
        attempts: SqliteAttemptLog::new(shared, options.attempt_policy),
    })
}

/// Tells those who wait for the writer that it has ended, in whatever way.
struct Abandon(Arc<Queue>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
