//! Reading the log, and deleting from it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bugle_core::{Frame, FrameTable, FramedEvent, PartDamaged, Sequence};
use parking_lot::Mutex;

use super::format::{BadHead, RecordHead};
use super::segment::{DIRECTORY, Segment};
use super::walk::Walk;
use super::{Found, FrameAddress, Identity, SegmentError};

/// Frames up to this are read as a whole, whatever is wanted of them.
const SMALL: u32 = 64 << 10;

/// How many segments stay open.
const MAX_OPEN: usize = 64;

/// The segments that there are. The writer and all readers have the same.
#[derive(Debug)]
pub(super) struct Segments {
    pub(super) directory: PathBuf,
    pub(super) identity: Identity,
    writing: bool,
    known: Mutex<BTreeMap<Sequence, Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    bytes: u64,
    open: Option<Arc<Segment>>,
}

/// A segment as it stands in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentInfo {
    /// The number of its first event, which names the file.
    pub(crate) first: Sequence,
    /// The last number that may be in it; `None` of the one that is written.
    pub(crate) last: Option<Sequence>,
    /// How much of the disk it takes.
    pub(crate) bytes: u64,
}

impl Segments {
    pub(super) fn new(store: &Path, identity: Identity, writing: bool) -> Self {
        let directory = store.join(DIRECTORY);
        Self { directory, identity, writing, known: Mutex::default() }
    }

    pub(super) fn add(&self, segment: Arc<Segment>, bytes: u64) {
        let slot = Slot { bytes, open: Some(segment.clone()) };
        self.known.lock().insert(segment.first, slot);
    }

    pub(super) fn resize(&self, first: Sequence, bytes: u64) {
        if let Some(slot) = self.known.lock().get_mut(&first) {
            slot.bytes = bytes;
        }
    }

    pub(super) fn forget(&self, first: Sequence) {
        self.known.lock().remove(&first);
    }

    /// How many bytes all have together.
    pub(super) fn bytes(&self) -> u64 {
        self.known.lock().values().map(|slot| slot.bytes).sum()
    }

    pub(super) fn infos(&self) -> Vec<SegmentInfo> {
        let known = self.known.lock();
        let ends = known.keys().skip(1).map(|next| Some(Sequence(next.0 - 1))).chain([None]);
        let infos = known.iter().zip(ends);
        infos
            .map(|((first, slot), last)| SegmentInfo { first: *first, last, bytes: slot.bytes })
            .collect()
    }

    /// Opens a segment, or gives the open one.
    pub(super) fn get(&self, first: Sequence) -> Result<Arc<Segment>, SegmentError> {
        let mut known = self.known.lock();
        if let Some(open) = known.get(&first).and_then(|slot| slot.open.as_ref()) {
            return Ok(open.clone());
        }
        let segment = Arc::new(Segment::open(&self.directory, first, self.writing)?);
        if known.values().filter(|slot| slot.open.is_some()).count() >= MAX_OPEN {
            known.values_mut().for_each(|slot| slot.open = None);
        }
        let bytes = segment.bytes()?;
        *known.entry(first).or_default() = Slot { bytes, open: Some(segment.clone()) };
        Ok(segment)
    }

    /// Opens a segment, and sees to it that it is what its name says; `None` where its head can't
    /// be read.
    pub(super) fn checked(&self, first: Sequence) -> Result<Option<Arc<Segment>>, SegmentError> {
        let segment = self.get(first)?;
        let path = &segment.path;
        match segment.head()? {
            Ok(head) if head.identity != self.identity => {
                Err(SegmentError::damaged(path, "it belongs to another store"))
            }
            Ok(head) if head.first != first => Err(SegmentError::damaged(
                path,
                format!("it begins with event {}, and its name says otherwise", head.first),
            )),
            Ok(_) => Ok(Some(segment)),
            Err(BadHead::Damaged) => Ok(None),
            Err(BadHead::Newer { found, known }) => {
                Err(SegmentError::Newer { path: path.clone(), found, known })
            }
        }
    }
}

/// Reads what the writer has written, also while it goes on. It is cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    pub(super) segments: Arc<Segments>,
}

impl LogReader {
    /// Opens the log of a store that another process may have open: nothing is locked or changed.
    pub(crate) fn open(store: &Path, identity: Identity) -> Self {
        Self { segments: Arc::new(Segments::new(store, identity, false)) }
    }

    /// Reads a frame. The number of its first event says which one it must be.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] when the frame can't be read; of one that can, each event is there
    /// or damaged.
    pub(crate) fn frame(
        &self,
        first: Sequence,
        address: FrameAddress,
    ) -> Result<Frame, SegmentError> {
        let segment = self.segments.get(address.segment)?;
        let mut record = vec![0; address.length as usize];
        self.record(&segment, first, address, &mut record)?;
        let frame = record.get(RecordHead::LENGTH..).unwrap_or_default();
        let decoded = Frame::decode(frame);
        decoded.map(|(_, frame)| frame).map_err(|_| unreadable(&segment, first))
    }

    /// Reads some events of a frame, by their places in it.
    ///
    /// # Errors
    /// As [`LogReader::frame`].
    pub(crate) fn events(
        &self,
        first: Sequence,
        address: FrameAddress,
        places: Range<usize>,
    ) -> Result<Vec<Result<FramedEvent, PartDamaged>>, SegmentError> {
        if address.length <= SMALL {
            let mut events = self.frame(first, address)?.events;
            events.truncate(places.end);
            return Ok(events.split_off(places.start.min(events.len())));
        }
        let (segment, table) = self.table(first, address)?;
        let parts: Vec<_> = places.clone().filter_map(|at| table.event_part(at)).collect();
        let Some((start, end)) = parts.first().zip(parts.last()) else { return Ok(Vec::new()) };
        let (start, end) = (start.start, end.end);
        let mut bytes = vec![0; end - start];
        let is_there = segment.read(&mut bytes, frame_offset(address) + start as u64)?;
        // What is not there is damaged.
        let bytes = if is_there { bytes } else { Vec::new() };
        let part = |part: &Range<usize>| bytes.get(part.start - start..part.end - start);
        let event = |(at, range)| table.event(at, part(range).unwrap_or_default());
        Ok(places.zip(&parts).map(event).collect())
    }

    /// Overwrites an event with zeros, where its bytes are. It is not synced. Only what the
    /// database has as gone, synced, may be erased.
    ///
    /// # Errors
    /// [`SegmentError`]. An event that is not there is no error.
    pub(crate) fn erase(
        &self,
        first: Sequence,
        address: FrameAddress,
        at: usize,
    ) -> Result<(), SegmentError> {
        let (segment, table) = self.table(first, address)?;
        let Some(part) = table.event_part(at) else { return Ok(()) };
        segment.write(&vec![0; part.len()], frame_offset(address) + part.start as u64)
    }

    /// Visits each frame behind a place, up to the last that is whole.
    ///
    /// # Errors
    /// [`SegmentError`], and what `visit` answers.
    pub(crate) fn behind<E: From<SegmentError>>(
        &self,
        last: Option<(Sequence, FrameAddress)>,
        mut visit: impl FnMut(Found) -> Result<(), E>,
    ) -> Result<(), E> {
        let names = Segment::list(&self.segments.directory)?;
        let mut walk = Walk::new(&self.segments, names, last)?;
        while let Some(found) = walk.next_write()? {
            found.into_iter().try_for_each(&mut visit)?;
        }
        Ok(())
    }

    /// The segments that there are, in order.
    pub(crate) fn segments(&self) -> Vec<SegmentInfo> {
        self.segments.infos()
    }

    /// Deletes a segment, which is not the last one. The database must have it as gone, synced: the
    /// file of one that it has is missed.
    ///
    /// # Errors
    /// [`SegmentError`]. A file that is gone already is no error.
    pub(crate) fn retire(&self, first: Sequence) -> Result<(), SegmentError> {
        self.segments.forget(first);
        let path = Segment::path(&self.segments.directory, first);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(SegmentError::io(&path, error))
            }
            _ => Ok(()),
        }
    }

    /// The table of a frame, without its parts.
    fn table(
        &self,
        first: Sequence,
        address: FrameAddress,
    ) -> Result<(Arc<Segment>, FrameTable), SegmentError> {
        let segment = self.segments.get(address.segment)?;
        let most = RecordHead::LENGTH + FrameTable::length(Frame::MAX_EVENTS, true);
        let mut record = vec![0; most.min(address.length as usize)];
        self.record(&segment, first, address, &mut record)?;
        let frame = record.get(RecordHead::LENGTH..).unwrap_or_default();
        let table = FrameTable::decode(frame).map_err(|_| unreadable(&segment, first))?;
        // Nothing is allocated for what can't be there.
        match RecordHead::LENGTH + table.frame_length() == address.length as usize {
            true => Ok((segment, table)),
            false => Err(unreadable(&segment, first)),
        }
    }

    /// Reads the first bytes of a record, and sees to it that it is the one that is meant. A
    /// damaged head does not matter: the address says as much, and the frame has its own
    /// checksums.
    fn record(
        &self,
        segment: &Segment,
        first: Sequence,
        address: FrameAddress,
        record: &mut [u8],
    ) -> Result<(), SegmentError> {
        let is_there = segment.read(record, u64::from(address.offset))?;
        let is_other = RecordHead::decode(record).is_some_and(|(head, _)| head.first != first);
        if is_there && !is_other { Ok(()) } else { Err(unreadable(segment, first)) }
    }
}

/// Where the frame of a record begins.
fn frame_offset(address: FrameAddress) -> u64 {
    u64::from(address.offset) + RecordHead::LENGTH as u64
}

fn unreadable(segment: &Segment, first: Sequence) -> SegmentError {
    SegmentError::damaged(&segment.path, format!("the frame of event {first} can't be read"))
}
