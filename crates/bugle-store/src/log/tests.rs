//! The log as a whole: what was written is there again, and nothing else.

use std::path::Path;
use std::sync::Arc;

use bugle_core::{Event, EventName, FramedEvent, RequestId, SourcePosition};
use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;

const IDENTITY: Identity = Identity(*b"this store alone");

fn event(number: u64, length: usize) -> Arc<Event> {
    let name = EventName::new("a.b").unwrap();
    let id = RequestId::new(format!("r-{number}")).unwrap();
    Arc::new(Event::new(name, id, Bytes::from(vec![b'x'; length]), Timestamp::UNIX_EPOCH))
}

fn open_log(
    store: &Path,
    known: &Known,
) -> Result<(LogWriter, LogReader, Vec<Found>), SegmentError> {
    let mut found = Vec::new();
    let (writer, reader) = open(store, IDENTITY, LogOptions::default(), known, |frame| {
        found.push(frame);
        Ok::<_, SegmentError>(())
    })?;
    Ok((writer, reader, found))
}

fn append(writer: &mut LogWriter, events: u64) -> FrameAddress {
    let first = writer.next();
    let events: Vec<_> = (0..events).map(|at| event(first.0 + at, 100)).collect();
    writer.begin();
    writer.frame(first, None, events.iter().map(|event| (&**event, None))).unwrap();
    let address = writer.write().unwrap()[0];
    writer.sync().unwrap();
    address
}

#[test]
fn what_was_written_is_found_again() {
    let store = TempDir::new().unwrap();
    let (mut writer, reader, found) = open_log(store.path(), &Known::default()).unwrap();
    assert!(found.is_empty());
    let addresses: Vec<_> = (1..=10).map(|events| append(&mut writer, events)).collect();
    let frame = reader.frame(Sequence(2), addresses[1]).unwrap();
    assert_eq!(frame.events[1].as_ref().unwrap().event, event(3, 100));
    assert_eq!(reader.events(Sequence(2), addresses[1], 1..2).unwrap(), frame.events[1..]);
    drop(writer);
    let known = Known { answered: Sequence(55), ..Known::default() };
    let (writer, _, found) = open_log(store.path(), &known).unwrap();
    assert_eq!(found.iter().map(|it| it.address).collect::<Vec<_>>(), addresses);
    assert_eq!(writer.next(), Sequence(56));
}
