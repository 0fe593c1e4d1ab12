//! What is deleted, and what is indexed, a little after each transaction.

mod attempts;
mod events;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::Sequence;
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::events::nanoseconds;
use super::ids::{IdTables, Ids};
use super::options::SqliteOptions;
use super::queue::Queue;
use crate::backlog::Backlog;
use attempts::AttemptRetention;
use events::EventRetention;

/// How many rows are deleted at a time, at least.
const SLICE: u64 = 256;

/// How often it is looked whether something can be deleted.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often it is looked whether something has become too old, where nothing comes.
const AGES: Duration = Duration::from_secs(60);

/// Deletes what nobody needs any more, and indexes what has come.
pub(super) struct Retention<'c> {
    events: EventRetention<'c>,
    attempts: AttemptRetention<'c>,
    event_ids: IdTables<'c>,
    attempt_ids: IdTables<'c>,
    looked: Instant,
}

impl<'c> Retention<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        [event_ids, attempt_ids]: [Arc<Ids>; 2],
        chunks: BTreeSet<u64>,
        options: &SqliteOptions,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            events: EventRetention::new(conn, chunks, options)?,
            attempts: AttemptRetention::new(conn, options)?,
            event_ids: IdTables::new(conn, event_ids)?,
            attempt_ids: IdTables::new(conn, attempt_ids)?,
            looked: Instant::now(),
        })
    }

    /// Events were appended.
    pub(super) fn appended(&mut self, last: Sequence, count: usize) {
        self.events.appended(last, count);
    }

    /// When there is something to do though nothing comes.
    pub(super) fn due(&self) -> Option<Instant> {
        let is_busy = self.events.is_busy()
            || self.attempts.is_busy()
            || self.event_ids.is_busy()
            || self.attempt_ids.is_busy();
        match is_busy {
            true => Some(Instant::now()),
            false if self.events.drops_old() => Some(self.looked + LOOK_EVERY),
            false => Some(self.looked + AGES),
        }
    }

    /// Deletes and indexes a little. Answers how many pages that may have changed.
    pub(super) fn tidy(
        &mut self,
        backlog: &Backlog,
        queue: &Queue,
        last_attempt: i64,
    ) -> rusqlite::Result<usize> {
        let indexed = self.event_ids.write_next()? + self.attempt_ids.write_next()?;
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.events.look();
            self.attempts.look(last_attempt);
            let Self { events, attempts, .. } = self;
            self.event_ids.delete_gone(|first, last| events.is_gone(first, last))?;
            self.attempt_ids.delete_gone(|_, last| attempts.is_gone(last))?;
        }
        let events = self.events.delete(backlog, queue)?;
        let attempts = self.attempts.delete()?;
        Ok(indexed + usize::try_from((events + attempts) / 4).unwrap_or(0))
    }
}

/// The instant that was so long ago, as it is stored.
fn ago(age: Duration) -> i64 {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    Timestamp::now().checked_sub(age).map_or(i64::MIN, nanoseconds)
}
