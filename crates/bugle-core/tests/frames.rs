//! Frames: what was written is read, and nothing else is taken for one.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bugle_core::{
    Event, EventName, Frame, FrameError, FrameHead, FrameLink, OrderingKey, RequestId, Sequence,
    SourcePosition, TraceContext,
};
use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn event(payload: &str) -> Event {
    let at = "2024-05-01T08:30:00.123456789Z".parse().unwrap();
    let name = EventName::new("invoice.paid").unwrap();
    Event::new(name, RequestId::new("r-1").unwrap(), Bytes::copy_from_slice(payload.as_bytes()), at)
}

/// An event with all that one may have.
fn whole(payload: &str) -> Event {
    let trace = TraceContext::new(TRACE).unwrap().tracestate("vendor=1").unwrap();
    event(payload).key(Some(OrderingKey::new("customer-7").unwrap())).trace(Some(trace))
}

fn frame(events: Vec<Event>) -> Frame {
    Frame::new(Sequence(7), None, events.into_iter().map(Arc::new).collect())
}

fn written(frame: &Frame) -> (FrameHead, Bytes) {
    let mut bytes = Vec::new();
    let head = frame.encode(&mut bytes).unwrap();
    (head, bytes.into())
}

/// Some frame.
fn sample() -> Frame {
    let position = SourcePosition::new("outbox", "line 12").unwrap();
    frame(vec![event("{}"), whole(r#"{"id":1}"#)]).position(Some(position))
}

#[test]
fn a_frame_is_laid_out_as_its_documentation_says() {
    let (head, bytes) = written(&frame(vec![event("{}")]));
    assert_eq!(bytes.len(), FrameHead::LENGTH + 2 + 12 + 2 + 3 + 8 + 4 + 1 + 4 + 2);
    assert_eq!(bytes.len(), head.frame_length());
    assert_eq!(&bytes[..8], b"BGLF\x01\x00\x01\x00");
    assert_eq!(bytes[16..24], 7_u64.to_le_bytes());
    assert_eq!(bytes[24..36], [0; 12]);
    assert_eq!(&bytes[40..54], b"\x0c\x00invoice.paid");
    assert!(bytes.ends_with(b"\x00\x02\x00\x00\x00{}"));
}

#[test]
fn a_frame_that_was_written_by_the_first_version_is_read_for_ever() {
    // Written by this code when the version was 1: what is here must not be changed.
    let (_, bytes) = written(&sample());
    let kept = include_bytes!("data/frame-1.bin");
    assert_eq!(bytes, kept.as_slice());
    assert_eq!(Frame::decode(&Bytes::from_static(kept)).unwrap().1, sample());
}

#[test]
fn frames_follow_one_another() {
    let (mut bytes, mut previous) = (Vec::new(), None::<FrameLink>);
    let mut frames = Vec::new();
    for number in 0..5 {
        let events = (0..=number).map(|at| Arc::new(event(&format!("{{\"at\":{at}}}")))).collect();
        let frame = Frame::new(Sequence(10 * number + 1), previous, events);
        previous = Some(frame.encode(&mut bytes).unwrap().link());
        frames.push(frame);
    }
    let (mut rest, mut link) = (Bytes::from(bytes), None);
    for frame in frames {
        let (head, read) = Frame::decode(&rest).unwrap();
        assert_eq!(read, frame);
        // A frame knows the one before it, and none else.
        assert_eq!(read.previous, link);
        link = Some(head.link());
        rest = rest.slice(head.frame_length()..);
    }
    assert!(rest.is_empty());
}

#[test]
fn a_frame_without_events_carries_a_position() {
    let position = SourcePosition::new("outbox", "").unwrap();
    let frame = frame(vec![]).position(Some(position));
    assert_eq!(Frame::decode(&written(&frame).1).unwrap().1, frame);
}

#[test]
fn what_is_cut_short_is_told_from_what_is_damaged() {
    let (head, bytes) = written(&sample());
    for length in 0..bytes.len() {
        let found = Frame::decode(&bytes.slice(..length)).unwrap_err();
        let whole = if length < FrameHead::LENGTH { FrameHead::LENGTH } else { bytes.len() };
        assert_eq!(found, FrameError::Short { missing: whole - length }, "{length}");
    }
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.to_vec();
            damaged[at] ^= 1 << bit;
            let found = Frame::decode(&damaged.into()).unwrap_err();
            let part = if at < FrameHead::LENGTH { FrameError::Head } else { FrameError::Body };
            assert_eq!(found, part, "byte {at}, bit {bit}");
        }
    }
    // A good head tells its length, whatever the body is.
    assert_eq!(FrameHead::decode(&bytes[..FrameHead::LENGTH]).unwrap(), head);
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let (_, bytes) = written(&sample());
    let mut newer = bytes.to_vec();
    newer[4] = 2;
    let check = crc32fast::hash(&newer[..36]).to_le_bytes();
    newer[36..40].copy_from_slice(&check);
    let error = Frame::decode(&newer.into()).unwrap_err();
    assert_eq!(error, FrameError::Version { version: 2 });
    assert!(error.to_string().contains("version 2"), "{error}");
}

#[test]
fn a_good_checksum_over_a_wrong_body_is_no_frame() {
    let (_, bytes) = written(&frame(vec![event("{}")]));
    let resealed = |change: fn(&mut Vec<u8>)| {
        let mut bytes = bytes.to_vec();
        change(&mut bytes);
        let body = u32::try_from(bytes.len() - FrameHead::LENGTH).unwrap();
        bytes[8..12].copy_from_slice(&body.to_le_bytes());
        let check = crc32fast::hash(&bytes[40..]).to_le_bytes();
        bytes[12..16].copy_from_slice(&check);
        let check = crc32fast::hash(&bytes[..36]).to_le_bytes();
        bytes[36..40].copy_from_slice(&check);
        Frame::decode(&bytes.into()).map(|_| ())
    };
    assert_eq!(resealed(|_| {}), Ok(()));
    for change in [
        // More bytes than events, and fewer.
        (|bytes| bytes.push(0)) as fn(&mut Vec<u8>),
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes[6] = 2,
        // No name, no UTF-8, no time, no such flags, a state without a trace.
        |bytes| bytes[42] = b' ',
        |bytes| bytes[42] = 0xff,
        |bytes| bytes[59..67].fill(0x7f),
        |bytes| bytes[71] = 8,
        |bytes| bytes[71] = 4,
    ] {
        assert_eq!(resealed(change), Err(FrameError::Body));
    }
}

#[test]
fn a_frame_has_bounds() {
    let mut bytes = vec![1, 2, 3];
    let many = vec![event("{}"); Frame::MAX_EVENTS + 1];
    assert_eq!(frame(many).encode(&mut bytes), Err(FrameError::TooLarge));
    assert_eq!(bytes, [1, 2, 3]);
    let most = frame(vec![event("{}"); Frame::MAX_EVENTS]);
    assert_eq!(Frame::decode(&written(&most).1).unwrap().1, most);
}

fn any_event() -> impl Strategy<Value = Event> {
    let name = "[a-z]{1,9}(\\.[a-zA-Z0-9_-]{1,9}){0,3}";
    let key = prop::option::of("[^\\p{C}]{1,40}");
    let trace = prop::option::of(prop::option::of("[ -~]{0,80}"));
    let at = (-2_000_000_000_i64..4_000_000_000, 0..1_000_000_000);
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    (name, "[!-\\-/-~]{1,60}", key, trace, at, payload).prop_map(
        |(name, id, key, trace, (second, nanosecond), payload)| {
            let trace = trace.map(|state| {
                let trace = TraceContext::new(TRACE).unwrap();
                state.map_or_else(|| Ok(trace.clone()), |it| trace.clone().tracestate(it)).unwrap()
            });
            let at = Timestamp::new(second, nanosecond).unwrap();
            let id = RequestId::new(id).unwrap();
            Event::new(EventName::new(name).unwrap(), id, payload.into(), at)
                .key(key.map(|key| OrderingKey::new(key).unwrap()))
                .trace(trace)
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        first in any::<u64>(),
        events in prop::collection::vec(any_event(), 0..20),
        position in prop::option::of(("[^\\p{C}]{1,60}", "[^\\p{C}]{0,60}")),
        behind in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let position = position.map(|(source, at)| SourcePosition::new(source, at).unwrap());
        let events = events.into_iter().map(Arc::new).collect();
        let before = written(&sample()).0.link();
        let frame = Frame::new(Sequence(first), Some(before), events).position(position);
        let (head, bytes) = written(&frame);
        prop_assert_eq!(head.frame_length(), bytes.len());
        let followed = Bytes::from([&bytes[..], &behind].concat());
        prop_assert_eq!(Frame::decode(&followed).unwrap(), (head, frame));
    }

    #[test]
    fn no_bytes_make_reading_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        at in 0_usize..100,
        sealed in any::<bool>(),
    ) {
        let _ = Frame::decode(&Bytes::from(bytes.clone()));
        // And behind checksums that are good.
        let mut frame = written(&sample()).1.to_vec();
        let at = FrameHead::LENGTH + at.min(frame.len() - FrameHead::LENGTH);
        frame.truncate(at);
        frame.extend(&bytes);
        if sealed {
            let body = u32::try_from(frame.len() - FrameHead::LENGTH).unwrap();
            frame[8..12].copy_from_slice(&body.to_le_bytes());
            let check = crc32fast::hash(&frame[40..]).to_le_bytes();
            frame[12..16].copy_from_slice(&check);
            let check = crc32fast::hash(&frame[..36]).to_le_bytes();
            frame[36..40].copy_from_slice(&check);
        }
        let _ = Frame::decode(&frame.into());
    }
}
