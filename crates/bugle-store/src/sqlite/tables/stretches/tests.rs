//! Whatever frames there are, the index has their events.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bugle_core::{Event, FramedEvent, RequestId};
use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::sqlite::tables::schema::create;

fn frame(first: u64, segment: u64, offset: u32, events: &[(u8, usize)]) -> LoggedFrame {
    let event = |(name, bytes): &(u8, usize)| {
        let name = EventName::new(format!("name.{name}")).unwrap();
        let at = Timestamp::from_second(1_000_000 + i64::from(offset)).unwrap();
        let payload = Bytes::from(vec![0; *bytes]);
        FramedEvent::new(Arc::new(Event::new(name, RequestId::random(), payload, at)))
    };
    LoggedFrame {
        first: Sequence(first),
        address: FrameAddress { segment: Sequence(segment), offset, length: offset + 7 },
        events: events.iter().map(event).collect(),
        position: None,
    }
}

proptest! {
    /// Whatever frames follow one another: each event is found where it is, no number between
    /// two stretches is in neither, and a row is read back as it was written.
    #[test]
    fn each_event_is_in_one_stretch(
        frames in prop::collection::vec(
            (0_u64..3, 0_u8..10, prop::collection::vec((0_u8..5, 0_usize..300), 0..9)), 1..40),
        after in 0_u64..1_000,
    ) {
        let (mut last, mut segment, mut offset) = (after, after + 1, 32);
        let mut all = Vec::new();
        for (gap, rolls, events) in &frames {
            let first = last + 1 + gap;
            if *rolls == 0 {
                (segment, offset) = (first, 32);
            }
            all.push(frame(first, segment, offset, events));
            last = all.last().unwrap().last().0;
            offset += 500;
        }
        let stretches = Stretch::of(Sequence(after), &all);
        let conn = Connection::open_in_memory().unwrap();
        create(&conn).unwrap();
        let mut table = StretchTable::new(&conn).unwrap();
        let mut end = after;
        for stretch in &stretches {
            prop_assert_eq!(stretch.first.0, end + 1);
            end = stretch.last.0;
            table.insert(stretch).unwrap();
            let read = last_stretch(&conn).unwrap();
            prop_assert_eq!(read.as_ref(), Some(stretch));
        }
        prop_assert_eq!(end, last);
        let found: Vec<_> = stretches.iter().flat_map(Stretch::events).collect();
        let expected: Vec<_> = all.iter().flat_map(LoggedFrame::numbered).collect();
        prop_assert_eq!(found.len(), expected.len());
        for ((at, name, bytes), (number, it)) in found.into_iter().zip(expected) {
            prop_assert_eq!((at, name, bytes as usize),
                (number, &it.event.name, it.event.payload.len()));
            let stretch = stretches.iter().find(|it| it.last >= at).unwrap();
            let place = stretch.find(at).unwrap();
            let frame = all.iter().find(|it| it.last() >= at).unwrap();
            prop_assert_eq!(place.frame, frame.address);
            prop_assert_eq!(place.at as u64, at.0 - frame.first.0);
        }
        prop_assert_eq!(segments(&conn).unwrap().len(),
            stretches.chunk_by(|one, other| one.segment == other.segment).count());
    }
}
