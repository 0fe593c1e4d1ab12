//! What is deleted, a little after each transaction.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::Sequence;
use jiff::Timestamp;
use rusqlite::{Connection, Statement};

use super::epochs::{Epoch, EpochTables, Epochs};
use super::events::nanoseconds;
use super::options::SqliteOptions;
use crate::backlog::{Backlog, CHUNK, chunk_of};

/// How many rows are deleted at a time, at least.
const SLICE: u64 = 256;

/// How often it is looked whether something can be deleted.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// After how many chunks of attempts the marks of deleted ones go.
const SWEEP_EVERY: u32 = 16;

/// What is deleted now: up to and without an end.
struct Range {
    next: u64,
    end: u64,
}

/// Deletes what nobody needs any more.
pub(super) struct Retention<'c> {
    entries: Statement<'c>,
    events: Statement<'c>,
    attempts: Statement<'c>,
    epoch_tables: EpochTables<'c>,
    epochs: Arc<Epochs>,
    /// The chunks of the journal of which something is on disk.
    chunks: BTreeSet<u64>,
    /// How many settled events, and how many attempts, are kept, and these for how long.
    settled_events: u64,
    max_attempts: u64,
    attempts_for: Duration,
    /// What is being deleted.
    deleting: Option<Range>,
    deleting_attempts: Option<(Epoch, Range)>,
    last: Sequence,
    /// How many events have been appended that no deletion has made up for.
    appended: u64,
    looked: Instant,
    /// Chunks of attempts whose marks are still there.
    unswept: u32,
}

impl<'c> Retention<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        epochs: Arc<Epochs>,
        chunks: BTreeSet<u64>,
        options: &SqliteOptions,
    ) -> rusqlite::Result<Self> {
        let delete = |table: &str, key: &str| {
            conn.prepare(&format!("DELETE FROM {table} WHERE {key} >= ?1 AND {key} < ?2"))
        };
        Ok(Self {
            entries: delete("entries", "sequence")?,
            events: delete("events", "sequence")?,
            attempts: delete("attempts", "id")?,
            epoch_tables: EpochTables::new(conn)?,
            epochs,
            chunks,
            settled_events: options.settled_events,
            max_attempts: options.attempts,
            attempts_for: options.attempts_for,
            deleting: None,
            deleting_attempts: None,
            last: Sequence::START,
            appended: 0,
            looked: Instant::now(),
            unswept: 0,
        })
    }

    /// Events were appended.
    pub(super) fn appended(&mut self, last: Sequence, count: usize) {
        self.last = last;
        self.appended += count as u64;
        self.chunks.insert(chunk_of(last));
        let first = Sequence(last.0 + 1 - count as u64);
        self.chunks.extend(chunk_of(first)..chunk_of(last));
    }

    /// Whether there is more to delete.
    pub(super) fn is_busy(&self) -> bool {
        self.deleting.is_some() || self.deleting_attempts.is_some()
    }

    /// Deletes a little, and writes down a block of attempts if one is full. Answers how many pages
    /// that may have changed.
    pub(super) fn tidy(
        &mut self,
        conn: &Connection,
        backlog: &Backlog,
        last_attempt: i64,
    ) -> rusqlite::Result<usize> {
        self.epoch_tables.write_next(conn, &self.epochs)?;
        if !self.is_busy() && self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.look(backlog, last_attempt);
        }
        let events = self.delete_events(conn)?;
        let attempts = self.delete_attempts(conn)?;
        Ok(usize::try_from((events + attempts) / 4).unwrap_or(0))
    }

    /// Looks for a chunk that nobody needs.
    fn look(&mut self, backlog: &Backlog, last_attempt: i64) {
        let last = backlog.with(|state| state.last());
        let horizon = chunk_of(Sequence(last.0.saturating_sub(self.settled_events)));
        let free = backlog.with(|state| {
            self.chunks.range(..horizon).copied().find(|chunk| state.is_free(*chunk))
        });
        self.deleting = free.map(|chunk| Range { next: chunk * CHUNK, end: (chunk + 1) * CHUNK });
        let too_old = Timestamp::now()
            .checked_sub(jiff::SignedDuration::try_from(self.attempts_for).unwrap_or_default())
            .map_or(i64::MIN, nanoseconds);
        let newer = |epoch: &Epoch| (last_attempt - epoch.last).cast_unsigned();
        self.deleting_attempts = self
            .epochs
            .first()
            .filter(|epoch| newer(epoch) >= self.max_attempts || epoch.newest < too_old)
            .map(|epoch| {
                let [next, end] = [epoch.first, epoch.last + 1].map(i64::cast_unsigned);
                (epoch, Range { next, end })
            });
    }

    fn delete_events(&mut self, conn: &Connection) -> rusqlite::Result<u64> {
        let Some(range) = &mut self.deleting else { return Ok(0) };
        // As many as have come, and some more: so they never become more and more.
        let (from, to) = range.slice(SLICE.max(2 * self.appended));
        let transaction = conn.unchecked_transaction()?;
        self.events.execute([from, to])?;
        self.entries.execute([from, to])?;
        transaction.commit()?;
        self.appended = 0;
        range.next = to.cast_unsigned();
        if range.next == range.end {
            self.chunks.remove(&(range.end / CHUNK - 1));
            self.deleting = None;
            self.look_again();
        }
        Ok((to - from).cast_unsigned())
    }

    fn delete_attempts(&mut self, conn: &Connection) -> rusqlite::Result<u64> {
        let Some((epoch, range)) = &mut self.deleting_attempts else { return Ok(0) };
        let epoch = *epoch;
        let (from, to) = range.slice(2 * SLICE);
        let is_last = to.cast_unsigned() == range.end;
        let transaction = conn.unchecked_transaction()?;
        self.attempts.execute([from, to])?;
        if is_last {
            conn.execute("DELETE FROM attempt_events WHERE epoch = ?1", [epoch.last])?;
            conn.execute("DELETE FROM attempt_epochs WHERE last = ?1", [epoch.last])?;
            if self.unswept + 1 >= SWEEP_EVERY {
                conn.execute("DELETE FROM attempt_marks WHERE id <= ?1", [epoch.last])?;
            }
        }
        transaction.commit()?;
        range.next = to.cast_unsigned();
        if is_last {
            self.unswept = (self.unswept + 1) % SWEEP_EVERY;
            self.epochs.remove_first();
            self.deleting_attempts = None;
            self.look_again();
        }
        Ok((to - from).cast_unsigned())
    }

    /// Where there was something there may be more.
    fn look_again(&mut self) {
        self.looked = self.looked.checked_sub(LOOK_EVERY).unwrap_or(self.looked);
    }
}

impl Range {
    /// The next part of it.
    fn slice(&self, rows: u64) -> (i64, i64) {
        let end = self.end.min(self.next + rows);
        (self.next.cast_signed(), end.cast_signed())
    }
}
