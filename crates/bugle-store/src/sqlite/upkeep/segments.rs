//! Which segments of the log are deleted: those of which no event is among the newest or young
//! enough to be kept, and for which hardly anybody waits. What is still waited for in one moves
//! into the database first. And, where that is wanted, which events have waited too long, and are
//! dropped.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{Event, Expired, Sequence};
use rusqlite::{Connection, OptionalExtension, Statement};

use super::ago;
use crate::backlog::{Backlog, Found, TakenAs};
use crate::fault::{Point, pass};
use crate::log::LogReader;
use crate::sqlite::behind::LoggedFrame;
use crate::sqlite::options::SqliteOptions;
use crate::sqlite::search::index::{Index, LogView};
use crate::sqlite::search::read_back::ReadBack;
use crate::sqlite::tables::dead_letters::DeadIndex;
use crate::sqlite::tables::gone::GoneTable;
use crate::sqlite::tables::stragglers::StragglerTable;
use crate::sqlite::tables::stretches::{IndexedSegment, StretchTable, segments};
use crate::sqlite::tables::values::nanoseconds;
use crate::sqlite::write::append_queue::AppendQueue;
use crate::sqlite::write::queue::Queue;

/// Says how many events that have waited too long are dropped at a time.
const EXPIRED_AT_ONCE: usize = 64;

/// Says how many stragglers are looked at at a time.
const STRAGGLERS_AT_ONCE: usize = 64;

/// More events, or more than this part of a segment, are not moved out of it.
const MOVED_AT_ONCE: usize = 4_096;
const MOVED_PART: u64 = 4;

/// After how long a segment that much is waited for in is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// A segment ends when it covers this part of the time that events are kept.
const AGE_PART: u32 = 4;

/// A segment that is there.
struct KnownSegment {
    segment: IndexedSegment,
    /// The last moment at which one of its events was emitted, once it is known.
    newest: Option<i64>,
    /// When it is looked at again.
    again: Option<Instant>,
}

pub(crate) struct EventRetention<'c> {
    conn: &'c Connection,
    log: LogReader,
    appends: Arc<AppendQueue>,
    dead: Arc<DeadIndex>,
    stretches: StretchTable<'c>,
    stragglers: StragglerTable<'c>,
    gone: GoneTable<'c>,
    delete_replays: Statement<'c>,
    newest: Statement<'c>,
    oldest: Statement<'c>,
    straggling: Statement<'c>,
    /// When an entry was queued again, if it is a replay.
    replay: Statement<'c>,
    /// Those that the index has, in order.
    known: Vec<KnownSegment>,
    /// Those that it has no more, and whose files are deleted once that is synced.
    retired: Vec<Sequence>,
    settled_events: u64,
    settled_for: Duration,
    undelivered_for: Option<Duration>,
    /// Tells whether there may be one to delete.
    passed: bool,
    /// Up to where stragglers were looked at; `None` when all were.
    walked: Option<i64>,
    /// Tells whether some events may have waited too long.
    expiring: bool,
}

impl<'c> EventRetention<'c> {
    pub(crate) fn new(
        conn: &'c Connection,
        log: LogReader,
        appends: Arc<AppendQueue>,
        dead: Arc<DeadIndex>,
        options: &SqliteOptions,
    ) -> rusqlite::Result<Self> {
        let known = segments(conn)?;
        let known =
            known.into_iter().map(|segment| KnownSegment { segment, newest: None, again: None });
        Ok(Self {
            conn,
            log,
            appends,
            dead,
            stretches: StretchTable::new(conn)?,
            stragglers: StragglerTable::new(conn)?,
            gone: GoneTable::new(conn)?,
            delete_replays: conn.prepare(
                "DELETE FROM replays WHERE sequence >= ?1 AND sequence <= ?2 AND NOT EXISTS \
                 (SELECT 1 FROM stragglers WHERE stragglers.sequence = replays.sequence)",
            )?,
            newest: conn.prepare(
                "SELECT newest FROM stretches WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
            )?,
            oldest: conn
                .prepare("SELECT oldest FROM stretches WHERE first >= ?1 ORDER BY first LIMIT 1")?,
            straggling: conn.prepare(
                "SELECT sequence FROM stragglers WHERE sequence > ?1 ORDER BY sequence LIMIT ?2",
            )?,
            replay: conn.prepare("SELECT queued_at FROM replays WHERE sequence = ?1")?,
            known: known.collect(),
            retired: Vec::new(),
            settled_events: options.settled_events,
            settled_for: options.settled_for,
            undelivered_for: options.undelivered_for,
            passed: false,
            walked: None,
            expiring: false,
        })
    }

    /// Events are in the index, up to those of a frame.
    pub(crate) fn appended(&mut self, last: &LoggedFrame) {
        let segment = last.address.segment;
        if self.known.last().is_none_or(|it| it.segment.segment < segment) {
            // There may be several new ones.
            if let Ok(all) = segments(self.conn) {
                let known = self.known.last().map_or(Sequence::START, |it| it.segment.segment);
                let new = all.into_iter().filter(|it| it.segment > known);
                let new = new.map(|segment| KnownSegment { segment, newest: None, again: None });
                self.known.extend(new);
            }
            self.passed = true;
        }
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.passed || self.walked.is_some() || self.expiring
    }

    /// Tells whether what waits becomes too old.
    pub(crate) fn drops_old(&self) -> bool {
        self.undelivered_for.is_some()
    }

    /// Tells whether nothing is in the log from one event to another.
    pub(crate) fn is_gone(&self, first: i64, last: i64) -> bool {
        let [first, last] = [first, last].map(|at| Sequence(at.cast_unsigned()));
        let ends = self.known.iter().skip(1).map(|next| Sequence(next.segment.first.0 - 1));
        let ends = ends.chain([Sequence(u64::MAX)]);
        let mut spans = self.known.iter().zip(ends);
        !spans.any(|(known, end)| known.segment.first <= last && first <= end)
    }

    /// Looks for something to delete.
    pub(crate) fn look(&mut self) -> rusqlite::Result<()> {
        self.passed = true;
        self.walked.get_or_insert(0);
        self.expiring = self.undelivered_for.is_some();
        let Some(KnownSegment { segment, .. }) = self.known.last() else { return Ok(()) };
        let first = segment.first.0.cast_signed();
        let oldest: Option<i64> = self.oldest.query_row([first], |row| row.get(0)).optional()?;
        if oldest.is_some_and(|oldest| oldest < ago(self.settled_for / AGE_PART)) {
            // Or what is young would keep what is old.
            let current = segment.segment;
            self.appends.put(|group| group.ended = Some(current));
        }
        Ok(())
    }

    /// Deletes what nobody needs any more, a little at a time. Answers about how many rows.
    pub(crate) fn delete(
        &mut self,
        backlog: &Backlog,
        queue: &Queue,
        indexed: Sequence,
    ) -> rusqlite::Result<u64> {
        let expired = self.expire(backlog, queue, indexed)?;
        Ok(expired + self.delete_segment(backlog)? + self.delete_stragglers(backlog)?)
    }

    /// The first segment that can go, and what is waited for in it.
    fn find(&mut self, backlog: &Backlog) -> rusqlite::Result<Option<(usize, Vec<Found>)>> {
        let end = backlog.with(|state| state.last());
        let too_old = ago(self.settled_for);
        // The last one is never deleted: where the index ends the log goes on.
        for at in 0..self.known.len().saturating_sub(1) {
            let last = self.last(at);
            let Some(known) = self.known.get_mut(at) else { break };
            if known.again.is_some_and(|again| again > Instant::now()) {
                continue;
            }
            let is_passed = last.0 <= end.0.saturating_sub(self.settled_events);
            if !is_passed {
                if known.newest.is_none() {
                    let newest = self.newest.query_row([last.0.cast_signed()], |row| row.get(0));
                    known.newest = newest.optional()?;
                }
                if known.newest.is_none_or(|newest| newest >= too_old) {
                    continue;
                }
            }
            let IndexedSegment { segment, first } = known.segment;
            let files = self.log.segments();
            let bytes = files.iter().find(|it| it.first == segment).map_or(0, |it| it.bytes);
            let waiting = backlog.with(|state| {
                // Of an event whose dead letter is not written nothing else would be left.
                let is_written = !self.dead.has_unwritten();
                is_written.then(|| state.waiting_in(first, last, MOVED_AT_ONCE))
            });
            let Some(waiting) = waiting else { return Ok(None) };
            let is_little = |waiting: &Vec<Found>| {
                let waiting: u64 = waiting.iter().map(|it| it.kept.bytes()).sum();
                waiting * MOVED_PART <= bytes
            };
            match waiting.filter(is_little) {
                Some(waiting) => return Ok(Some((at, waiting))),
                None => known.again = Some(Instant::now() + LOOK_AGAIN),
            }
        }
        Ok(None)
    }

    /// The last number of a segment that is not the last.
    fn last(&self, at: usize) -> Sequence {
        let next = self.known.get(at + 1).map_or(u64::MAX, |next| next.segment.first.0);
        Sequence(next - 1)
    }

    fn delete_segment(&mut self, backlog: &Backlog) -> rusqlite::Result<u64> {
        if !self.passed {
            return Ok(0);
        }
        let Some((at, mut waiting)) = self.find(backlog)? else {
            // It is looked again half a second later.
            self.passed = false;
            return Ok(0);
        };
        waiting.reverse();
        let last = self.last(at);
        let Some(KnownSegment { segment, again, .. }) = self.known.get_mut(at) else {
            return Ok(0);
        };
        let segment = *segment;
        let moment = self.conn.unchecked_transaction()?;
        let Some(moved) = read(self.conn, &self.log, &waiting)? else {
            // What is damaged stays where it is, for who gives it up.
            *again = Some(Instant::now() + LOOK_AGAIN);
            return Ok(0);
        };
        let mut next = segment.first;
        for (at, event) in &moved {
            self.stragglers.insert(*at, event)?;
            if next < *at {
                self.gone.add(next.0.cast_signed(), at.0.cast_signed() - 1)?;
            }
            next = Sequence(at.0 + 1);
        }
        if next <= last {
            self.gone.add(next.0.cast_signed(), last.0.cast_signed())?;
        }
        pass(Point::TrimMid, true);
        self.stretches.delete(&segment, last)?;
        self.delete_replays.execute((segment.first.0.cast_signed(), last.0.cast_signed()))?;
        moment.commit()?;
        pass(Point::TrimAfter, true);
        self.known.remove(at);
        self.retired.push(segment.segment);
        Ok(64 + moved.len() as u64)
    }

    /// Tells whether files are to be deleted once all that is written is synced.
    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// All that is written is synced: what the database has no more is deleted.
    pub(crate) fn synced(&mut self) {
        for segment in self.retired.drain(..) {
            pass(Point::RetireBefore, true);
            // What can't be deleted is deleted when the store is opened.
            let _ = self.log.retire(segment);
            pass(Point::RetireAfter, true);
        }
    }

    /// Deletes the stragglers that nobody waits for any more.
    fn delete_stragglers(&mut self, backlog: &Backlog) -> rusqlite::Result<u64> {
        let Some(walked) = self.walked else { return Ok(0) };
        let limit = STRAGGLERS_AT_ONCE as i64;
        let rows = self.straggling.query_map([walked, limit], |row| row.get::<_, i64>(0))?;
        let found: Vec<i64> = rows.collect::<rusqlite::Result<_>>()?;
        self.walked = found.last().copied().filter(|_| found.len() == STRAGGLERS_AT_ONCE);
        let mut settled = found;
        backlog.with(|state| {
            let is_written = !self.dead.has_unwritten();
            settled.retain(|at| is_written && !state.waits_for(Sequence(at.cast_unsigned())));
        });
        if settled.is_empty() {
            return Ok(0);
        }
        let moment = self.conn.unchecked_transaction()?;
        for at in &settled {
            self.stragglers.delete(Sequence(at.cast_unsigned()))?;
            self.delete_replays.execute([*at, *at])?;
        }
        self.gone.add_all(&settled)?;
        moment.commit()?;
        Ok(settled.len() as u64)
    }

    /// Drops events that have waited too long, wherever they wait.
    fn expire(
        &mut self,
        backlog: &Backlog,
        queue: &Queue,
        indexed: Sequence,
    ) -> rusqlite::Result<u64> {
        let Some(age) = self.undelivered_for.filter(|_| self.expiring) else { return Ok(0) };
        let too_old = ago(age);
        let view = LogView { log: self.log.clone(), tail: Vec::new() };
        let mut index = Index::new(self.conn, &view)?;
        let (mut expired, mut told) = (0, Vec::new());
        while expired < EXPIRED_AT_ONCE {
            let oldest = backlog.with(|state| state.oldest_waiting());
            // What is not in the index has just come.
            let Some(oldest) = oldest.filter(|it| it.sequence <= indexed) else { break };
            let event = match index.read(oldest.sequence)? {
                ReadBack::Whole(event) | ReadBack::Damaged(event, _) => event,
                ReadBack::Missing => break,
            };
            // A replay is younger than its event, and waits since it was queued.
            let at = oldest.sequence.0.cast_signed();
            let queued_at = self.replay.query_row([at], |row| row.get(0)).optional()?;
            if queued_at.unwrap_or(nanoseconds(event.emitted_at)) >= too_old {
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
            let (name, id) = (oldest.kept.name(), &event.request_id);
            told.extend(
                taken_from.into_iter().map(|emitter| {
                    Expired::new(emitter, oldest.sequence, name.clone(), id.clone())
                }),
            );
        }
        self.expiring = expired == EXPIRED_AT_ONCE;
        if expired > 0 {
            backlog.count_taken();
            backlog.tell_expired(&told);
        }
        Ok(expired as u64)
    }
}

/// Events that move, with their numbers.
type Moved = Vec<(Sequence, Arc<Event>)>;

/// Reads events that move; `None` where one of them can't be read.
fn read(conn: &Connection, log: &LogReader, waiting: &[Found]) -> rusqlite::Result<Option<Moved>> {
    let view = LogView { log: log.clone(), tail: Vec::new() };
    let mut index = Index::new(conn, &view)?;
    let mut events = Vec::with_capacity(waiting.len());
    for found in waiting {
        match index.read(found.sequence)? {
            ReadBack::Whole(event) => events.push((found.sequence, event)),
            ReadBack::Damaged(..) => return Ok(None),
            // It was settled and deleted since.
            ReadBack::Missing => {}
        }
    }
    Ok(Some(events))
}
