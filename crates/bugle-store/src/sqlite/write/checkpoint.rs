//! Moving the log into the database.
//!
//! Most of it is done by a thread of its own, while the writer goes on. What came meanwhile the
//! writer moves itself, which is little; only then the log can begin anew, and stays small.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::fault::{Point, pass};
use crate::sqlite::error::StoreError;
use crate::sqlite::tables::schema;
use crate::sqlite::write::commit::PAGE;
use crate::sqlite::write::poison::Poison;

/// From how many pages on the log is moved: 8 MiB.
const PAGES: usize = 1_000;

/// The same on a disk that was full once, and how long the log's file stays there: 4 MiB.
const FEW_PAGES: usize = 500;

/// The thread is at work.
const AT_WORK: usize = usize::MAX;

/// The thread has nothing to do.
const AT_REST: usize = usize::MAX - 1;

/// Moves the log into the database.
pub(crate) struct Checkpoint {
    /// About how many pages the log has.
    pages: usize,
    /// From how many on it is moved.
    limit: usize,
    /// How many pages the thread has left in the log, or what it does.
    left: Arc<AtomicUsize>,
    begin: Option<SyncSender<()>>,
    poison: Poison,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoint {
    /// Starts the thread.
    pub(crate) fn start(file: &Path, poison: &Poison) -> Result<Self, StoreError> {
        let conn = schema::checkpointer(file)?;
        let (begin, begins) = sync_channel(1);
        let left = Arc::new(AtomicUsize::new(AT_REST));
        let run = {
            let (left, poison) = (Arc::clone(&left), poison.clone());
            move || {
                for () in begins {
                    left.store(move_log(&conn, &poison).unwrap_or(AT_REST), Ordering::Release);
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("bugle-store-checkpoint".to_owned())
            .spawn(run)
            .map_err(|error| StoreError::io(file, &error))?;
        let (begin, poison) = (Some(begin), poison.clone());
        Ok(Self { pages: 0, limit: PAGES, left, begin, poison, thread: Some(thread) })
    }

    /// The log has grown by about so many pages.
    pub(crate) fn grown(&mut self, pages: usize) {
        self.pages += pages;
    }

    /// Moves the log if it is long: has the thread begin, or does what it has left.
    pub(crate) fn advance(&mut self, conn: &Connection) {
        match self.left.load(Ordering::Acquire) {
            AT_WORK => {}
            AT_REST if self.pages < self.limit => {}
            AT_REST => {
                self.left.store(AT_WORK, Ordering::Release);
                self.pages = 0;
                let began = self.begin.as_ref().is_some_and(|begin| begin.try_send(()).is_ok());
                if !began {
                    self.left.store(AT_REST, Ordering::Release);
                }
            }
            _ => {
                pass(Point::CheckpointMid, true);
                self.finish(conn);
            }
        }
    }

    /// Moves all of the log, which syncs it and the database. Whether that worked: what can't be
    /// moved stays in the log.
    pub(crate) fn finish(&mut self, conn: &Connection) -> bool {
        if self.left.load(Ordering::Acquire) == AT_WORK {
            return false;
        }
        self.left.store(AT_REST, Ordering::Release);
        let moved = move_log(conn, &self.poison);
        // What can't be moved now is tried again when as much has come.
        self.pages = moved.unwrap_or(0);
        moved.is_some()
    }

    /// On a full disk: moves the log and makes its file short, and keeps it short from now on.
    /// Whether that may have made room.
    pub(crate) fn make_room(&mut self, conn: &Connection) -> bool {
        let is_short = self.limit == FEW_PAGES;
        if is_short && self.pages == 0 {
            return false;
        }
        self.limit = FEW_PAGES;
        let limited = schema::limit_log(conn, FEW_PAGES as u64 * PAGE);
        // The file is cut off as the first page is written from its start.
        limited.is_ok() && self.finish(conn) && schema::touch(conn).is_ok()
    }

    /// Ends the thread and its connection.
    pub(crate) fn stop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.left.store(AT_REST, Ordering::Release);
    }
}

/// Moves what can be moved. Answers how many pages are left. A log that may have a hole is not
/// moved: who opens it next reads it from its start.
fn move_log(conn: &Connection, poison: &Poison) -> Option<usize> {
    if poison.why().is_some() {
        return None;
    }
    pass(Point::CheckpointBefore, true);
    let moved = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
    });
    pass(Point::CheckpointAfter, true);
    match moved {
        Ok((0, pages, moved)) => usize::try_from(pages - moved).ok(),
        Ok(_) => None,
        Err(error) => {
            poison.look_at(&error);
            None
        }
    }
}
