//! The index of the log: which events are where. One row is for a stretch of frames that follow one
//! another in one segment, up to 1,024 events, since most of what a row costs is its statement.
//!
//! A stretch begins where the one before it ended, so each number is in one, is gone, or is lost;
//! numbers without an event may be among its own. Behind its fields a row has one blob: the names,
//! each once; for each frame how far its first number and its place are from those before; and for
//! each event the name's number and the payload's size. All are numbers of variable length.

#[cfg(test)]
mod tests;

use bugle_core::{EventName, Sequence};
use rusqlite::{Connection, Row, Statement, params_from_iter};
use rustc_hash::FxHashMap;

use super::seal::{check_seal, seal};
use super::values::{Value, nanoseconds};
use crate::log::FrameAddress;
use crate::sqlite::behind::LoggedFrame;
use crate::sqlite::error::bad_value;

/// So many events are in a stretch at the most.
const EVENTS: usize = 1_024;

/// Frames that follow one another in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// From behind the stretch before it.
    pub(crate) first: Sequence,
    pub(crate) last: Sequence,
    /// The segment that it is in: its first number.
    pub(crate) segment: Sequence,
    /// The earliest and the latest moment at which one of its events was emitted.
    pub(crate) oldest: i64,
    pub(crate) newest: i64,
    names: Vec<EventName>,
    frames: Vec<FrameSpan>,
    entries: Vec<IndexedEvent>,
}

/// A frame of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FrameSpan {
    first: u64,
    offset: u32,
    length: u32,
    events: u32,
}

impl FrameSpan {
    fn address(&self, segment: Sequence) -> FrameAddress {
        FrameAddress { segment, offset: self.offset, length: self.length }
    }
}

/// An event of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IndexedEvent {
    name: u32,
    bytes: u32,
}

/// Where an event is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventPlace {
    /// The number of its frame's first event.
    pub(crate) first: Sequence,
    pub(crate) frame: FrameAddress,
    /// Its place in the frame.
    pub(crate) at: usize,
}

impl Stretch {
    fn begin(first: Sequence, segment: Sequence) -> Self {
        Self {
            first,
            last: first,
            segment,
            oldest: i64::MAX,
            newest: i64::MIN,
            names: Vec::new(),
            frames: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// The stretches of frames that begin behind a number.
    pub(crate) fn of<'f>(
        after: Sequence,
        frames: impl IntoIterator<Item = &'f LoggedFrame>,
    ) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut names = FxHashMap::default();
        let mut end = after;
        for frame in frames {
            let segment = frame.address.segment;
            let continues = all.last().is_some_and(|it| {
                it.segment == segment && it.entries.len() + frame.events.len() <= EVENTS
            });
            if !continues {
                all.push(Self::begin(Sequence(end.0 + 1), segment));
                names.clear();
            }
            if let Some(stretch) = all.last_mut() {
                stretch.add(frame, &mut names);
            }
            end = frame.last();
        }
        all
    }

    fn add(&mut self, frame: &LoggedFrame, names: &mut FxHashMap<EventName, u32>) {
        let events = u32::try_from(frame.events.len()).unwrap_or(u32::MAX);
        let FrameAddress { offset, length, .. } = frame.address;
        self.frames.push(FrameSpan { first: frame.first.0, offset, length, events });
        for event in frame.events.iter().map(|it| &it.event) {
            let name = match names.get(&event.name) {
                Some(name) => *name,
                None => {
                    let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
                    self.names.push(event.name.clone());
                    names.insert(event.name.clone(), number);
                    number
                }
            };
            let bytes = u32::try_from(event.payload.len()).unwrap_or(u32::MAX);
            self.entries.push(IndexedEvent { name, bytes });
            let emitted_at = nanoseconds(event.emitted_at);
            self.oldest = self.oldest.min(emitted_at);
            self.newest = self.newest.max(emitted_at);
        }
        self.last = frame.last();
    }

    /// Its events in order: the number, the name, and the size of the payload.
    pub(crate) fn events(&self) -> impl DoubleEndedIterator<Item = (Sequence, &EventName, u32)> {
        let named = |(at, name, bytes)| Some((at, self.names.get(name)?, bytes));
        self.entries().filter_map(named)
    }

    /// The same, with the names by their places among [`Stretch::names`].
    pub(crate) fn entries(&self) -> impl DoubleEndedIterator<Item = (Sequence, usize, u32)> {
        let numbers = self.frames.iter().flat_map(|it| it.first..it.first + u64::from(it.events));
        let numbers: Vec<u64> = numbers.collect();
        let entry = |(number, entry): (u64, &IndexedEvent)| {
            (Sequence(number), entry.name as usize, entry.bytes)
        };
        numbers.into_iter().zip(&self.entries).map(entry)
    }

    /// The names of its events, each once.
    pub(crate) fn names(&self) -> impl Iterator<Item = &EventName> {
        self.names.iter()
    }

    /// Its frames: the number of the first event, where it is, and how many events it has.
    pub(crate) fn frames(&self) -> impl Iterator<Item = (Sequence, FrameAddress, u32)> {
        self.frames.iter().map(|it| (Sequence(it.first), it.address(self.segment), it.events))
    }

    /// Its last frame, behind which the log goes on.
    pub(crate) fn end(&self) -> Option<(Sequence, FrameAddress)> {
        self.frames.last().map(|it| (Sequence(it.first), it.address(self.segment)))
    }

    /// Where an event is.
    pub(crate) fn find(&self, at: Sequence) -> Option<EventPlace> {
        let index = self.frames.partition_point(|it| it.first <= at.0).checked_sub(1)?;
        let span = self.frames.get(index)?;
        let event = at.0 - span.first;
        let (first, frame) = (Sequence(span.first), span.address(self.segment));
        let at = usize::try_from(event).ok()?;
        (event < u64::from(span.events)).then_some(EventPlace { first, frame, at })
    }

    /// The values of its row.
    fn row(&self) -> [Value<'static>; 6] {
        [
            self.first.0.cast_signed().into(),
            self.last.0.cast_signed().into(),
            self.segment.0.cast_signed().into(),
            self.oldest.into(),
            self.newest.into(),
            self.encode().into(),
        ]
    }

    fn encode(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(64 + 4 * self.entries.len());
        put(&mut text, self.names.len() as u64);
        for name in &self.names {
            put(&mut text, name.as_str().len() as u64);
            text.extend_from_slice(name.as_str().as_bytes());
        }
        put(&mut text, self.frames.len() as u64);
        let (mut end, mut offset) = (self.first.0, 0);
        for span in &self.frames {
            put(&mut text, span.first - end);
            put(&mut text, u64::from(span.offset - offset));
            put(&mut text, u64::from(span.length));
            put(&mut text, u64::from(span.events));
            (end, offset) = (span.first + u64::from(span.events), span.offset);
        }
        for entry in &self.entries {
            put(&mut text, u64::from(entry.name));
            put(&mut text, u64::from(entry.bytes));
        }
        text
    }

    /// `None` where it is not what was written.
    fn decode(mut self, text: &[u8]) -> Option<Self> {
        let text = &mut { text };
        // Each takes a byte at least, so a wrong number ends soon.
        for _ in 0..take(text)? {
            let length = usize::try_from(take(text)?).ok()?;
            let (name, rest) = text.split_at_checked(length)?;
            *text = rest;
            self.names.push(EventName::new(str::from_utf8(name).ok()?).ok()?);
        }
        let (mut end, mut offset) = (self.first.0, 0_u32);
        let mut events = 0_u64;
        for _ in 0..take(text)? {
            let first = end.checked_add(take(text)?)?;
            offset = offset.checked_add(u32::try_from(take(text)?).ok()?)?;
            let mut next = || u32::try_from(take(text)?).ok();
            let span = FrameSpan { first, offset, length: next()?, events: next()? };
            end = first.checked_add(u64::from(span.events))?;
            events += u64::from(span.events);
            self.frames.push(span);
        }
        for _ in 0..events {
            let name = u32::try_from(take(text)?).ok()?;
            self.entries.push(IndexedEvent { name, bytes: u32::try_from(take(text)?).ok()? });
        }
        text.is_empty().then_some(self)
    }
}

/// Writes a number: seven bits a byte, the lowest first, and the eighth set in all but the last.
fn put(text: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        text.push(number as u8 | 0x80);
        number >>= 7;
    }
    text.push(number as u8);
}

fn take(text: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = text.split_first()?;
        *text = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// What [`read_stretch`] reads.
pub(crate) const STRETCH_COLUMNS: &str = "first, last, segment, oldest, newest, entries, seal";

/// Reads a stretch from a row.
pub(crate) fn read_stretch(row: &Row<'_>) -> rusqlite::Result<Stretch> {
    check_seal(row, 0..6, 6, "a row of the index of events")?;
    let number = |column| row.get::<_, i64>(column).map(|it| Sequence(it.cast_unsigned()));
    let (oldest, newest) = (row.get(3)?, row.get(4)?);
    let stretch =
        Stretch { last: number(1)?, oldest, newest, ..Stretch::begin(number(0)?, number(2)?) };
    let entries = row.get_ref(5)?.as_blob().map_err(|_| bad_value(5, "no blob"))?;
    stretch.decode(entries).ok_or_else(|| bad_value(5, "no list of events"))
}

/// The statements on the two tables.
pub(crate) struct StretchTable<'c> {
    insert: Statement<'c>,
    begin: Statement<'c>,
    delete: Statement<'c>,
    end: Statement<'c>,
    /// The segment of the last stretch.
    segment: Option<Sequence>,
}

impl<'c> StretchTable<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: conn.prepare(&format!(
                "INSERT INTO stretches ({STRETCH_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
            ))?,
            begin: conn.prepare(
                "INSERT OR IGNORE INTO segments (segment, first, seal) VALUES (?1, ?2, ?3)",
            )?,
            delete: conn.prepare("DELETE FROM stretches WHERE first >= ?1 AND first <= ?2")?,
            end: conn.prepare("DELETE FROM segments WHERE segment = ?1")?,
            segment: None,
        })
    }

    pub(crate) fn insert(&mut self, stretch: &Stretch) -> rusqlite::Result<()> {
        if self.segment != Some(stretch.segment) {
            let row = [stretch.segment, stretch.first].map(|it| Value::from(it.0.cast_signed()));
            let seal = Value::from(seal(&row));
            self.begin.execute(params_from_iter(row.into_iter().chain([seal])))?;
            self.segment = Some(stretch.segment);
        }
        let row = stretch.row();
        let seal = Value::from(seal(&row));
        self.insert.execute(params_from_iter(row.into_iter().chain([seal])))?;
        Ok(())
    }

    /// What was inserted last may have been taken back.
    pub(crate) fn rolled_back(&mut self) {
        self.segment = None;
    }

    /// Deletes a segment's, which begin from one number up to another.
    pub(crate) fn delete(&mut self, of: &IndexedSegment, last: Sequence) -> rusqlite::Result<()> {
        self.delete.execute((of.first.0.cast_signed(), last.0.cast_signed()))?;
        self.end.execute([of.segment.0.cast_signed()])?;
        Ok(())
    }
}

/// A segment of the log that stretches are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexedSegment {
    /// Its name: the number of its first event.
    pub(crate) segment: Sequence,
    /// Where its first stretch begins; its last ends where that of the next segment begins.
    pub(crate) first: Sequence,
}

/// The segments, in order.
pub(crate) fn segments(conn: &Connection) -> rusqlite::Result<Vec<IndexedSegment>> {
    let mut statement =
        conn.prepare("SELECT segment, first, seal FROM segments ORDER BY segment")?;
    let rows = statement.query_map([], |row| {
        check_seal(row, 0..2, 2, "a segment of the index")?;
        let number = |column| row.get::<_, i64>(column).map(|it| Sequence(it.cast_unsigned()));
        Ok(IndexedSegment { segment: number(0)?, first: number(1)? })
    })?;
    rows.collect()
}

/// The last stretch.
pub(crate) fn last_stretch(conn: &Connection) -> rusqlite::Result<Option<Stretch>> {
    let sql = format!("SELECT {STRETCH_COLUMNS} FROM stretches ORDER BY first DESC LIMIT 1");
    let mut statement = conn.prepare(&sql)?;
    let mut rows = statement.query([])?;
    rows.next()?.map(read_stretch).transpose()
}
