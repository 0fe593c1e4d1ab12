//! What the tests of the log have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bugle_core::{Event, EventName, RequestId, Sequence};
use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

use super::super::*;

/// Nothing in it has to outlive a power cut.
pub(super) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    made.unwrap()
}

pub(super) const IDENTITY: Identity = Identity(*b"this store alone");

pub(super) fn sized(number: u64, length: usize) -> Arc<Event> {
    let name = EventName::new("a.b").unwrap();
    let id = RequestId::new(format!("r-{number}")).unwrap();
    Arc::new(Event::new(name, id, Bytes::from(vec![b'x'; length]), Timestamp::UNIX_EPOCH))
}

pub(super) fn event(number: u64) -> Arc<Event> {
    sized(number, 20)
}

pub(super) fn answered(last: u64) -> Known {
    Known { answered: Sequence(last), ..Known::default() }
}

pub(super) type Opened = (LogWriter, LogReader, Vec<Found>);

pub(super) fn open_with(
    store: &Path,
    options: &LogOptions,
    known: &Known,
) -> Result<Opened, SegmentError> {
    let mut found = Vec::new();
    let (writer, reader) = open(store, IDENTITY, options.clone(), known, |frame| {
        found.push(frame);
        Ok::<_, SegmentError>(())
    })?;
    Ok((writer, reader, found))
}

pub(super) fn open_log(store: &Path, known: &Known) -> Result<Opened, SegmentError> {
    open_with(store, &LogOptions::default(), known)
}

/// Puts a write of several frames together, each with so many events.
pub(super) fn put_together(writer: &mut LogWriter, frames: &[u64], length: usize) {
    writer.begin();
    let mut next = writer.next().0;
    for count in frames {
        let events: Vec<_> = (next..next + count).map(|at| sized(at, length)).collect();
        let events = events.iter().map(|event| (&**event, None));
        writer.frame(Sequence(next), None, events).unwrap();
        next += count.max(&1);
    }
}

pub(super) fn append_sized(writer: &mut LogWriter, events: u64, length: usize) -> FrameAddress {
    put_together(writer, &[events], length);
    let address = writer.write().unwrap()[0];
    writer.sync().unwrap();
    address
}

pub(super) fn append(writer: &mut LogWriter, events: u64) -> FrameAddress {
    append_sized(writer, events, 20)
}

pub(super) fn file_of(store: &Path, segment: Sequence) -> PathBuf {
    store.join(DIRECTORY).join(format!("{:020}.log", segment.0))
}

/// Where the first record of a segment is.
pub(super) fn first_record(store: &Path, segment: Sequence) -> FrameAddress {
    let bytes = std::fs::read(file_of(store, segment)).unwrap();
    let length = u32::from_le_bytes(bytes[48..52].try_into().unwrap()) + 44;
    FrameAddress { segment, offset: 40, length }
}

/// The numbers of all events that were found.
pub(super) fn numbers(found: &[Found]) -> Vec<u64> {
    let of = |found: &Found| found.first.0..found.first.0 + found.frame.events.len() as u64;
    found.iter().flat_map(of).collect()
}
