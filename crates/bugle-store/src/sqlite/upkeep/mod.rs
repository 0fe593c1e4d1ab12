//! What is deleted, and what is indexed, a little after each transaction.

mod attempts;
mod emitters;
mod segments;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use crate::backlog::Backlog;
use crate::log::LogReader;
use crate::sqlite::behind::LoggedFrame;
use crate::sqlite::options::SqliteOptions;
use crate::sqlite::search::ids::{IdTables, Ids};
use crate::sqlite::tables::dead_letters::DeadIndex;
use crate::sqlite::tables::values::nanoseconds;
use crate::sqlite::write::append_queue::AppendQueue;
use crate::sqlite::write::commit::Tables;
use crate::sqlite::write::queue::Queue;
use attempts::AttemptRetention;
use emitters::EmitterRetention;
use segments::EventRetention;

/// Says how many rows are deleted at a time, at least.
const SLICE: u64 = 256;

/// Says how many dead letters are looked at in one transaction: each has its event.
const LETTERS: u64 = 32;

/// Says how often it is looked whether something can be deleted.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Says how often it is looked whether something has become too old, where nothing comes.
const AGES: Duration = Duration::from_secs(60);

/// Deletes what nobody needs any more, and indexes what has come.
pub(crate) struct Retention<'c> {
    events: EventRetention<'c>,
    attempts: AttemptRetention<'c>,
    emitters: EmitterRetention<'c>,
    dead_letters_for: Option<Duration>,
    /// Tells whether some dead letters may be too old.
    aging: bool,
    event_ids: IdTables<'c>,
    attempt_ids: IdTables<'c>,
    looked: Instant,
    /// When it last could not be done.
    failed: Option<Instant>,
}

impl<'c> Retention<'c> {
    pub(crate) fn new(
        conn: &'c Connection,
        [event_ids, attempt_ids]: [Arc<Ids>; 2],
        log: LogReader,
        appends: Arc<AppendQueue>,
        dead: Arc<DeadIndex>,
        options: &SqliteOptions,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            events: EventRetention::new(conn, log, appends, dead, options)?,
            attempts: AttemptRetention::new(conn, options)?,
            emitters: EmitterRetention::new(conn)?,
            dead_letters_for: options.dead_letters_for,
            aging: false,
            event_ids: IdTables::new(conn, event_ids)?,
            attempt_ids: IdTables::new(conn, attempt_ids)?,
            looked: Instant::now(),
            failed: None,
        })
    }

    /// Events are in the index, up to those of a frame.
    pub(crate) fn appended(&mut self, last: &LoggedFrame) {
        self.events.appended(last);
    }

    /// Tells whether files are to be deleted once all that is written is synced.
    pub(crate) fn has_retired(&self) -> bool {
        self.events.has_retired()
    }

    /// All that is written is synced.
    pub(crate) fn synced(&mut self) {
        self.events.synced();
    }

    /// When there is something to do though nothing comes.
    pub(crate) fn due(&self) -> Option<Instant> {
        let is_busy = self.events.is_busy()
            || self.attempts.is_busy()
            || self.emitters.is_busy()
            || self.aging
            || self.event_ids.is_busy()
            || self.attempt_ids.is_busy();
        if let Some(failed) = self.failed {
            return Some(failed + LOOK_EVERY);
        }
        match is_busy {
            true => Some(Instant::now()),
            false if self.events.drops_old() => Some(self.looked + LOOK_EVERY),
            false => Some(self.looked + AGES),
        }
    }

    /// Deletes and indexes a little. Answers how many pages that may have changed. What can't be
    /// done now is done later.
    pub(crate) fn tidy(
        &mut self,
        backlog: &Backlog,
        queue: &Queue,
        tables: &mut Tables<'_>,
    ) -> rusqlite::Result<usize> {
        if self.failed.is_some_and(|failed| failed.elapsed() < LOOK_EVERY) {
            return Ok(0);
        }
        let tidied = self.try_tidy(backlog, queue, tables);
        self.failed = tidied.is_err().then(Instant::now);
        tidied
    }

    fn try_tidy(
        &mut self,
        backlog: &Backlog,
        queue: &Queue,
        tables: &mut Tables<'_>,
    ) -> rusqlite::Result<usize> {
        let indexed = self.event_ids.write()? + self.attempt_ids.write()?;
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.events.look()?;
            self.attempts.look(tables.attempts.last());
            self.emitters.look(self.attempts.kept());
            self.aging = self.dead_letters_for.is_some();
            let Self { events, attempts, .. } = self;
            self.event_ids.delete_gone(|first, last| events.is_gone(first, last))?;
            self.attempt_ids.delete_gone(|_, last| attempts.is_gone(last))?;
        }
        let events = self.events.delete(backlog, queue, tables.indexed())?;
        let attempts = self.attempts.delete()?;
        let emitters = self.emitters.delete(tables, self.attempts.kept())?;
        let letters = self.delete_old_letters(tables)?;
        let deleted = events + attempts + emitters + 4 * letters;
        Ok(indexed + usize::try_from(deleted / 4).unwrap_or(0))
    }

    fn delete_old_letters(&mut self, tables: &mut Tables<'_>) -> rusqlite::Result<u64> {
        let Some(age) = self.dead_letters_for.filter(|_| self.aging) else { return Ok(0) };
        let deleted = tables.delete_letters(ago(age), LETTERS)?;
        // Where all of them were too old there may be more.
        self.aging = deleted == LETTERS;
        Ok(deleted)
    }
}

/// The instant that was so long ago, as it is stored.
fn ago(age: Duration) -> i64 {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    Timestamp::now().checked_sub(age).map_or(i64::MIN, nanoseconds)
}
