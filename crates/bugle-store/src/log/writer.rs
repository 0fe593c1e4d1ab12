//! Writing the log.

use std::sync::Arc;

use bugle_core::{Event, ReplayOf, Sequence, SourcePosition, encode_frame};

use super::format::{Link, RecordHead, SegmentHead};
use super::reader::{LogReader, Segments};
use super::segment::{FIRST_RECORD, Segment};
use super::{FrameAddress, LogOptions, SegmentError};
use crate::files::{Refused, give_space, sync_directory};

/// The least that a segment has, where there is no more: 1 MiB.
const LEAST: u64 = 1 << 20;

/// The name of a segment that is being made.
pub(super) const NEXT: &str = "next";

/// So much is zeroed ahead of what is written. A first write into a place that was only given
/// changes what the file system knows of it, and a sync waits for that: one in so many pays for
/// it.
static AHEAD: [u8; 1 << 20] = [0; 1 << 20];

/// What is put together is kept for the next write up to this.
const MAX_KEPT: usize = 4 << 20;

/// Appends to the log.
///
/// A write is put together with [`begin`](Self::begin) and [`frame`](Self::frame), and goes into
/// the file with [`write`](Self::write). Then [`sync`](Self::sync) has it on the disk. All memory
/// that this takes is kept for the next one.
#[derive(Debug)]
pub(crate) struct LogWriter {
    segments: Arc<Segments>,
    options: LogOptions,
    /// Where the next record goes; `None` before the first, and when a segment was ended.
    tail: Option<Tail>,
    /// How large the last segment was.
    size: u64,
    /// What the next record says of the one before.
    before: Link,
    /// The lowest number that was not given yet.
    next: Sequence,
    /// The last number that is on the disk.
    synced: Sequence,
    /// Where what is not synced yet begins in the tail, and what was before.
    unsynced: Option<Unsynced>,
    is_poisoned: bool,
    /// The write: room for a segment's head, and the records.
    bytes: Vec<u8>,
    heads: Vec<RecordHead>,
    addresses: Vec<FrameAddress>,
}

#[derive(Debug)]
struct Tail {
    segment: Arc<Segment>,
    /// Where the next record goes.
    at: u64,
    /// How far the file has its space.
    space: u64,
    /// How far it was written before, if only with zeros.
    written: u64,
}

impl Tail {
    /// Zeroes what comes next, if it was not written before.
    fn write_ahead(&mut self) {
        if self.at <= self.written {
            return;
        }
        let ahead = AHEAD.len() as u64;
        self.written = (self.at + 1).next_multiple_of(ahead).min(self.space).max(self.at);
        let zeros = usize::try_from(self.written - self.at).unwrap_or(0).min(AHEAD.len());
        // It is no more than quicker.
        let _ = self.segment.write(&AHEAD[..zeros], self.at);
    }
}

#[derive(Debug, Clone, Copy)]
struct Unsynced {
    at: u64,
    before: Link,
}

/// What opening has found of the end of the log.
#[derive(Debug)]
pub(super) struct End {
    /// The last segment, where the next record goes in it, and how long it is.
    pub(super) tail: Option<(Arc<Segment>, u64, u64)>,
    pub(super) before: Link,
    /// The last number that is in the log.
    pub(super) last: Sequence,
    pub(super) next: Sequence,
}

impl LogWriter {
    pub(super) fn new(segments: Arc<Segments>, options: LogOptions, end: End) -> Self {
        let size = end.tail.as_ref().map_or(0, |(_, _, size)| *size);
        Self {
            segments,
            options,
            tail: end.tail.map(|(segment, at, space)| Tail { segment, at, space, written: at }),
            size,
            before: end.before,
            next: end.next,
            synced: end.last,
            unsynced: None,
            is_poisoned: false,
            bytes: Vec::new(),
            heads: Vec::new(),
            addresses: Vec::new(),
        }
    }

    /// Reads what is written here.
    pub(crate) fn reader(&self) -> LogReader {
        LogReader { segments: self.segments.clone() }
    }

    /// The segment that is written, if there is one: its first number.
    pub(crate) fn segment(&self) -> Option<Sequence> {
        self.tail.as_ref().map(|tail| tail.segment.first)
    }

    /// The lowest number that the next frame may begin with.
    pub(crate) fn next(&self) -> Sequence {
        self.next
    }

    /// Begins a write. What was put together and not written is forgotten.
    pub(crate) fn begin(&mut self) {
        self.heads.clear();
        self.bytes.clear();
        self.bytes.shrink_to(MAX_KEPT);
        self.bytes.resize(SegmentHead::LENGTH, 0);
    }

    /// Adds a frame to the write. Its events have the numbers from `first`, which is higher than
    /// all before. One without events takes this number all the same.
    ///
    /// # Errors
    /// [`SegmentError::TooLarge`]; begin again then.
    pub(crate) fn frame<'e>(
        &mut self,
        first: Sequence,
        position: Option<&SourcePosition>,
        events: impl ExactSizeIterator<Item = (&'e Event, Option<&'e ReplayOf>)>,
    ) -> Result<(), SegmentError> {
        let start = self.bytes.len() + RecordHead::LENGTH;
        let count = u16::try_from(events.len()).map_err(|_| SegmentError::TooLarge)?;
        self.bytes.resize(start, 0);
        encode_frame(events, position, &mut self.bytes).map_err(|_| SegmentError::TooLarge)?;
        let length = u32::try_from(self.bytes.len() - start).map_err(|_| SegmentError::TooLarge)?;
        self.heads.push(RecordHead { count, length, first, ..RecordHead::default() });
        Ok(())
    }

    /// Writes what was put together, at once, and tells where each frame is. It is not synced.
    ///
    /// # Errors
    /// [`SegmentError`]. Nothing was appended then, and after [`SegmentError::Full`] and most
    /// others the next write may succeed; not after [`SegmentError::Poisoned`].
    pub(crate) fn write(&mut self) -> Result<&[FrameAddress], SegmentError> {
        self.addresses.clear();
        let Some(first) = self.heads.first().map(|head| head.first) else {
            return Ok(&self.addresses);
        };
        if self.is_poisoned {
            return Err(self.poisoned());
        }
        let end = self.seal()?;
        let length = (self.bytes.len() - SegmentHead::LENGTH) as u64;
        let fits = |tail: &Tail| tail.at + length <= tail.space;
        if !self.tail.as_ref().is_some_and(fits) {
            self.sync()?;
            // Where there is no space for another, smaller writes still find some in this one.
            let made = self.make(first, length + FIRST_RECORD)?;
            self.end_tail();
            self.tail = Some(made);
        }
        let Some(tail) = &mut self.tail else { return Ok(&self.addresses) };
        let written = match tail.at {
            0 => {
                let head = SegmentHead { identity: self.segments.identity, first };
                self.bytes[..SegmentHead::LENGTH].copy_from_slice(&head.encode());
                tail.segment.write(&self.bytes, 0)
            }
            at => tail.segment.write(&self.bytes[SegmentHead::LENGTH..], at),
        };
        if let Err(error) = written {
            self.cut(length);
            return Err(error);
        }
        let start = tail.at.max(FIRST_RECORD);
        self.unsynced.get_or_insert(Unsynced { at: start, before: self.before });
        tail.at = start;
        for head in &self.heads {
            let address = super::walk::address(&tail.segment, tail.at, *head);
            self.addresses.extend(address);
            tail.at += head.record_length();
            self.next = Sequence(head.last().0 + 1);
        }
        self.before = end;
        self.heads.clear();
        Ok(&self.addresses)
    }

    /// Has all that was written on the disk.
    ///
    /// # Errors
    /// [`SegmentError`]. What was not synced is taken back then, as far as it can be, and nothing
    /// more is written: no later sync would say whether it is safe.
    pub(crate) fn sync(&mut self) -> Result<(), SegmentError> {
        if self.is_poisoned {
            return Err(self.poisoned());
        }
        let (Some(tail), Some(unsynced)) = (&mut self.tail, self.unsynced) else { return Ok(()) };
        tail.write_ahead();
        if let Err(error) = tail.segment.sync() {
            self.is_poisoned = true;
            self.before = unsynced.before;
            let length = tail.at - unsynced.at;
            tail.at = unsynced.at;
            self.cut(length);
            return Err(error);
        }
        self.synced = Sequence(self.next.0 - 1);
        self.unsynced = None;
        Ok(())
    }

    /// Ends the segment that is written: the next write begins another. It gives back the space
    /// that it does not need.
    ///
    /// # Errors
    /// As [`LogWriter::sync`].
    pub(crate) fn roll(&mut self) -> Result<(), SegmentError> {
        self.sync()?;
        self.end_tail();
        Ok(())
    }

    fn end_tail(&mut self) {
        let Some(tail) = self.tail.take() else { return };
        let given_back = tail.segment.file.set_len(tail.at).is_ok();
        let bytes = if given_back { tail.at } else { tail.space };
        self.segments.resize(tail.segment.first, bytes);
    }

    /// Writes the heads of the records, now that it is known which there are. Answers what the
    /// record behind them says.
    fn seal(&mut self) -> Result<Link, SegmentError> {
        let (mut before, mut at) = (self.before, SegmentHead::LENGTH);
        let left = u16::try_from(self.heads.len()).map_err(|_| SegmentError::TooLarge)?;
        for (head, left) in self.heads.iter_mut().zip((0..left).rev()) {
            (head.left, head.synced, head.before) = (left, self.synced, before);
            let (bytes, link) = head.encode();
            self.bytes[at..at + RecordHead::LENGTH].copy_from_slice(&bytes);
            (before, at) = (link, at + RecordHead::LENGTH + head.length as usize);
        }
        Ok(before)
    }

    /// Sees to it that what failed to be written is not found, so many bytes of it.
    fn cut(&mut self, length: u64) {
        let Some(tail) = &self.tail else { return };
        if tail.at == 0 {
            // There is nothing in it yet.
            self.segments.forget(tail.segment.first);
            let _ = std::fs::remove_file(&tail.segment.path);
            self.tail = None;
            return;
        }
        // Where that fails too, it is written over by the next write, or found unanswered.
        let (mut at, end) = (tail.at, tail.at + length);
        while at < end {
            let part = usize::try_from(end - at).unwrap_or(AHEAD.len()).min(AHEAD.len());
            if tail.segment.write(&AHEAD[..part], at).is_err() {
                return;
            }
            at += part as u64;
        }
    }

    /// Makes a segment for a write that has so many bytes with the segment's head.
    fn make(&mut self, first: Sequence, length: u64) -> Result<Tail, SegmentError> {
        let directory = &self.segments.directory;
        let (next, path) = (directory.join(NEXT), Segment::path(directory, first));
        let most = self.options.segment_bytes.max(LEAST);
        let mut wanted = (2 * self.size).clamp(LEAST, most).max(length);
        if wanted > u64::from(u32::MAX) {
            return Err(SegmentError::TooLarge);
        }
        let allowed = self.options.max_bytes().saturating_sub(self.segments.bytes());
        let file = Segment::make(&next)?;
        let space = loop {
            let given = match wanted <= allowed {
                true => give_space(&file, 0, wanted),
                false => Err(Refused::Full),
            };
            match given {
                Ok(()) => break wanted,
                // It grows as it is written.
                Err(Refused::Unable) => break wanted,
                Err(Refused::Full) if wanted <= LEAST.max(length) => {
                    let _ = std::fs::remove_file(&next);
                    return Err(SegmentError::Full { path });
                }
                Err(Refused::Full) => {
                    // Some of it may have been given.
                    let _ = file.set_len(0);
                    wanted = (wanted / 2).max(LEAST).max(length);
                }
            }
        };
        std::fs::rename(&next, &path).map_err(|error| SegmentError::io(&path, error))?;
        sync_directory(&path);
        let segment = Arc::new(Segment { first, path, file });
        self.segments.add(segment.clone(), space);
        self.size = space;
        Ok(Tail { segment, at: 0, space, written: 0 })
    }

    fn poisoned(&self) -> SegmentError {
        let directory = &self.segments.directory;
        let tail = self.tail.as_ref().map_or(directory, |tail| &tail.segment.path);
        SegmentError::Poisoned { path: tail.clone() }
    }
}
