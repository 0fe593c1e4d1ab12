//! What gives way when the disk is full: events that are settled, and would be kept for a while
//! otherwise, are worth less than what is to be accepted.

use std::time::{Duration, Instant};

use bugle_core::Sequence;
use rusqlite::{Connection, Statement};

use super::super::batch::PAGE;
use super::{LOOK_EVERY, Needed, SLICE};
use crate::fault::{Point, pass};

/// How many pages are freed beyond what is wanted, at the most, so that not each append has to ask:
/// 4 MiB. In a small file it is a sixteenth of it.
const SPARE_PAGES: i64 = 512;

/// How many bytes of payload are deleted at a time, unless more are wanted at once.
const SLICE_BYTES: u64 = 1 << 20;

/// Deletes settled events, single and oldest first, until there is room.
pub(super) struct RoomRetention<'c> {
    conn: &'c Connection,
    oldest: Statement<'c>,
    delete: [Statement<'c>; 3],
    pages: Statement<'c>,
    free: Statement<'c>,
    /// How many pages of the file are to be free.
    wanted: i64,
    /// How many bytes are deleted at a time.
    slice: u64,
    /// Up to where the events were looked at, since when, and whether there may be more.
    walked: i64,
    began: Instant,
    walking: bool,
    /// Until when it is of no use to look again.
    rests_until: Instant,
}

impl<'c> RoomRetention<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let delete = |table| conn.prepare(&format!("DELETE FROM {table} WHERE sequence = ?1"));
        let now = Instant::now();
        Ok(Self {
            conn,
            oldest: conn.prepare(
                "SELECT sequence, bytes FROM entries WHERE sequence > ?1 ORDER BY sequence \
                 LIMIT ?2",
            )?,
            delete: [delete("events")?, delete("entries")?, delete("replays")?],
            pages: conn.prepare("PRAGMA page_count")?,
            free: conn.prepare("PRAGMA freelist_count")?,
            wanted: 0,
            slice: SLICE_BYTES,
            walked: 0,
            began: now,
            walking: false,
            rests_until: now,
        })
    }

    /// There was no space for so many pages. Begins at the oldest event, unless it was just found
    /// that there is nothing to delete.
    pub(super) fn want(&mut self, pages: usize) {
        let pages = i64::try_from(pages).unwrap_or(i64::MAX / 4);
        let has: i64 = self.pages.query_row([], |row| row.get(0)).unwrap_or(0);
        self.wanted = 2 * pages + SPARE_PAGES.min(has / 16);
        self.slice = SLICE_BYTES.max(2 * pages.cast_unsigned() * PAGE);
        if !self.walking && self.rests_until <= Instant::now() {
            self.walking = true;
            self.walked = 0;
            self.began = Instant::now();
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.walking
    }

    /// Deletes some that are not needed. Answers how many.
    pub(super) fn delete(&mut self, needed: &Needed<'_>) -> rusqlite::Result<usize> {
        if !self.walking {
            return Ok(0);
        }
        let deleted = self.delete_slice(needed);
        if deleted.is_err() {
            self.rest(LOOK_EVERY);
        }
        deleted
    }

    fn delete_slice(&mut self, needed: &Needed<'_>) -> rusqlite::Result<usize> {
        let rows = self.oldest.query_map([self.walked, SLICE.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })?;
        let rows = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        let is_end = (rows.len() as u64) < SLICE;
        let behind = rows.last().map_or(0, |(at, _)| at + 1).cast_unsigned();
        let newest = needed.backlog.with(|state| state.last());
        let kept = needed.below(Sequence(behind), rows.len());
        if needed.is_leaving() {
            self.rest(LOOK_EVERY);
            return Ok(0);
        }
        let (mut count, mut bytes) = (0, 0);
        let transaction = self.conn.unchecked_transaction()?;
        let mut walked = self.walked;
        for (at, payload) in rows {
            // The newest stays: the next one's number follows from it when the store is opened.
            let sequence = Sequence(at.cast_unsigned());
            if sequence >= newest || bytes >= self.slice {
                break;
            }
            walked = at;
            if kept.contains(&sequence) {
                continue;
            }
            for delete in &mut self.delete {
                delete.execute([at])?;
            }
            pass(Point::TrimMid, count == 0);
            count += 1;
            bytes += payload;
        }
        transaction.commit()?;
        pass(Point::TrimAfter, count > 0);
        self.walked = walked;
        let free: i64 = self.free.query_row([], |row| row.get(0))?;
        if free >= self.wanted {
            self.rest(Duration::ZERO);
        } else if bytes < self.slice && (is_end || walked + 1 < behind.cast_signed()) {
            // A long walk in vain is not soon repeated.
            self.rest(LOOK_EVERY.max(4 * self.began.elapsed()));
        }
        Ok(count)
    }

    fn rest(&mut self, rest: Duration) {
        self.walking = false;
        self.rests_until = Instant::now() + rest;
    }
}
