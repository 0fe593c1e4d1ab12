//! Space for what SQLite's log holds.
//!
//! What is written goes to that log first and is moved into the database later, which may have to
//! grow for it. If the disk were full by then, the log could not be moved, and would keep all its
//! space for ever. So the database is given its space before the log takes what will need it, and
//! some more; and the log has some from the start: it can always be moved, and written anew from
//! its start, with not one byte free on the disk.

use std::fs::File;

use rusqlite::{Connection, Statement};

use super::commit::PAGE;
use crate::files::{Refused, give_space};

/// How much the database is given at a time, where there is as much.
const STEP: u64 = 1 << 20;

/// It is given more when it has less than this.
const SPARE: u64 = 512 << 10;

/// How much the log is given at the start: as much as it is kept to on a disk that was full.
const LOG: u64 = 4 << 20;

/// Sees to it that the database has the space that it will need.
pub(crate) struct Space<'c> {
    database: &'c File,
    pages: Statement<'c>,
    /// Whether the file system can give space before something is written there.
    can: bool,
}

impl<'c> Space<'c> {
    pub(crate) fn new(conn: &'c Connection, database: &'c File) -> rusqlite::Result<Self> {
        let pages = conn.prepare("PRAGMA page_count")?;
        if let Some(log) = conn.path().map(|path| format!("{path}-wal"))
            && let Ok(log) = File::options().write(true).open(log)
            && let Ok(has) = log.metadata().map(|it| it.len())
            && has < LOG
        {
            // What is behind its last frame SQLite does not look at. Where there is no space there
            // is none.
            let _ = give_space(&log, has, LOG);
        }
        Ok(Self { database, pages, can: cfg!(target_os = "linux") })
    }

    /// Before a transaction is committed: gives the database as much as it will have then. Fails
    /// as a write to a full disk does.
    pub(crate) fn secure(&mut self) -> rusqlite::Result<()> {
        if !self.can {
            return Ok(());
        }
        let pages: i64 = self.pages.query_row([], |row| row.get(0))?;
        let needed = pages.cast_unsigned() * PAGE;
        // It is asked each time: a log that was moved as a whole cuts off what was not needed.
        let Ok(has) = self.database.metadata().map(|it| it.len()) else { return Ok(()) };
        if needed + SPARE <= has {
            return Ok(());
        }
        let given = match give_space(self.database, has, (needed + SPARE).next_multiple_of(STEP)) {
            Err(Refused::Full) if needed <= has => Ok(()),
            Err(Refused::Full) => give_space(self.database, has, needed),
            given => given,
        };
        match given {
            Ok(()) => Ok(()),
            Err(Refused::Full) => Err(full()),
            Err(Refused::Unable) => {
                self.can = false;
                Ok(())
            }
        }
    }
}

/// What SQLite says of a disk without space.
fn full() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None)
}
