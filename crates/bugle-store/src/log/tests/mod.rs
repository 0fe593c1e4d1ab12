//! The log as a whole: what was written is there again, and nothing else.

mod damage;
pub(super) mod faults;
mod model;
mod speed;
mod support;

use bugle_core::{ReplayOf, SourcePosition};

use super::*;
use support::*;

#[test]
fn what_was_written_is_found_again() {
    let store = directory();
    let (mut writer, reader, found) = open_log(store.path(), &Known::default()).unwrap();
    assert!(found.is_empty());
    let addresses: Vec<_> = (1..=10).map(|events| append(&mut writer, events)).collect();
    let frame = reader.frame(Sequence(2), addresses[1]).unwrap();
    assert_eq!(frame.events[1].as_ref().unwrap().event, event(3));
    assert_eq!(reader.events(Sequence(2), addresses[1], 1..2).unwrap(), frame.events[1..]);
    assert_eq!(reader.events(Sequence(2), addresses[1], 0..9).unwrap(), frame.events);
    drop(writer);
    let (writer, _, found) = open_log(store.path(), &answered(55)).unwrap();
    assert_eq!(found.iter().map(|it| it.address).collect::<Vec<_>>(), addresses);
    assert_eq!(writer.next(), Sequence(56));
}

#[test]
fn what_the_index_has_is_not_visited() {
    let store = directory();
    let (mut writer, ..) = open_log(store.path(), &Known::default()).unwrap();
    let addresses: Vec<_> = (1..=4).map(|_| append(&mut writer, 1)).collect();
    drop(writer);
    for (indexed, address) in (1..).map(Sequence).zip(addresses) {
        let known = Known { last: Some((indexed, address)), ..answered(4) };
        let (_, reader, found) = open_log(store.path(), &known).unwrap();
        let firsts: Vec<_> = found.iter().map(|it| it.first.0).collect();
        assert_eq!(firsts, (indexed.0 + 1..=4).collect::<Vec<_>>());
        let mut visited = Vec::new();
        let visit = |found: Found| -> Result<(), SegmentError> {
            visited.push(found.first.0);
            Ok(())
        };
        reader.behind(known.last, visit).unwrap();
        assert_eq!(visited, firsts);
    }
}

#[test]
fn frames_carry_positions_and_replays_and_numbers_may_have_gaps() {
    let store = directory();
    let (mut writer, ..) = open_log(store.path(), &Known::default()).unwrap();
    let position = SourcePosition::new("source", "17").unwrap();
    let replay = ReplayOf::new(Sequence(1), bugle_core::EmitterId::new("billing").unwrap());
    writer.begin();
    writer.frame(Sequence(7), Some(&position), [].into_iter()).unwrap();
    assert_eq!(writer.write().unwrap().len(), 1);
    assert_eq!(writer.next(), Sequence(8), "a position alone takes a number");
    writer.begin();
    let event = event(20);
    writer.frame(Sequence(20), None, [(&*event, Some(&replay))].into_iter()).unwrap();
    writer.write().unwrap();
    drop(writer);
    let (_, _, found) = open_log(store.path(), &answered(20)).unwrap();
    assert_eq!(found.iter().map(|it| it.first.0).collect::<Vec<_>>(), [7, 20]);
    assert_eq!(found[0].frame.position, Some(Ok(position)));
    assert_eq!(found[1].frame.events[0].as_ref().unwrap().replay, Some(replay));
}

#[test]
fn segments_grow_up_to_their_limit_and_go_as_whole_files() {
    let store = directory();
    let options = LogOptions { segment_bytes: 4 << 20, ..LogOptions::default() };
    let (mut writer, reader, _) = open_with(store.path(), &options, &Known::default()).unwrap();
    let large = 300 << 10;
    let mut addresses = Vec::new();
    for _ in 0..60 {
        addresses.push((writer.next(), append_sized(&mut writer, 1, large)));
    }
    let segments = reader.segments();
    let sizes: Vec<_> = segments.iter().map(|it| it.bytes.div_ceil(1 << 20)).collect();
    assert_eq!(sizes, [1, 2, 4, 4, 4, 4], "{segments:?}");
    assert_eq!(segments[0].last.unwrap().0 + 1, segments[1].first.0);
    assert_eq!(writer.segment(), Some(segments[5].first));
    // One in the middle goes; its file is not missed.
    reader.retire(segments[2].first).unwrap();
    assert!(reader.frame(addresses[0].0, addresses[0].1).is_ok());
    let (first, gone) = addresses.iter().find(|it| it.1.segment == segments[2].first).unwrap();
    assert!(reader.frame(*first, *gone).unwrap_err().is_missing());
    drop(writer);
    let known = Known {
        last: addresses.last().copied(),
        segments: [0, 1, 3, 4, 5].map(|at: usize| segments[at].first).into(),
        ..answered(60)
    };
    let (_, reader, found) = open_with(store.path(), &options, &known).unwrap();
    assert!(found.is_empty());
    let (first, address) = addresses[0];
    assert!(reader.frame(first, address).unwrap().is_whole());
    // One that is not known any more goes when the log is opened, and one that is known is missed.
    let less = Known { segments: known.segments[1..].into(), ..known.clone() };
    drop(open_with(store.path(), &options, &less).unwrap());
    let error = open_with(store.path(), &options, &known).unwrap_err();
    assert!(matches!(error, SegmentError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("00000000000000000001.log"), "{error}");
}

#[test]
fn a_write_that_is_larger_than_a_segment_has_one_of_its_own() {
    let store = directory();
    let options = LogOptions { segment_bytes: 1 << 20, ..LogOptions::default() };
    let (mut writer, reader, _) = open_with(store.path(), &options, &Known::default()).unwrap();
    append(&mut writer, 1);
    let large = append_sized(&mut writer, 3, 1 << 20);
    append(&mut writer, 1);
    assert_eq!(reader.segments().len(), 3);
    assert!(reader.frame(Sequence(2), large).unwrap().is_whole());
    // Of a large frame only what is wanted is read.
    let events = reader.events(Sequence(2), large, 1..3).unwrap();
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event.as_ref().unwrap().event.payload.len() == 1 << 20));
    assert!(reader.events(Sequence(3), large, 0..1).unwrap_err().is_damage());
}

#[test]
fn the_budget_makes_segments_smaller_and_then_refuses() {
    let store = directory();
    let options = LogOptions::default();
    options.max_bytes.store(4 << 20, std::sync::atomic::Ordering::Relaxed);
    let (mut writer, reader, _) = open_with(store.path(), &options, &Known::default()).unwrap();
    let error = loop {
        let event = sized(writer.next().0, 200 << 10);
        writer.begin();
        writer.frame(writer.next(), None, [(&*event, None)].into_iter()).unwrap();
        match writer.write() {
            Ok(_) => writer.sync().unwrap(),
            Err(error) => break error,
        }
    };
    assert!(error.is_full(), "{error}");
    let sizes: Vec<_> = reader.segments().iter().map(|it| it.bytes.div_ceil(1 << 20)).collect();
    assert_eq!(sizes, [1, 2, 1]);
    // What is small still finds its place, and so does all once there is room.
    append(&mut writer, 1);
    reader.retire(reader.segments()[0].first).unwrap();
    append_sized(&mut writer, 1, 200 << 10);
    let last = writer.next().0 - 1;
    drop(writer);
    let segments = reader.segments();
    let known = Known {
        segments: segments.iter().map(|it| it.first).collect(),
        last: Some((segments[0].first, first_record(store.path(), segments[0].first))),
        ..answered(last)
    };
    assert!(open_with(store.path(), &options, &known).is_ok());
}

#[test]
fn a_segment_may_be_ended_early() {
    let store = directory();
    let (mut writer, reader, _) = open_log(store.path(), &Known::default()).unwrap();
    for _ in 0..3 {
        append(&mut writer, 1);
        writer.roll().unwrap();
    }
    assert_eq!(reader.segments().len(), 3);
    assert!(reader.segments().iter().all(|it| it.bytes < 1000), "the rest is given back");
    drop(writer);
    let (_, _, found) = open_log(store.path(), &answered(3)).unwrap();
    assert_eq!(found.len(), 3);
}

#[test]
fn an_erased_event_is_nowhere_in_its_file() {
    let store = directory();
    let (mut writer, reader, _) = open_log(store.path(), &Known::default()).unwrap();
    let address = append(&mut writer, 3);
    reader.erase(Sequence(1), address, 1).unwrap();
    reader.erase(Sequence(1), address, 7).unwrap();
    let events = reader.frame(Sequence(1), address).unwrap().events;
    assert_eq!(events.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    let bytes = std::fs::read(file_of(store.path(), Sequence(1))).unwrap();
    assert!(!bytes.windows(3).any(|it| it == b"r-2") && bytes.windows(3).any(|it| it == b"r-3"));
}

#[test]
fn others_read_while_it_is_written() {
    let store = directory();
    let (mut writer, ..) = open_log(store.path(), &Known::default()).unwrap();
    let other = LogReader::open(store.path(), IDENTITY);
    for number in 1..5 {
        let address = append(&mut writer, 1);
        assert!(other.frame(Sequence(number), address).unwrap().is_whole());
        let mut visited = 0;
        let visit = |_| -> Result<(), SegmentError> {
            visited += 1;
            Ok(())
        };
        other.check(&answered(number), visit).unwrap();
        assert_eq!(visited, number);
    }
    assert!(other.erase(Sequence(1), first_record(store.path(), Sequence(1)), 0).is_err());
}
