//! Space for what the log holds.
//!
//! What is written goes to the log first and is moved into the database later, which may have to
//! grow for it. If the disk were full by then, the log could not be moved, and would keep all its
//! space for ever. So the database is given its space before the log takes what will need it: the
//! log can always be moved, and written anew from its start, with not one byte free on the disk.

use std::fs::File;

use rusqlite::{Connection, Statement};

use super::batch::PAGE;
use crate::files::{Refused, give_space};

/// How much the database is given at a time, where there is as much.
const STEP: u64 = 1 << 20;

/// Sees to it that the database has the space that it will need.
pub(super) struct Space<'c> {
    database: &'c File,
    pages: Statement<'c>,
    /// Whether the file system can give space before something is written there.
    can: bool,
}

impl<'c> Space<'c> {
    pub(super) fn new(conn: &'c Connection, database: &'c File) -> rusqlite::Result<Self> {
        let pages = conn.prepare("PRAGMA page_count")?;
        Ok(Self { database, pages, can: cfg!(target_os = "linux") })
    }

    /// Before a transaction is committed: gives the database as much as it will have then. Fails
    /// as a write to a full disk does.
    pub(super) fn secure(&mut self) -> rusqlite::Result<()> {
        if !self.can {
            return Ok(());
        }
        let pages: i64 = self.pages.query_row([], |row| row.get(0))?;
        let needed = pages.cast_unsigned() * PAGE;
        // It is asked each time: a log that was moved as a whole cuts off what was not needed.
        let Ok(has) = self.database.metadata().map(|it| it.len()) else { return Ok(()) };
        if needed <= has {
            return Ok(());
        }
        let given = match give_space(self.database, has, needed.next_multiple_of(STEP)) {
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
