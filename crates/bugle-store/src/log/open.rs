//! Opening the log: what is there is compared with what must be there, and its end is made ready.

use std::path::Path;
use std::sync::Arc;

use bugle_core::Sequence;

use super::format::RecordHead;
use super::reader::{LogReader, Segments};
use super::segment::{FIRST_RECORD, Segment, scan};
use super::walk::{Place, Walk};
use super::writer::{End, LogWriter, NEXT};
use super::{Found, FrameAddress, Identity, LogOptions, SegmentError};
use crate::files::{Refused, give_space, make_directory};

/// What the database knows of the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The last frame that it has in its index. Its segment must be there, so it is not retired
    /// before a later segment has a frame in the index.
    pub(crate) last: Option<(Sequence, FrameAddress)>,
    /// The segments that must be there. Others before that of the last frame are left from a
    /// deletion, and are deleted.
    pub(crate) segments: Vec<Sequence>,
    /// Up to where callers were told that their events are safe.
    pub(crate) answered: Sequence,
    /// The lowest number that may be given, whatever the log says.
    pub(crate) next: Sequence,
}

/// Opens the log of a store, or makes it, and visits each frame that the database does not have.
///
/// # Errors
/// [`SegmentError`], and what `visit` answers. Where the log is damaged nothing was changed; what
/// was visited may be visited again.
pub(crate) fn open<E: From<SegmentError>>(
    store: &Path,
    identity: Identity,
    options: LogOptions,
    known: &Known,
    mut visit: impl FnMut(Found) -> Result<(), E>,
) -> Result<(LogWriter, LogReader), E> {
    let segments = Arc::new(Segments::new(store, identity, true));
    let (names, leftovers) = take_stock(&segments, known)?;
    let mut walk = Walk::new(&segments, names, known.last)?;
    let mut unanswered = Vec::new();
    while let Some(found) = walk.next_write()? {
        if walk.at.last > known.answered {
            unanswered.extend(found.iter().map(|found| found.address));
        }
        found.into_iter().try_for_each(&mut visit)?;
    }
    check_end(&segments, &walk, known)?;
    let directory = &segments.directory;
    make_directory(directory).map_err(|error| SegmentError::io(directory, error))?;
    remove(&directory.join(NEXT))?;
    for name in leftovers {
        remove(&Segment::path(directory, name))?;
    }
    let end = make_ready(&segments, &walk, known)?;
    write_again(&segments, &unanswered)?;
    let writer = LogWriter::new(segments, options, end);
    let reader = writer.reader();
    Ok((writer, reader))
}

impl LogReader {
    /// Sees to it that the log is as [`open`] wants it, and visits what that would; changes
    /// nothing.
    ///
    /// # Errors
    /// As [`open`].
    pub(crate) fn check<E: From<SegmentError>>(
        &self,
        known: &Known,
        mut visit: impl FnMut(Found) -> Result<(), E>,
    ) -> Result<(), E> {
        let (names, _) = take_stock(&self.segments, known)?;
        let mut walk = Walk::new(&self.segments, names, known.last)?;
        while let Some(found) = walk.next_write()? {
            found.into_iter().try_for_each(&mut visit)?;
        }
        Ok(check_end(&self.segments, &walk, known)?)
    }
}

/// Sees to it that all segments are there that must be, and that each is what its name says.
/// Answers those that are the log, and those that were deleted before.
fn take_stock(
    segments: &Segments,
    known: &Known,
) -> Result<(Vec<Sequence>, Vec<Sequence>), SegmentError> {
    let names = Segment::list(&segments.directory)?;
    if let Some(missing) = known.segments.iter().find(|it| names.binary_search(it).is_err()) {
        let path = Segment::path(&segments.directory, *missing);
        return Err(SegmentError::lost(&path, "the file is gone"));
    }
    let from = known.last.map_or(Sequence::START, |(_, address)| address.segment);
    let is_known = |name: &Sequence| *name >= from || known.segments.contains(name);
    let (names, leftovers): (Vec<_>, Vec<_>) = names.into_iter().partition(is_known);
    for (at, name) in names.iter().enumerate() {
        // The last may be one that was not begun.
        let may_be_empty = at + 1 == names.len() && !known.segments.contains(name);
        if segments.checked(*name)?.is_none() && !may_be_empty {
            let path = Segment::path(&segments.directory, *name);
            return Err(SegmentError::damaged(&path, "its head can't be read"));
        }
    }
    Ok((names, leftovers))
}

/// Sees to it that the end that was found is one.
fn check_end(segments: &Segments, walk: &Walk<'_>, known: &Known) -> Result<(), SegmentError> {
    let Place { index, offset, last, .. } = walk.at;
    let directory = &segments.directory;
    let path = walk.names.get(index).map(|name| Segment::path(directory, *name));
    let path = path.unwrap_or_else(|| directory.clone());
    for (at, name) in walk.names.iter().enumerate().skip(index) {
        let from = if at == index { offset } else { FIRST_RECORD };
        let says_more = |head: &RecordHead| head.first > last && head.synced > last;
        let segment = segments.get(*name)?;
        if let Some((_, head)) = scan(&segment, from, says_more)? {
            let reason = format!(
                "the record at byte {offset}, from event {} on, can't be read, though it was safe \
                 when event {} was written",
                last.0 + 1,
                head.first
            );
            return Err(SegmentError::damaged(&path, reason));
        }
    }
    if last < known.answered {
        let missing = format!("events {} to {}", last.0 + 1, known.answered);
        return Err(SegmentError::lost(&path, missing));
    }
    Ok(())
}

/// Cuts off what is behind the end, and gives the last segment its space again.
fn make_ready(segments: &Segments, walk: &Walk<'_>, known: &Known) -> Result<End, SegmentError> {
    let Place { index, offset, last, .. } = walk.at;
    let is_empty = offset == FIRST_RECORD;
    let keep = if is_empty { index } else { index + 1 };
    for name in walk.names.iter().skip(keep).rev() {
        segments.forget(*name);
        remove(&Segment::path(&segments.directory, *name))?;
    }
    let tail = match walk.names.get(index).filter(|_| !is_empty) {
        None => None,
        Some(name) => {
            let segment = segments.get(*name)?;
            let before = segment.bytes()?;
            let cut = segment.file.set_len(offset);
            cut.map_err(|error| segment.failed(error))?;
            // Without its space the segment is full.
            let space = match give_space(&segment.file, offset, before.max(offset + 1)) {
                Err(Refused::Full) => offset,
                Ok(()) | Err(Refused::Unable) => before.max(offset),
            };
            segments.resize(*name, space);
            Some((segment, offset, space))
        }
    };
    let next = Sequence(last.0 + 1).max(known.next);
    Ok(End { tail, before: walk.at.link(), last, next })
}

/// Writes what nobody was told of once more, and syncs it: after a sync that failed it may be in
/// memory only, and the next sync would not say so.
fn write_again(segments: &Segments, frames: &[FrameAddress]) -> Result<(), SegmentError> {
    for of_segment in frames.chunk_by(|one, next| one.segment == next.segment) {
        let [first, ..] = of_segment else { continue };
        let segment = segments.get(first.segment)?;
        for frame in of_segment {
            let mut bytes = vec![0; frame.length as usize];
            segment.read(&mut bytes, u64::from(frame.offset))?;
            segment.write(&bytes, u64::from(frame.offset))?;
        }
        segment.sync()?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), SegmentError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(SegmentError::io(path, error))
        }
        _ => Ok(()),
    }
}
