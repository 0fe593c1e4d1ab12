//! Which events are deleted: settled ones that are not among the newest, or too old; and, where
//! that is wanted, ones that have waited too long, which are dropped.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bugle_core::{Expired, RequestId, Sequence};
use rusqlite::{Connection, OptionalExtension, Statement};

use super::super::events::{nanoseconds, read_text};
use super::super::gone::GoneTable;
use super::super::options::SqliteOptions;
use super::super::queue::Queue;
use super::{SLICE, ago};
use crate::backlog::{Backlog, CHUNK, Kept, TakenAs, chunk_of};
use crate::fault::{Point, pass};

/// How many events that have waited too long are dropped at a time.
const EXPIRED_AT_ONCE: usize = 64;

/// After how long the old ones that were still waited for are looked at again.
const WALK_EVERY: Duration = Duration::from_secs(15 * 60);

/// What is deleted now: up to and without an end.
struct Range {
    next: u64,
    end: u64,
}

pub(super) struct EventRetention<'c> {
    conn: &'c Connection,
    entries: Statement<'c>,
    replays: Statement<'c>,
    events: Statement<'c>,
    gone: GoneTable<'c>,
    /// The rows behind one, and when they were emitted.
    behind: Statement<'c>,
    /// When one was emitted, and its id; and when it was queued again, if it is a replay.
    waiting: Statement<'c>,
    replay: Statement<'c>,
    /// The chunks of the journal of which something is on disk.
    chunks: BTreeSet<u64>,
    settled_events: u64,
    settled_for: Duration,
    undelivered_for: Option<Duration>,
    /// The chunk that is being deleted.
    deleting: Option<Range>,
    /// Whether a chunk has just left the newest ones that are kept.
    passed: bool,
    /// How many events have been appended that no deletion has made up for.
    appended: u64,
    /// Up to where the old ones were looked at, since when, and whether there may be more.
    walked: i64,
    walk_began: Instant,
    walking: bool,
    /// Whether some may have waited too long.
    expiring: bool,
}

impl<'c> EventRetention<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        chunks: BTreeSet<u64>,
        options: &SqliteOptions,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            entries: conn.prepare("DELETE FROM entries WHERE sequence >= ?1 AND sequence < ?2")?,
            replays: conn.prepare("DELETE FROM replays WHERE sequence >= ?1 AND sequence < ?2")?,
            events: conn.prepare("DELETE FROM events WHERE sequence >= ?1 AND sequence < ?2")?,
            gone: GoneTable::new(conn)?,
            behind: conn.prepare(
                "SELECT sequence, emitted_at FROM events WHERE sequence > ?1 ORDER BY sequence \
                 LIMIT ?2",
            )?,
            waiting: conn
                .prepare("SELECT emitted_at, request_id FROM events WHERE sequence = ?1")?,
            replay: conn.prepare("SELECT queued_at FROM replays WHERE sequence = ?1")?,
            chunks,
            settled_events: options.settled_events,
            settled_for: options.settled_for,
            undelivered_for: options.undelivered_for,
            deleting: None,
            passed: false,
            appended: 0,
            walked: 0,
            walk_began: Instant::now(),
            walking: false,
            expiring: false,
        })
    }

    pub(super) fn appended(&mut self, last: Sequence, count: usize) {
        self.appended += count as u64;
        self.chunks.insert(chunk_of(last));
        let first = Sequence((last.0 + 1).saturating_sub(count as u64));
        self.chunks.extend(chunk_of(first)..chunk_of(last));
        let before = Sequence(first.0.saturating_sub(1));
        self.passed |= self.horizon(before) < self.horizon(last);
    }

    /// Chunks below this one have none of the newest events, where the journal ends here.
    fn horizon(&self, last: Sequence) -> u64 {
        chunk_of(Sequence(last.0.saturating_sub(self.settled_events)))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.deleting.is_some() || self.passed || self.walking || self.expiring
    }

    /// Whether what waits becomes too old.
    pub(super) fn drops_old(&self) -> bool {
        self.undelivered_for.is_some()
    }

    /// Whether nothing is on disk from one event to another.
    pub(super) fn is_gone(&self, first: i64, last: i64) -> bool {
        let [first, last] = [first, last].map(|at| chunk_of(Sequence(at.cast_unsigned())));
        self.chunks.range(first..=last).next().is_none()
    }

    /// Looks for something to delete.
    pub(super) fn look(&mut self) {
        self.passed = true;
        if self.walk_began.elapsed() >= WALK_EVERY {
            self.walk_began = Instant::now();
            self.walked = 0;
        }
        self.walking = true;
        self.expiring = self.undelivered_for.is_some();
    }

    /// Deletes some of what nobody waits for, and drops some of what has waited too long. Answers
    /// how many.
    pub(super) fn delete(&mut self, backlog: &Backlog, queue: &Queue) -> rusqlite::Result<u64> {
        let expired = self.expire(backlog, queue)?;
        Ok(expired + self.delete_chunk(backlog)? + self.delete_old(backlog)?)
    }

    fn find_chunk(&mut self, backlog: &Backlog) {
        self.passed = false;
        self.deleting = backlog.with(|state| {
            let horizon = self.horizon(state.last());
            let free = self.chunks.range(..horizon).find(|chunk| state.is_free(**chunk));
            free.map(|chunk| Range { next: chunk * CHUNK, end: (chunk + 1) * CHUNK })
        });
    }

    /// As soon as a chunk can go, so that it depends on what comes how many there are at the most,
    /// and not on when it is looked.
    fn delete_chunk(&mut self, backlog: &Backlog) -> rusqlite::Result<u64> {
        if self.deleting.is_none() && self.passed {
            self.find_chunk(backlog);
        }
        let Some(range) = &mut self.deleting else { return Ok(0) };
        // As many as have come, and some more: so they never become more and more.
        let to = range.end.min(range.next + SLICE.max(2 * self.appended));
        let [first, behind] = [range.next, to].map(u64::cast_signed);
        let transaction = self.conn.unchecked_transaction()?;
        self.events.execute([first, behind])?;
        pass(Point::TrimMid, true);
        self.entries.execute([first, behind])?;
        self.replays.execute([first, behind])?;
        self.gone.add(first.max(1), behind - 1)?;
        transaction.commit()?;
        pass(Point::TrimAfter, true);
        self.appended = 0;
        range.next = to;
        if range.next == range.end {
            self.chunks.remove(&(range.end / CHUNK - 1));
            // Where there was something there may be more.
            self.find_chunk(backlog);
        }
        Ok((behind - first).cast_unsigned())
    }

    /// Walks over the oldest events and deletes those that are settled, until one is not old. The
    /// newest stays: the next one's number follows from it when the store is opened.
    fn delete_old(&mut self, backlog: &Backlog) -> rusqlite::Result<u64> {
        if !self.walking {
            return Ok(0);
        }
        let too_old = ago(self.settled_for);
        let newest = backlog.with(|state| state.last()).0.cast_signed();
        let mut old = Vec::new();
        let mut rows = self.behind.query([self.walked, SLICE.cast_signed()])?;
        while let Some(row) = rows.next()?
            && row.get::<_, i64>(0)? < newest
            && row.get::<_, i64>(1)? < too_old
        {
            old.push(row.get::<_, i64>(0)?);
        }
        drop(rows);
        self.walking = old.len() as u64 == SLICE;
        let Some(last) = old.last().copied() else { return Ok(0) };
        self.walked = last;
        let behind = Sequence(last.cast_unsigned() + 1);
        let waiting = backlog.with(|state| state.waiting_below(behind, old.len()));
        old.retain(|at| !waiting.iter().any(|it| it.sequence.0.cast_signed() == *at));
        let transaction = self.conn.unchecked_transaction()?;
        for at in &old {
            self.events.execute([*at, at + 1])?;
            self.entries.execute([*at, at + 1])?;
            self.replays.execute([*at, at + 1])?;
        }
        self.gone.add_all(&old)?;
        transaction.commit()?;
        Ok(old.len() as u64)
    }

    /// Drops events that have waited too long, wherever they wait.
    fn expire(&mut self, backlog: &Backlog, queue: &Queue) -> rusqlite::Result<u64> {
        let Some(age) = self.undelivered_for.filter(|_| self.expiring) else { return Ok(0) };
        let too_old = ago(age);
        let (mut expired, mut told) = (0, Vec::new());
        while expired < EXPIRED_AT_ONCE {
            let Some(oldest) = backlog.with(|state| state.oldest_waiting()) else { break };
            let at = oldest.sequence.0.cast_signed();
            let (emitted_at, request_id) = match &oldest.kept {
                Kept::Here(event) => (nanoseconds(event.emitted_at), event.request_id.clone()),
                Kept::Away { .. } => self
                    .waiting
                    .query_row([at], |row| Ok((row.get(0)?, read_text(row, 1, RequestId::new)?)))?,
            };
            // A replay is younger than its event, and waits since it was queued.
            let queued_at = self.replay.query_row([at], |row| row.get(0)).optional()?;
            if queued_at.unwrap_or(emitted_at) >= too_old {
                break;
            }
            let taken_from = backlog.with(|state| {
                let taken_from = state.take(oldest.sequence, TakenAs::Expired);
                queue.put(|work| taken_from.iter().for_each(|it| work.mark(it, false)));
                taken_from
            });
            if taken_from.is_empty() {
                break;
            }
            expired += 1;
            let name = oldest.kept.name();
            told.extend(taken_from.into_iter().map(|emitter| {
                Expired::new(emitter, oldest.sequence, name.clone(), request_id.clone())
            }));
        }
        self.expiring = expired == EXPIRED_AT_ONCE;
        if expired > 0 {
            backlog.count_taken();
            backlog.tell_expired(told);
        }
        Ok(expired as u64)
    }
}
