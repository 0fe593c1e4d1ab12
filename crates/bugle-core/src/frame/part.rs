//! One part of a frame: an event, or a position of a source.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use jiff::Timestamp;

use super::{FramedEvent, ReplayOf};
use crate::{
    EmitterId, Event, EventName, OrderingKey, RequestId, Sequence, SourcePosition, TraceContext,
};

/// The bits of the byte behind an event's time, one for each part that follows.
const HAS_KEY: u8 = 1;
const HAS_TRACE: u8 = 2;
const HAS_STATE: u8 = 4;
const HAS_REPLAY: u8 = 8;

/// Writes an event; `None` when a text of it is too long.
pub(super) fn put_event(
    into: &mut Vec<u8>,
    event: &Event,
    replay: Option<&ReplayOf>,
) -> Option<()> {
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
            | flag(state.is_some(), HAS_STATE)
            | flag(replay.is_some(), HAS_REPLAY),
    );
    let texts = [
        event.key.as_ref().map(|key| key.as_str()),
        trace.map(|it| it.traceparent.as_str()),
        state,
        replay.map(|it| it.emitter.as_str()),
    ];
    for text in texts.into_iter().flatten() {
        put_text(into, text)?;
    }
    if let Some(replay) = replay {
        into.put_u64_le(replay.origin.0);
    }
    into.put_slice(&event.payload);
    Some(())
}

/// Reads an event whose checksum is good; `None` when it is none all the same.
pub(super) fn get_event(mut part: &[u8]) -> Option<FramedEvent> {
    let name = EventName::new(get_text(&mut part)?).ok()?;
    let request_id = RequestId::new(get_text(&mut part)?).ok()?;
    let (second, nanosecond) = (part.try_get_i64_le().ok()?, part.try_get_i32_le().ok()?);
    let emitted_at = Timestamp::new(second, nanosecond).ok()?;
    let flags = part.try_get_u8().ok()?;
    let known = HAS_KEY | HAS_TRACE | HAS_STATE | HAS_REPLAY;
    if flags & !known != 0 || flags & (HAS_TRACE | HAS_STATE) == HAS_STATE {
        return None;
    }
    let mut text = |flag| match flags & flag {
        0 => Some(None),
        _ => get_text(&mut part).map(Some),
    };
    let (key, traceparent, state) = (text(HAS_KEY)?, text(HAS_TRACE)?, text(HAS_STATE)?);
    let emitter = text(HAS_REPLAY)?;
    let key = key.map(OrderingKey::new).transpose().ok()?;
    let trace = traceparent.map(TraceContext::new).transpose().ok()?;
    let trace = match (trace, state) {
        (Some(trace), Some(state)) => Some(trace.tracestate(state).ok()?),
        (trace, _) => trace,
    };
    let replay = match emitter {
        Some(emitter) => {
            let origin = Sequence(part.try_get_u64_le().ok()?);
            Some(ReplayOf::new(origin, EmitterId::new(emitter).ok()?))
        }
        None => None,
    };
    let payload = Bytes::copy_from_slice(part);
    let event = Event::new(name, request_id, payload, emitted_at).key(key).trace(trace);
    Some(FramedEvent::new(Arc::new(event)).replay(replay))
}

/// Writes a source and its position.
pub(super) fn put_position(into: &mut Vec<u8>, of: &SourcePosition) -> Option<()> {
    put_text(into, of.source.as_str())?;
    put_text(into, of.position.as_str())
}

/// Reads a source and its position.
pub(super) fn get_position(mut part: &[u8]) -> Option<SourcePosition> {
    let position = SourcePosition::new(get_text(&mut part)?, get_text(&mut part)?).ok()?;
    part.is_empty().then_some(position)
}

fn put_text(into: &mut Vec<u8>, text: &str) -> Option<()> {
    into.put_u16_le(u16::try_from(text.len()).ok()?);
    into.put_slice(text.as_bytes());
    Some(())
}

fn get_text<'p>(part: &mut &'p [u8]) -> Option<&'p str> {
    let length = usize::from(part.try_get_u16_le().ok()?);
    let (text, rest) = part.split_at_checked(length)?;
    *part = rest;
    str::from_utf8(text).ok()
}
