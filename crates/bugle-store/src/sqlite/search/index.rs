//! Events by their numbers, as one sees them who reads: in the log, by the index; in memory, where
//! that is behind; or among the stragglers of deleted segments.

use std::sync::Arc;

use bugle_core::{EventName, FramedEvent, Sequence};
use rusqlite::{Connection, OptionalExtension, Statement};

use super::read_back::ReadBack;
use crate::log::LogReader;
use crate::sqlite::behind::LoggedFrame;
use crate::sqlite::error::log_failed;
use crate::sqlite::tables::gone::Ranges;
use crate::sqlite::tables::stragglers::{self, read_entry, read_straggler};
use crate::sqlite::tables::stretches::{EventPlace, STRETCH_COLUMNS, Stretch, read_stretch};

/// What is known of the log beside the database: what it has, and what is not in the index.
#[derive(Debug, Clone)]
pub(crate) struct LogView {
    pub(crate) log: LogReader,
    /// Taken before the database is read, so that what is in neither is nowhere.
    pub(crate) tail: Vec<Arc<LoggedFrame>>,
}

/// The index, for a while in which several questions are asked.
pub(crate) struct Index<'c> {
    at: Statement<'c>,
    behind: Statement<'c>,
    straggler: Statement<'c>,
    stragglers: Statement<'c>,
    gone: Statement<'c>,
    view: &'c LogView,
    /// What is not in the rows, as rows.
    tail: Vec<Stretch>,
    /// The stretch that was found last.
    known: Option<Stretch>,
}

impl<'c> Index<'c> {
    pub(crate) fn new(conn: &'c Connection, view: &'c LogView) -> rusqlite::Result<Self> {
        let select = format!("SELECT {STRETCH_COLUMNS} FROM stretches");
        Ok(Self {
            at: conn.prepare(&format!("{select} WHERE first <= ?1 ORDER BY first DESC LIMIT 1"))?,
            behind: conn.prepare(&format!("{select} WHERE first > ?1 ORDER BY first LIMIT 1"))?,
            straggler: conn.prepare(&stragglers::select("WHERE sequence = ?1"))?,
            stragglers: conn.prepare(
                "SELECT sequence FROM stragglers WHERE sequence > ?1 AND sequence < ?2 \
                 ORDER BY sequence",
            )?,
            gone: conn.prepare(
                "SELECT first, last FROM gone WHERE first <= ?2 AND first >= \
                 (SELECT coalesce(max(first), 0) FROM gone WHERE first <= ?1)",
            )?,
            view,
            tail: tail_stretches(conn, view)?,
            known: None,
        })
    }

    /// The stretch that a number is in.
    fn at(&mut self, at: Sequence) -> rusqlite::Result<Option<&Stretch>> {
        let holds = |stretch: &Stretch| stretch.first <= at && at <= stretch.last;
        if !self.known.as_ref().is_some_and(holds) {
            self.known = self.below(Sequence(at.0.saturating_add(1)))?.filter(holds);
        }
        Ok(self.known.as_ref())
    }

    /// The last stretch that begins below a number.
    pub(crate) fn below(&mut self, below: Sequence) -> rusqlite::Result<Option<Stretch>> {
        if let Some(stretch) = self.tail.iter().rev().find(|it| it.first < below) {
            return Ok(Some(stretch.clone()));
        }
        let mut rows = self.at.query([below.0.saturating_sub(1).min(MAX).cast_signed()])?;
        rows.next()?.map(read_stretch).transpose()
    }

    /// The first stretch that ends behind a number.
    pub(crate) fn behind(&mut self, after: Sequence) -> rusqlite::Result<Option<Stretch>> {
        if let Some(stretch) = self.at(Sequence(after.0.saturating_add(1)))? {
            return Ok(Some(stretch.clone()));
        }
        let mut rows = self.behind.query([after.0.min(MAX).cast_signed()])?;
        if let Some(row) = rows.next()? {
            return read_stretch(row).map(Some);
        }
        Ok(self.tail.iter().find(|stretch| stretch.first > after).cloned())
    }

    /// Which numbers of a range have no event any more.
    pub(crate) fn gone(&mut self, first: Sequence, last: Sequence) -> rusqlite::Result<Ranges> {
        let range = [first, last].map(|it| it.0.min(MAX).cast_signed());
        let rows = self.gone.query_map(range, |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>().map(Ranges)
    }

    /// The stragglers between two numbers, in order.
    pub(crate) fn stragglers(
        &mut self,
        above: Sequence,
        below: Sequence,
    ) -> rusqlite::Result<Vec<Sequence>> {
        let range = [above, below].map(|it| it.0.min(MAX).cast_signed());
        let rows = self.stragglers.query_map(range, |row| row.get::<_, i64>(0))?;
        rows.map(|at| at.map(|at| Sequence(at.cast_unsigned()))).collect()
    }

    /// An event's name and the size of its payload, without reading it.
    pub(crate) fn entry(&mut self, at: Sequence) -> rusqlite::Result<Option<(EventName, u32)>> {
        if self.gone(at, at)?.has(at) {
            return Ok(None);
        }
        if let Some(stretch) = self.at(at)? {
            let mut events = stretch.events();
            let found = events.find(|(number, ..)| *number == at);
            return Ok(found.map(|(_, name, bytes)| (name.clone(), bytes)));
        }
        let mut rows = self.straggler.query([at.0.cast_signed()])?;
        let entry = rows.next()?.map(read_entry).transpose()?;
        Ok(entry.map(|(_, name, bytes)| (name, bytes)))
    }

    /// Where an event is in the log, if it is there.
    fn place(&mut self, at: Sequence) -> rusqlite::Result<Option<EventPlace>> {
        Ok(self.at(at)?.and_then(|stretch| stretch.find(at)))
    }

    /// An event, or what is known of it. The name, where it is known already.
    pub(crate) fn read(&mut self, at: Sequence) -> rusqlite::Result<ReadBack> {
        let mut found = self.read_run(at, 1)?;
        Ok(found.pop().unwrap_or(ReadBack::Missing))
    }

    /// The event at a number and those behind it in the same frame, so many at the most, and one at
    /// least.
    pub(crate) fn read_run(
        &mut self,
        at: Sequence,
        most: usize,
    ) -> rusqlite::Result<Vec<ReadBack>> {
        if let Some(event) = self.in_tail(at) {
            return Ok(vec![ReadBack::Whole(event)]);
        }
        if self.gone(at, at)?.has(at) {
            return Ok(vec![ReadBack::Missing]);
        }
        let Some(place) = self.place(at)? else { return Ok(vec![self.read_straggler(at)?]) };
        match self.view.log.events(place.first, place.frame, place.at..place.at + most) {
            Ok(parts) if parts.is_empty() => Ok(vec![self.part(at, None)]),
            Ok(parts) => Ok(parts
                .into_iter()
                .zip(at.0..)
                .map(|(part, number)| self.part(Sequence(number), part.ok()))
                .collect()),
            // Its segment was deleted since: it is a straggler now, or it is gone.
            Err(error) if error.is_missing() => {
                self.known = None;
                match self.place(at)? {
                    Some(_) => Err(log_failed(error)),
                    None => Ok(vec![self.read_straggler(at)?]),
                }
            }
            // Its frame can't be read, and with it none of its events.
            Err(error) if error.is_damage() => Ok(vec![self.part(at, None)]),
            Err(error) => Err(log_failed(error)),
        }
    }

    /// A part of a frame, or a damaged one.
    fn part(&self, at: Sequence, part: Option<FramedEvent>) -> ReadBack {
        match part {
            Some(part) => ReadBack::Whole(part.event),
            None => {
                let mut events = self.known.iter().flat_map(Stretch::events);
                let name = events.find(|(number, ..)| *number == at).map(|(_, name, _)| name);
                ReadBack::damaged(at, name, "its checksum in the log is wrong")
            }
        }
    }

    /// Overwrites an event in the log that is gone.
    pub(crate) fn erase(&mut self, at: Sequence) -> rusqlite::Result<()> {
        match self.place(at)? {
            Some(EventPlace { first, frame, at }) => {
                self.view.log.erase(first, frame, at).map_err(log_failed)
            }
            None => Ok(()),
        }
    }

    fn in_tail(&self, at: Sequence) -> Option<Arc<bugle_core::Event>> {
        let index = self.view.tail.partition_point(|frame| frame.last() < at);
        let frame = self.view.tail.get(index)?;
        let event = usize::try_from(at.0.checked_sub(frame.first.0)?).ok()?;
        frame.events.get(event).map(|it| Arc::clone(&it.event))
    }

    fn read_straggler(&mut self, at: Sequence) -> rusqlite::Result<ReadBack> {
        let mut rows = self.straggler.query([at.0.min(MAX).cast_signed()])?;
        let Some(row) = rows.next()? else { return Ok(ReadBack::Missing) };
        ReadBack::of_row(at, row, read_straggler(row))
    }
}

/// The largest number that a row can have.
const MAX: u64 = i64::MAX as u64;

/// What is not in the rows, as it would be there.
pub(crate) fn tail_stretches(conn: &Connection, view: &LogView) -> rusqlite::Result<Vec<Stretch>> {
    let sql = "SELECT last FROM stretches ORDER BY first DESC LIMIT 1";
    let last: Option<i64> = conn.query_row(sql, [], |row| row.get(0)).optional()?;
    let last = Sequence(last.unwrap_or(0).cast_unsigned());
    let frames = view.tail.iter().map(|it| &**it).filter(|frame| frame.first > last);
    Ok(Stretch::of(last, frames))
}
