//! Frames: what one group commit appends, as bytes that a log keeps and a message carries.
//!
//! A frame is a head of 40 bytes and a body. Numbers are little-endian.
//!
//! | bytes | what |
//! | --- | --- |
//! | 4 | `BGLF` |
//! | 1 | the version of all that follows, 1 |
//! | 1 | 1 where the body begins with a source's position, else 0 |
//! | 2 | how many events |
//! | 4 | how many bytes the body has |
//! | 4 | the body's CRC-32 |
//! | 8 | the number of the first event |
//! | 8 | the number of the first event of the frame before, and 0 where there is none |
//! | 4 | the head's CRC-32 of the frame before, and 0 where there is none |
//! | 4 | the head's CRC-32, of the 36 bytes before this |
//!
//! The head has a checksum of its own, so its length can be trusted before the body is there: a
//! good head whose body is short or bad is told from bytes that are no frame. And each frame names
//! the one before it, so a hole between two good frames is seen.
//!
//! The body is the source and its position, where there is one, then each event: its name, its
//! request id, when it was emitted (seconds and nanoseconds of Unix time), a byte that says whether
//! a key, a trace and a trace's state follow, those, and the payload. A text is its length in two
//! bytes and itself; a payload's length has four.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use jiff::Timestamp;

use crate::{Event, EventName, OrderingKey, RequestId, Sequence, SourcePosition, TraceContext};

const MAGIC: &[u8; 4] = b"BGLF";
const VERSION: u8 = 1;

/// What follows the time of an event.
const HAS_KEY: u8 = 1;
const HAS_TRACE: u8 = 2;
const HAS_STATE: u8 = 4;

/// Why bytes are no frame, or events don't fit into one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame begins here, as far as it goes, and does not end.
    #[error("a frame is cut short: {missing} bytes are missing at least")]
    Short {
        /// How many bytes more there would have to be, at least.
        missing: usize,
    },
    /// No frame begins here, or its head is damaged.
    #[error("no frame begins here, or its head is damaged")]
    Head,
    /// A frame of a version that this code does not know.
    #[error("a frame of version {version}, which is newer than this program: use the newer one")]
    Version {
        /// Which one.
        version: u8,
    },
    /// The head is good, and the body is not what was written.
    #[error("the body of a frame is damaged")]
    Body,
    /// There are too many events, or too many bytes of them.
    #[error(
        "a frame holds at most {} events and {} bytes: make several",
        Frame::MAX_EVENTS,
        Frame::MAX_BYTES
    )]
    TooLarge,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameHead {
    /// The number of the first event. Those that follow have the numbers that follow.
    pub first: Sequence,
    /// How many events there are.
    pub count: u16,
    /// Which frame was before, where one was.
    pub previous: Option<FrameLink>,
    has_position: bool,
    body_length: u32,
    body_check: u32,
    check: u32,
}

/// What a frame says of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameLink {
    /// The number of its first event.
    pub first: Sequence,
    /// Its head's checksum.
    pub check: u32,
}

impl FrameHead {
    /// How long a head is, in bytes.
    pub const LENGTH: usize = 40;

    /// Reads the head that bytes begin with.
    ///
    /// # Errors
    /// [`FrameError::Short`] when there are fewer bytes than a head has and these could be one's
    /// first, [`FrameError::Head`] and [`FrameError::Version`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        if !bytes.iter().zip(MAGIC).all(|(byte, magic)| byte == magic) {
            return Err(FrameError::Head);
        }
        let missing = || FrameError::Short { missing: Self::LENGTH - bytes.len() };
        let (head, _) = bytes.split_at_checked(Self::LENGTH).ok_or_else(missing)?;
        let (checked, mut check) =
            head.split_at_checked(Self::LENGTH - 4).ok_or(FrameError::Head)?;
        let check = check.try_get_u32_le().map_err(|_| FrameError::Head)?;
        if crc32fast::hash(checked) != check {
            return Err(FrameError::Head);
        }
        Self::fields(checked, check).ok_or(FrameError::Head)?
    }

    /// The fields of a head whose checksum is good; `None` when they are no head's all the same.
    fn fields(mut head: &[u8], check: u32) -> Option<Result<Self, FrameError>> {
        head.advance(MAGIC.len());
        let version = head.try_get_u8().ok()?;
        if version != VERSION {
            return Some(Err(FrameError::Version { version }));
        }
        let has_position = match head.try_get_u8().ok()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let count = head.try_get_u16_le().ok()?;
        let body_length = head.try_get_u32_le().ok()?;
        let body_check = head.try_get_u32_le().ok()?;
        let first = Sequence(head.try_get_u64_le().ok()?);
        let before = Sequence(head.try_get_u64_le().ok()?);
        let link = FrameLink { first: before, check: head.try_get_u32_le().ok()? };
        let none = FrameLink { first: Sequence(0), check: 0 };
        let previous = (link != none).then_some(link);
        Some(Ok(Self { first, count, previous, has_position, body_length, body_check, check }))
    }

    /// How long the whole frame is, in bytes.
    pub fn frame_length(&self) -> usize {
        Self::LENGTH.saturating_add(usize::try_from(self.body_length).unwrap_or(usize::MAX))
    }

    /// What the frame behind this one says of it.
    pub fn link(&self) -> FrameLink {
        FrameLink { first: self.first, check: self.check }
    }

    /// Writes it, with its checksum.
    fn encode(&mut self) -> [u8; Self::LENGTH] {
        let mut head = [0; Self::LENGTH];
        let (checked, mut check) = head.split_at_mut(Self::LENGTH - 4);
        let link = self.previous.unwrap_or(FrameLink { first: Sequence(0), check: 0 });
        let mut fields = &mut *checked;
        fields.put_slice(MAGIC);
        fields.put_u8(VERSION);
        fields.put_u8(u8::from(self.has_position));
        fields.put_u16_le(self.count);
        fields.put_u32_le(self.body_length);
        fields.put_u32_le(self.body_check);
        fields.put_u64_le(self.first.0);
        fields.put_u64_le(link.first.0);
        fields.put_u32_le(link.check);
        self.check = crc32fast::hash(checked);
        check.put_u32_le(self.check);
        head
    }
}

/// Events that are appended together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame {
    /// The number of the first event. Those that follow have the numbers that follow.
    pub first: Sequence,
    /// Which frame was before, where one was.
    pub previous: Option<FrameLink>,
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// How far their source was read once they are in.
    pub position: Option<SourcePosition>,
}

impl Frame {
    /// The most events that a frame holds.
    pub const MAX_EVENTS: usize = 1024;

    /// The most bytes that a frame's body has: 1 GiB.
    pub const MAX_BYTES: usize = 1 << 30;

    /// Events behind those of another frame, or the first of all.
    pub fn new(first: Sequence, previous: Option<FrameLink>, events: Vec<Arc<Event>>) -> Self {
        Self { first, previous, events, position: None }
    }

    /// Says how far the source was read once these events are in.
    #[must_use]
    pub fn position(mut self, position: Option<SourcePosition>) -> Self {
        self.position = position;
        self
    }

    /// Appends the frame to bytes, and tells its head.
    ///
    /// # Errors
    /// [`FrameError::TooLarge`]. The bytes are then as they were.
    pub fn encode(&self, into: &mut Vec<u8>) -> Result<FrameHead, FrameError> {
        let start = into.len();
        let written = self.write(into, start);
        if written.is_none() {
            into.truncate(start);
        }
        written.ok_or(FrameError::TooLarge)
    }

    /// `None` when it is too large.
    fn write(&self, into: &mut Vec<u8>, start: usize) -> Option<FrameHead> {
        let count = u16::try_from(self.events.len()).ok()?;
        if self.events.len() > Self::MAX_EVENTS {
            return None;
        }
        into.put_bytes(0, FrameHead::LENGTH);
        if let Some(position) = &self.position {
            put_text(into, position.source.as_str())?;
            put_text(into, position.position.as_str())?;
        }
        for event in &self.events {
            put_event(into, event)?;
            if into.len() - start > Self::MAX_BYTES {
                return None;
            }
        }
        let (head, body) = into.get_mut(start..)?.split_at_mut_checked(FrameHead::LENGTH)?;
        let mut fields = FrameHead {
            first: self.first,
            count,
            previous: self.previous,
            has_position: self.position.is_some(),
            body_length: u32::try_from(body.len()).ok()?,
            body_check: crc32fast::hash(body),
            check: 0,
        };
        head.copy_from_slice(&fields.encode());
        Some(fields)
    }

    /// Reads the frame that bytes begin with; its payloads share these bytes. What follows it
    /// begins at [`FrameHead::frame_length`].
    ///
    /// # Errors
    /// Every [`FrameError`] but the last.
    pub fn decode(bytes: &Bytes) -> Result<(FrameHead, Self), FrameError> {
        let head = FrameHead::decode(bytes)?;
        let missing = head.frame_length().saturating_sub(bytes.len());
        if missing > 0 {
            return Err(FrameError::Short { missing });
        }
        let mut body = bytes.slice(FrameHead::LENGTH..head.frame_length());
        if crc32fast::hash(&body) != head.body_check {
            return Err(FrameError::Body);
        }
        let frame = Self::read(head, &mut body).filter(|_| body.is_empty());
        Ok((head, frame.ok_or(FrameError::Body)?))
    }

    /// `None` when the body is not what the head says, though its checksum is good.
    fn read(head: FrameHead, body: &mut Bytes) -> Option<Self> {
        let position = if head.has_position {
            Some(SourcePosition::new(get_text(body)?, get_text(body)?).ok()?)
        } else {
            None
        };
        let mut events = Vec::with_capacity(usize::from(head.count));
        for _ in 0..head.count {
            events.push(Arc::new(get_event(body)?));
        }
        Some(Self { first: head.first, previous: head.previous, events, position })
    }
}

fn put_event(into: &mut Vec<u8>, event: &Event) -> Option<()> {
    put_text(into, event.name.as_str())?;
    put_text(into, event.request_id.as_str())?;
    into.put_i64_le(event.emitted_at.as_second());
    into.put_i32_le(event.emitted_at.subsec_nanosecond());
    let trace = event.trace.as_deref();
    let state = trace.and_then(|trace| trace.tracestate.as_deref());
    let flag = |is: bool, flag| if is { flag } else { 0 };
    into.put_u8(
        flag(event.key.is_some(), HAS_KEY)
            | flag(trace.is_some(), HAS_TRACE)
            | flag(state.is_some(), HAS_STATE),
    );
    let texts = [
        event.key.as_ref().map(|key| key.as_str()),
        trace.map(|it| it.traceparent.as_str()),
        state,
    ];
    for text in texts.into_iter().flatten() {
        put_text(into, text)?;
    }
    into.put_u32_le(u32::try_from(event.payload.len()).ok()?);
    into.put_slice(&event.payload);
    Some(())
}

fn get_event(body: &mut Bytes) -> Option<Event> {
    let name = EventName::new(get_text(body)?).ok()?;
    let request_id = RequestId::new(get_text(body)?).ok()?;
    let (second, nanosecond) = (body.try_get_i64_le().ok()?, body.try_get_i32_le().ok()?);
    let emitted_at = Timestamp::new(second, nanosecond).ok()?;
    let flags = body.try_get_u8().ok()?;
    if flags > HAS_KEY | HAS_TRACE | HAS_STATE || flags & (HAS_TRACE | HAS_STATE) == HAS_STATE {
        return None;
    }
    let mut text = |flag| if flags & flag == 0 { Some(None) } else { get_text(body).map(Some) };
    let (key, traceparent, state) = (text(HAS_KEY)?, text(HAS_TRACE)?, text(HAS_STATE)?);
    let key = key.map(OrderingKey::new).transpose().ok()?;
    let trace = traceparent.map(TraceContext::new).transpose().ok()?;
    let trace = match (trace, state) {
        (Some(trace), Some(state)) => Some(trace.tracestate(state).ok()?),
        (trace, _) => trace,
    };
    let length = usize::try_from(body.try_get_u32_le().ok()?).ok()?;
    if length > body.len() {
        return None;
    }
    let payload = body.split_to(length);
    Some(Event::new(name, request_id, payload, emitted_at).key(key).trace(trace))
}

fn put_text(into: &mut Vec<u8>, text: &str) -> Option<()> {
    into.put_u16_le(u16::try_from(text.len()).ok()?);
    into.put_slice(text.as_bytes());
    Some(())
}

fn get_text(body: &mut Bytes) -> Option<String> {
    let length = usize::from(body.try_get_u16_le().ok()?);
    if length > body.len() {
        return None;
    }
    String::from_utf8(body.split_to(length).into()).ok()
}
