//! Frames: what was written is read, nothing else is taken for one, and damage costs what it hits.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bugle_core::{
    EmitterId, Event, EventName, Frame, FrameError, FrameTable, FramedEvent, OrderingKey,
    PartDamaged, ReplayOf, RequestId, Sequence, SourcePosition, TraceContext, decode_event,
    encode_event, encode_frame,
};
use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn event(payload: &str) -> FramedEvent {
    let at = "2024-05-01T08:30:00.123456789Z".parse().unwrap();
    let name = EventName::new("invoice.paid").unwrap();
    let payload = Bytes::copy_from_slice(payload.as_bytes());
    FramedEvent::new(Arc::new(Event::new(name, RequestId::new("r-1").unwrap(), payload, at)))
}

/// An event with all that one may have.
fn whole(payload: &str) -> FramedEvent {
    let trace = TraceContext::new(TRACE).unwrap().tracestate("vendor=1").unwrap();
    let plain = Event::clone(&event(payload).event);
    let event = plain.key(Some(OrderingKey::new("customer-7").unwrap())).trace(Some(trace));
    let replay = ReplayOf::new(Sequence(3), EmitterId::new("billing").unwrap());
    FramedEvent::new(Arc::new(event)).replay(Some(replay))
}

fn encode(
    events: &[FramedEvent],
    position: Option<&SourcePosition>,
    into: &mut Vec<u8>,
) -> Result<(), FrameError> {
    encode_frame(events.iter().map(|it| (&*it.event, it.replay.as_ref())), position, into)
}

fn written(events: &[FramedEvent], position: Option<&SourcePosition>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(events, position, &mut bytes).unwrap();
    bytes
}

/// Some frame.
fn sample() -> (Vec<FramedEvent>, SourcePosition) {
    let position = SourcePosition::new("outbox", "line 12").unwrap();
    (vec![event("{}"), whole(r#"{"id":1}"#)], position)
}

fn sample_bytes() -> Vec<u8> {
    let (events, position) = sample();
    written(&events, Some(&position))
}

/// The length of head and table of the sample, in bytes.
const TABLE: usize = FrameTable::length(2, true);

fn read(bytes: &[u8]) -> (Vec<FramedEvent>, Option<SourcePosition>) {
    let (length, frame) = Frame::decode(bytes).unwrap();
    assert!(length <= bytes.len() && frame.is_whole());
    (frame.events.into_iter().map(Result::unwrap).collect(), frame.position.map(Result::unwrap))
}

/// Makes the checksum of head and table good again.
fn reseal(bytes: &mut [u8], table: usize) {
    let check = crc32fast::hash(&bytes[..table - 4]).to_le_bytes();
    bytes[table - 4..table].copy_from_slice(&check);
}

#[test]
fn a_frame_is_laid_out_as_its_documentation_says() {
    let bytes = written(&[event("{}")], None);
    let part = 2 + 12 + 2 + 3 + 8 + 4 + 1 + 2;
    assert_eq!(bytes.len(), 12 + 8 + 4 + part);
    assert_eq!(&bytes[..8], b"BGLF\x01\x00\x01\x00");
    assert_eq!(bytes[8..12], (part as u32).to_le_bytes());
    assert_eq!(bytes[12..16], (part as u32).to_le_bytes());
    assert_eq!(bytes[16..20], crc32fast::hash(&bytes[24..]).to_le_bytes());
    assert_eq!(bytes[20..24], crc32fast::hash(&bytes[..20]).to_le_bytes());
    assert_eq!(&bytes[24..38], b"\x0c\x00invoice.paid");
    assert!(bytes.ends_with(b"\x00{}"));
}

#[test]
fn a_frame_that_was_written_by_the_first_version_is_read_for_ever() {
    // Written by this code when the version was 1: what is here must not be changed.
    let kept = include_bytes!("data/frame-1.bin");
    assert_eq!(sample_bytes(), kept.as_slice());
    let (events, position) = sample();
    assert_eq!(read(kept), (events, Some(position)));
}

#[test]
fn frames_follow_one_another() {
    let (events, position) = sample();
    let mut bytes = Vec::new();
    for event in &events {
        encode(std::slice::from_ref(event), Some(&position), &mut bytes).unwrap();
    }
    let mut rest = &bytes[..];
    for event in events {
        let (length, _) = Frame::decode(rest).unwrap();
        assert_eq!(read(rest), (vec![event], Some(position.clone())));
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
}

#[test]
fn a_frame_without_events_carries_a_position() {
    let position = SourcePosition::new("outbox", "").unwrap();
    assert_eq!(read(&written(&[], Some(&position))), (vec![], Some(position)));
}

#[test]
fn what_is_cut_short_is_told_from_what_is_damaged() {
    let bytes = sample_bytes();
    for length in 0..bytes.len() {
        let whole = match length {
            0..12 => 12,
            12..TABLE => TABLE,
            _ => bytes.len(),
        };
        let found = Frame::decode(&bytes[..length]).unwrap_err();
        assert_eq!(found, FrameError::Short { missing: whole - length }, "{length}");
    }
}

#[test]
fn a_flipped_bit_costs_its_own_part() {
    let bytes = sample_bytes();
    let (events, position) = sample();
    let table = FrameTable::decode(&bytes).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let found = Frame::decode(&damaged);
            if at < TABLE {
                // More parts than there were are not there; else the checksum tells.
                let error = found.unwrap_err();
                let short = matches!(error, FrameError::Short { .. }) && (5..8).contains(&at);
                assert!(error == FrameError::Head || short, "byte {at}, bit {bit}: {error}");
                continue;
            }
            let (length, frame) = found.unwrap();
            assert_eq!(length, bytes.len());
            assert!(!frame.is_whole());
            for (number, event) in events.iter().enumerate() {
                let hit = table.event_part(number).unwrap().contains(&at);
                let expected = if hit { Err(PartDamaged) } else { Ok(event.clone()) };
                assert_eq!(frame.events[number], expected, "byte {at}, bit {bit}");
            }
            let hit = at >= table.event_part(1).unwrap().end;
            let expected = if hit { Err(PartDamaged) } else { Ok(position.clone()) };
            assert_eq!(frame.position, Some(expected), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn one_event_is_read_without_the_others() {
    let bytes = sample_bytes();
    let (events, _) = sample();
    let table = FrameTable::decode(&bytes[..TABLE]).unwrap();
    assert_eq!((table.events(), table.frame_length()), (2, bytes.len()));
    for (at, event) in events.into_iter().enumerate() {
        let part = table.event_part(at).unwrap();
        assert_eq!(table.event(at, &bytes[part.clone()]).unwrap(), event);
        assert_eq!(table.event(at, &bytes[part.start..part.end - 1]), Err(PartDamaged));
        assert_eq!(table.event(1 - at, &bytes[part]), Err(PartDamaged));
    }
    // The position is no event.
    assert_eq!(table.event_part(2), None);
    assert_eq!(table.event(2, &bytes[table.event_part(1).unwrap().end..]), Err(PartDamaged));
}

#[test]
fn an_event_stands_alone_as_in_a_frame() {
    let bytes = sample_bytes();
    let table = FrameTable::decode(&bytes).unwrap();
    for (at, event) in sample().0.into_iter().enumerate() {
        let mut alone = Vec::new();
        encode_event(&event.event, event.replay.as_ref(), &mut alone).unwrap();
        assert_eq!(alone, bytes[table.event_part(at).unwrap()]);
        assert_eq!(decode_event(&alone).unwrap(), event);
    }
    assert_eq!(decode_event(b"no event"), Err(PartDamaged));
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let mut newer = sample_bytes();
    newer[4] = 2;
    assert_eq!(Frame::decode(&newer), Err(FrameError::Head));
    reseal(&mut newer, TABLE);
    let error = Frame::decode(&newer).unwrap_err();
    assert_eq!(error, FrameError::Version { version: 2 });
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn a_good_checksum_over_a_wrong_head_is_no_frame() {
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut bytes = sample_bytes();
        change(&mut bytes);
        reseal(&mut bytes, TABLE);
        Frame::decode(&bytes).map(|_| ())
    };
    assert_eq!(changed(|_| {}), Ok(()));
    for change in [
        // Flags that nobody knows; parts that have not the length of all; too much of everything.
        (|bytes| bytes[5] = 3) as fn(&mut Vec<u8>),
        |bytes| bytes[8] += 1,
        |bytes| bytes[12] += 1,
        |bytes| bytes[12..16].fill(0xff),
        |bytes| bytes[8..12].fill(0xff),
        |bytes| bytes[6..8].fill(0xff),
    ] {
        assert_eq!(changed(change), Err(FrameError::Head));
    }
}

#[test]
fn a_good_checksum_over_a_wrong_event_is_none() {
    let bytes = written(&[event("{}")], None);
    let table = FrameTable::length(1, false);
    let changed = |change: fn(&mut Vec<u8>)| {
        let mut part = bytes[table..].to_vec();
        change(&mut part);
        let mut frame = bytes[..table].to_vec();
        frame[8..12].copy_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
        frame[12..16].copy_from_slice(&u32::try_from(part.len()).unwrap().to_le_bytes());
        frame[16..20].copy_from_slice(&crc32fast::hash(&part).to_le_bytes());
        reseal(&mut frame, table);
        frame.extend(&part);
        Frame::decode(&frame).unwrap().1.is_whole()
    };
    assert!(changed(|_| {}));
    // A payload is whatever is left.
    assert!(changed(|part| part.push(b' ')));
    for change in [
        // No name, no UTF-8, no time, no such flags, a state without a trace, nothing.
        (|part| part[2] = b' ') as fn(&mut Vec<u8>),
        |part| part[2] = 0xff,
        |part| part[19..27].fill(0x7f),
        |part| part[31] = 16,
        |part| part[31] = 4,
        |part| part.clear(),
        |part| part.fill(0),
    ] {
        assert!(!changed(change));
    }
}

#[test]
fn a_frame_has_bounds() {
    let mut many = vec![event("{}"); Frame::MAX_EVENTS + 1];
    let mut bytes = vec![1, 2, 3];
    assert_eq!(encode(&many, None, &mut bytes), Err(FrameError::TooLarge));
    assert_eq!(bytes, [1, 2, 3]);
    many.pop();
    assert_eq!(read(&written(&many, None)), (many, None));
}

fn any_event() -> impl Strategy<Value = FramedEvent> {
    let name = "[a-z]{1,9}(\\.[a-zA-Z0-9_-]{1,9}){0,3}";
    let key = prop::option::of("[^\\p{C}]{1,40}");
    let trace = prop::option::of(prop::option::of("[ -~]{0,80}"));
    let at = (-2_000_000_000_i64..4_000_000_000, 0..1_000_000_000);
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    let replay = prop::option::of((any::<u64>(), "[^\\p{C}]{1,40}"));
    (name, "[!-\\-/-~]{1,60}", key, trace, at, payload, replay).prop_map(
        |(name, id, key, trace, (second, nanosecond), payload, replay)| {
            let trace = trace.map(|state| {
                let trace = TraceContext::new(TRACE).unwrap();
                state.map_or_else(|| Ok(trace.clone()), |it| trace.clone().tracestate(it)).unwrap()
            });
            let at = Timestamp::new(second, nanosecond).unwrap();
            let id = RequestId::new(id).unwrap();
            let event = Event::new(EventName::new(name).unwrap(), id, payload.into(), at)
                .key(key.map(|key| OrderingKey::new(key).unwrap()))
                .trace(trace);
            let replay = replay.map(|(origin, emitter)| {
                ReplayOf::new(Sequence(origin), EmitterId::new(emitter).unwrap())
            });
            FramedEvent::new(Arc::new(event)).replay(replay)
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        events in prop::collection::vec(any_event(), 0..20),
        position in prop::option::of(("[^\\p{C}]{1,60}", "[^\\p{C}]{0,60}")),
        behind in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let position = position.map(|(source, at)| SourcePosition::new(source, at).unwrap());
        let mut bytes = written(&events, position.as_ref());
        let length = bytes.len();
        bytes.extend(behind);
        prop_assert_eq!(Frame::decode(&bytes).unwrap().0, length);
        prop_assert_eq!(read(&bytes), (events, position));
    }

    #[test]
    fn no_bytes_make_reading_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in 0_usize..200,
        sealed in any::<bool>(),
    ) {
        let _ = Frame::decode(&bytes);
        let _ = decode_event(&bytes);
        // And behind checksums that are good.
        let mut frame = sample_bytes();
        frame.truncate(at.max(4));
        frame.extend(&bytes);
        if sealed && frame.len() >= TABLE {
            reseal(&mut frame, TABLE);
        }
        let _ = Frame::decode(&frame);
    }
}
