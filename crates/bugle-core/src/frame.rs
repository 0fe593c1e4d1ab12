//! Frames: the events of one group commit, as bytes that a log keeps and a message carries.
//!
//! A frame is a head, a table of its parts, and the parts. Numbers are little-endian.
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 4 | `BGLF` |
//! | 1 | the version of all that follows, 1 |
//! | 1 | 1 where the last part is a source's position, else 0 |
//! | 2 | the number of events, at most 1,024 |
//! | 4 | the length of the parts in all |
//! | 4 + 4 | of each part: its length, and its CRC-32 |
//! | 4 | the CRC-32 of all before this |
//!
//! The parts are the events, in their order, and then the source and its position, where there is
//! one. Each part has a checksum of its own, and head and table have one together: a damaged byte
//! costs one event, and the others can still be read; damage in the head or the table costs the
//! frame.
//!
//! A frame says nothing of the numbers of its events or of the frame before it: whatever carries it
//! knows them. So the same bytes stand in a segment of a log and in a message, and a server may
//! number the message when it is published.
//!
//! An event is its name, its request id, the time at which it was emitted (seconds and nanoseconds
//! of Unix time), a byte that says whether a key, a trace, a trace's state and a replay follow,
//! those, and the payload. A replay is the emitter that alone reads this entry, and the number of
//! the event's first place. A text is its length in two bytes and itself; a payload is all that is
//! left.

mod part;

use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, BufMut};

use crate::{EmitterId, Event, Sequence, SourcePosition};
use part::{get_event, get_position, put_event, put_position};

const MAGIC: &[u8; 4] = b"BGLF";
const VERSION: u8 = 1;

/// The bytes before the table.
const HEAD: usize = 12;

/// The bytes of the table for each part.
const ROW: usize = 8;

/// The bytes of the checksum of head and table.
const CHECK: usize = 4;

/// The reason why bytes are no frame, or why events don't fit into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame begins here, as far as it goes, and does not end.
    #[error("a frame is cut short: {missing} bytes are missing at least")]
    Short {
        /// The number of bytes that are missing, at least.
        missing: usize,
    },
    /// No frame begins here, or its head or its table is damaged.
    #[error("no frame begins here, or its head is damaged")]
    Head,
    /// A frame is of a version that this code does not know.
    #[error("a frame of version {version}, which is newer than this program: use the newer one")]
    Version {
        /// The version that it names.
        version: u8,
    },
    /// There are too many events, or too many bytes of them.
    #[error(
        "a frame holds at most {} events and {} bytes: make several",
        Frame::MAX_EVENTS,
        Frame::MAX_BYTES
    )]
    TooLarge,
}

/// One part of a frame is not what was written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a part of a frame is damaged")]
pub struct PartDamaged;

/// An entry that only one emitter reads, because it delivers an event again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayOf {
    /// The event's first place in the journal, by which it is known.
    pub origin: Sequence,
    /// The emitter that reads the entry.
    pub emitter: EmitterId,
}

impl ReplayOf {
    /// Names the event of a place, to be delivered again to one emitter.
    pub fn new(origin: Sequence, emitter: EmitterId) -> Self {
        Self { origin, emitter }
    }
}

/// An event as it stands in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FramedEvent {
    /// The event.
    pub event: Arc<Event>,
    /// The replay that it is; `None` for an event that all read who want it.
    pub replay: Option<ReplayOf>,
}

impl FramedEvent {
    /// Makes an event for all that want it.
    pub fn new(event: Arc<Event>) -> Self {
        Self { event, replay: None }
    }

    /// Has only one emitter read it.
    #[must_use]
    pub fn replay(mut self, replay: Option<ReplayOf>) -> Self {
        self.replay = replay;
        self
    }
}

/// Appends a frame to bytes: events in their order, and the position that their source has once
/// they are in.
///
/// # Errors
/// [`FrameError::TooLarge`]. The bytes are then as they were.
pub fn encode_frame<'e>(
    events: impl ExactSizeIterator<Item = (&'e Event, Option<&'e ReplayOf>)>,
    position: Option<&SourcePosition>,
    into: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let start = into.len();
    let written = put_frame(events, position, into);
    if written.is_none() {
        into.truncate(start);
    }
    written.ok_or(FrameError::TooLarge)
}

/// Writes a frame behind the bytes; `None` when it is too large.
fn put_frame<'e>(
    events: impl ExactSizeIterator<Item = (&'e Event, Option<&'e ReplayOf>)>,
    position: Option<&SourcePosition>,
    into: &mut Vec<u8>,
) -> Option<()> {
    let start = into.len();
    let events = Some(events).filter(|events| events.len() <= Frame::MAX_EVENTS)?;
    let count = u16::try_from(events.len()).ok()?;
    let table = FrameTable::length(events.len(), position.is_some());
    into.put_bytes(0, table);
    let mut row = start + HEAD;
    let mut end_part = |into: &mut Vec<u8>, from: usize| {
        let part = into.get(from..)?;
        let (length, check) = (u32::try_from(part.len()).ok()?, crc32fast::hash(part));
        if into.len() - start - table > Frame::MAX_BYTES {
            return None;
        }
        let mut place = into.get_mut(row..row + ROW)?;
        place.put_u32_le(length);
        place.put_u32_le(check);
        row += ROW;
        Some(())
    };
    for (event, replay) in events.take(count.into()) {
        let from = into.len();
        put_event(into, event, replay)?;
        end_part(into, from)?;
    }
    if let Some(position) = position {
        let from = into.len();
        put_position(into, position)?;
        end_part(into, from)?;
    }
    let length = u32::try_from(into.len() - start - table).ok()?;
    let (checked, mut check) = into.get_mut(start..start + table)?.split_at_mut(table - CHECK);
    let mut head = &mut *checked;
    head.put_slice(MAGIC);
    head.put_u8(VERSION);
    head.put_u8(u8::from(position.is_some()));
    head.put_u16_le(count);
    head.put_u32_le(length);
    check.put_u32_le(crc32fast::hash(checked));
    Some(())
}

/// The head of a frame and the table of its parts, with their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameTable {
    /// The place of each part in the frame, and its checksum.
    parts: Vec<(Range<usize>, u32)>,
    count: usize,
}

impl FrameTable {
    /// The length of head and table of a frame, in bytes.
    pub const fn length(events: usize, has_position: bool) -> usize {
        HEAD + ROW * (events + has_position as usize) + CHECK
    }

    /// Reads the head and the table that bytes begin with.
    ///
    /// # Errors
    /// [`FrameError::Short`] when there are fewer bytes than that and these could be a frame's
    /// first, [`FrameError::Head`] and [`FrameError::Version`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if !bytes.iter().zip(MAGIC).all(|(byte, magic)| byte == magic) {
            return Err(FrameError::Head);
        }
        let short = |whole: usize| FrameError::Short { missing: whole - bytes.len() };
        let mut head = bytes.get(MAGIC.len()..HEAD).ok_or_else(|| short(HEAD))?;
        let (version, flags) = (head.get_u8(), head.get_u8());
        let count = usize::from(head.get_u16_le());
        let length = usize::try_from(head.get_u32_le()).map_err(|_| FrameError::Head)?;
        if count > Frame::MAX_EVENTS || length > Frame::MAX_BYTES {
            return Err(FrameError::Head);
        }
        let body = Self::length(count, flags & 1 == 1);
        let checked = bytes.get(..body - CHECK).ok_or_else(|| short(body))?;
        let mut check = bytes.get(body - CHECK..body).ok_or_else(|| short(body))?;
        if crc32fast::hash(checked) != check.get_u32_le() {
            return Err(FrameError::Head);
        }
        if version != VERSION {
            return Err(FrameError::Version { version });
        }
        if flags > 1 {
            return Err(FrameError::Head);
        }
        let mut parts = Vec::with_capacity(count + 1);
        let mut start = body;
        for mut row in checked.get(HEAD..).unwrap_or_default().chunks_exact(ROW) {
            let length = usize::try_from(row.get_u32_le()).map_err(|_| FrameError::Head)?;
            let end = start.checked_add(length).ok_or(FrameError::Head)?;
            parts.push((start..end, row.get_u32_le()));
            start = end;
        }
        if start - body != length {
            return Err(FrameError::Head);
        }
        Ok(Self { parts, count })
    }

    /// The number of events in the frame.
    pub fn events(&self) -> usize {
        self.count
    }

    /// The length of the whole frame, in bytes.
    pub fn frame_length(&self) -> usize {
        let whole = Self::length(self.count, self.parts.len() > self.count);
        self.parts.last().map_or(whole, |(part, _)| part.end)
    }

    /// The place of an event in the frame; `None` where there are not so many.
    pub fn event_part(&self, at: usize) -> Option<Range<usize>> {
        self.parts.get(..self.count)?.get(at).map(|(part, _)| part.clone())
    }

    /// Reads an event from the bytes of its part. Its payload is a copy, so that an event that is
    /// kept keeps nothing else of its frame.
    ///
    /// # Errors
    /// [`PartDamaged`], also when there are not so many events.
    pub fn event(&self, at: usize, part: &[u8]) -> Result<FramedEvent, PartDamaged> {
        let rows = self.parts.get(..self.count).unwrap_or_default();
        rows.get(at)
            .filter(|row| is_good(row, part))
            .and_then(|_| get_event(part))
            .ok_or(PartDamaged)
    }

    /// Reads the position that the source has once the frame is in, from the bytes of the frame.
    fn position(&self, frame: &[u8]) -> Option<Result<SourcePosition, PartDamaged>> {
        let row = self.parts.get(self.count)?;
        let part = frame.get(row.0.clone()).filter(|part| is_good(row, part));
        Some(part.and_then(get_position).ok_or(PartDamaged))
    }
}

/// True when a part is as it was written.
fn is_good((place, check): &(Range<usize>, u32), part: &[u8]) -> bool {
    part.len() == place.len() && crc32fast::hash(part) == *check
}

/// The contents of a frame: each of its parts, or that it is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The events.
    pub events: Vec<Result<FramedEvent, PartDamaged>>,
    /// The position of their source once they are in, if they have one.
    pub position: Option<Result<SourcePosition, PartDamaged>>,
}

impl Frame {
    /// The most events that a frame holds.
    pub const MAX_EVENTS: usize = 1024;

    /// The most bytes that a frame's parts have: 1 GiB.
    pub const MAX_BYTES: usize = 1 << 30;

    /// Reads the frame that bytes begin with, and answers its length with it.
    ///
    /// # Errors
    /// Every [`FrameError`] but the last.
    pub fn decode(bytes: &[u8]) -> Result<(usize, Self), FrameError> {
        let table = FrameTable::decode(bytes)?;
        let length = table.frame_length();
        let missing = length.saturating_sub(bytes.len());
        let frame = bytes.get(..length).ok_or(FrameError::Short { missing })?;
        let part = |at| table.event_part(at).and_then(|part| frame.get(part)).unwrap_or_default();
        let events = (0..table.events()).map(|at| table.event(at, part(at))).collect();
        Ok((length, Self { events, position: table.position(frame) }))
    }

    /// True when no part is damaged.
    pub fn is_whole(&self) -> bool {
        self.events.iter().all(Result::is_ok) && !matches!(self.position, Some(Err(_)))
    }
}

/// Appends an event as it stands in a frame, alone.
///
/// # Errors
/// [`FrameError::TooLarge`], when a text of it is longer than 65,535 bytes. The bytes are then as
/// they were.
pub fn encode_event(
    event: &Event,
    replay: Option<&ReplayOf>,
    into: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let start = into.len();
    let written = put_event(into, event, replay);
    if written.is_none() {
        into.truncate(start);
    }
    written.ok_or(FrameError::TooLarge)
}

/// Reads an event that stands alone. No checksum is compared: that is the caller's.
///
/// # Errors
/// [`PartDamaged`], when it is none.
pub fn decode_event(part: &[u8]) -> Result<FramedEvent, PartDamaged> {
    get_event(part).ok_or(PartDamaged)
}
