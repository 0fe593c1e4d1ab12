//! Which attempts are deleted: the oldest, by their number and by their age.

use std::time::Duration;

use rusqlite::{Connection, Statement};

use super::{SLICE, ago};
use crate::fault::{Point, pass};
use crate::sqlite::options::SqliteOptions;

/// How many attempts are deleted at a time.
const AT_ONCE: i64 = 2 * SLICE as i64;

pub(crate) struct AttemptRetention<'c> {
    /// The oldest rows, and when they were made.
    oldest: Statement<'c>,
    delete: Statement<'c>,
    max: i64,
    keep_for: Duration,
    /// Everything below is deleted.
    from: i64,
    /// What is being deleted ends here.
    end: i64,
    /// The newest, which stays: the next one's id follows from it when the store is opened.
    last: i64,
    /// Whether some may be too old.
    aging: bool,
}

impl<'c> AttemptRetention<'c> {
    pub(crate) fn new(conn: &'c Connection, options: &SqliteOptions) -> rusqlite::Result<Self> {
        let from =
            conn.query_row("SELECT coalesce(min(id), 1) FROM attempts", [], |row| row.get(0))?;
        Ok(Self {
            oldest: conn
                .prepare("SELECT id, created FROM attempts WHERE id >= ?1 ORDER BY id LIMIT ?2")?,
            delete: conn.prepare("DELETE FROM attempts WHERE id >= ?1 AND id < ?2")?,
            max: i64::try_from(options.attempts).unwrap_or(i64::MAX),
            keep_for: options.attempts_for,
            from,
            end: from,
            last: from,
            aging: false,
        })
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.from < self.end || self.aging
    }

    /// All attempts below this one are deleted.
    pub(crate) fn kept(&self) -> i64 {
        self.from
    }

    /// Whether all attempts up to this one are deleted.
    pub(crate) fn is_gone(&self, last: i64) -> bool {
        last < self.from
    }

    /// Looks for attempts that nobody needs.
    pub(crate) fn look(&mut self, last: i64) {
        self.last = last;
        // Fewer than are deleted at once wait for more.
        let excess = last.saturating_sub(self.from).saturating_add(1).saturating_sub(self.max);
        if excess >= AT_ONCE.min(1 + self.max / 4) {
            self.end = self.end.max((self.from + excess).min(last));
        }
        self.aging = true;
    }

    /// Looks for the oldest that are too old, if there are any.
    fn find_old(&mut self) -> rusqlite::Result<()> {
        let too_old = ago(self.keep_for);
        let mut rows = self.oldest.query([self.from, AT_ONCE])?;
        let mut found = 0;
        while let Some(row) = rows.next()?
            && row.get::<_, i64>(0)? < self.last
            && row.get::<_, i64>(1)? < too_old
        {
            self.end = row.get::<_, i64>(0)? + 1;
            found += 1;
        }
        // Where all of them were, there may be more.
        self.aging = found == AT_ONCE;
        Ok(())
    }

    /// Deletes some of what was found. Answers how many.
    pub(crate) fn delete(&mut self) -> rusqlite::Result<u64> {
        if self.from >= self.end && self.aging {
            self.find_old()?;
        }
        if self.from >= self.end {
            return Ok(0);
        }
        let to = self.end.min(self.from + AT_ONCE);
        self.delete.execute([self.from, to])?;
        pass(Point::AttemptsTrimmed, true);
        let deleted = to - self.from;
        self.from = to;
        Ok(deleted.cast_unsigned())
    }
}
