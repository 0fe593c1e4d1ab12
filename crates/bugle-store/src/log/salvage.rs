//! Looking a log through, whatever is wrong with it, and making it one that can be opened.
//!
//! No record needs the one before it. Where records can't be read the next good one is looked for,
//! byte by byte. Which events are lost the numbers say; what lies behind the last good record of
//! all is no damage by itself, because a kill leaves such.

use std::path::{Path, PathBuf};

use bugle_core::{Frame, Sequence};

use super::format::{BadHead, Link, RecordHead, SegmentHead};
use super::reader::Segments;
use super::segment::{DIRECTORY, FIRST_RECORD, Segment, scan};
use super::walk::address;
use super::{Found, FrameAddress, Identity, SegmentError};

/// A segment that was looked through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Looked {
    /// The number of its first event, as its name says.
    pub(crate) first: Sequence,
    /// Whose it is; `None` where its head can't be read.
    pub(crate) identity: Option<Identity>,
    /// What is wrong with its head, in words.
    pub(crate) damage: Option<String>,
}

/// Looks through all segments of a store, and visits each frame whose head can be read, in the
/// order of their numbers. Its events may be damaged. Segments of another store are passed over,
/// where it is known which store this is. What was written as one and is not all there is passed
/// over if nobody was told of it: `answered` says of which events somebody was.
///
/// # Errors
/// [`SegmentError`], and what `visit` answers. Damage is none.
pub(crate) fn look_through<E: From<SegmentError>>(
    store: &Path,
    identity: Option<Identity>,
    answered: Sequence,
    mut visit: impl FnMut(Found) -> Result<(), E>,
) -> Result<Vec<Looked>, E> {
    let segments = Segments::new(store, Identity([0; 16]), false);
    let mut look = Look { answered, last: Sequence::START, write: Vec::new(), left: 0 };
    let mut all = Vec::new();
    for name in Segment::list(&segments.directory)? {
        let segment = segments.get(name)?;
        let mut looked = Looked { first: name, identity: None, damage: None };
        match segment.head()? {
            Ok(head) => {
                looked.identity = Some(head.identity);
                if identity.is_some_and(|identity| identity != head.identity) {
                    looked.damage = Some("it belongs to another store".to_owned());
                } else if head.first != name {
                    let said = format!("it says that it begins with event {}", head.first);
                    looked.damage = Some(said);
                }
            }
            Err(BadHead::Damaged) => looked.damage = Some("its head can't be read".to_owned()),
            Err(BadHead::Newer { found, known }) => {
                return Err(SegmentError::Newer { path: segment.path.clone(), found, known }.into());
            }
        }
        if looked.identity.is_none() || identity.is_none() || looked.identity == identity {
            look.through(&segment, &mut visit)?;
        }
        all.push(looked);
    }
    look.end(&mut visit)?;
    Ok(all)
}

/// Whose the segments of a store are, as their heads say, in order. More than one is wrong.
///
/// # Errors
/// [`SegmentError`], where they can't be read at all.
pub(crate) fn owners(store: &Path) -> Result<Vec<Identity>, SegmentError> {
    let directory = store.join(DIRECTORY);
    let mut owners = Vec::new();
    for name in Segment::list(&directory)? {
        let head = Segment::open(&directory, name, false)?.head()?;
        owners.extend(head.ok().map(|head| head.identity));
    }
    owners.dedup();
    Ok(owners)
}

/// The file of a segment.
pub(crate) fn segment_file(store: &Path, segment: Sequence) -> PathBuf {
    Segment::path(&store.join(DIRECTORY), segment)
}

/// What is changed in a damaged log, so that it can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mend {
    /// The segment's head is written anew.
    Head(Sequence),
    /// The head of a record is written anew, which the index knows: its number, how many events it
    /// has, and where it is.
    Record(Sequence, u16, FrameAddress),
    /// Nothing is behind this place.
    Cut(Sequence, u64),
    /// The segment goes.
    Remove(Sequence),
}

impl Mend {
    /// The segment that is changed.
    pub(crate) fn segment(&self) -> Sequence {
        match self {
            Self::Head(segment) | Self::Cut(segment, _) | Self::Remove(segment) => *segment,
            Self::Record(_, _, address) => address.segment,
        }
    }

    /// Changes it, on the disk.
    pub(crate) fn make(&self, store: &Path, identity: Identity) -> Result<(), SegmentError> {
        let directory = store.join(DIRECTORY);
        if let Self::Remove(segment) = self {
            let path = Segment::path(&directory, *segment);
            return std::fs::remove_file(&path).map_err(|error| SegmentError::io(&path, error));
        }
        let segment = Segment::open(&directory, self.segment(), true)?;
        match self {
            Self::Head(first) => {
                segment.write(&SegmentHead { identity, first: *first }.encode(), 0)?;
            }
            Self::Record(first, count, address) => {
                let head = RecordHead {
                    left: 0,
                    count: *count,
                    length: address.length.saturating_sub(RecordHead::LENGTH as u32),
                    first: *first,
                    synced: Sequence(first.0.saturating_sub(1)),
                    before: Link::default(),
                };
                segment.write(&head.encode().0, u64::from(address.offset))?;
            }
            Self::Cut(_, end) => {
                let cut = segment.file.set_len((*end).min(segment.bytes()?));
                cut.map_err(|error| segment.failed(error))?;
            }
            Self::Remove(_) => {}
        }
        segment.sync()
    }
}

struct Look {
    answered: Sequence,
    /// The last number that was found.
    last: Sequence,
    /// The frames of a write of which more is to follow.
    write: Vec<Found>,
    /// How many.
    left: u16,
}

impl Look {
    fn through<E: From<SegmentError>>(
        &mut self,
        segment: &Segment,
        visit: &mut impl FnMut(Found) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = FIRST_RECORD;
        loop {
            let last = self.last;
            let is_meant = |head: &RecordHead| head.first > last;
            let is_here = segment.record_head(from)?.is_some_and(|(head, _)| is_meant(&head));
            let place = match is_here {
                true => Some(from),
                false => scan(segment, from, is_meant)?.map(|(place, _)| place),
            };
            let Some(place) = place else { return Ok(()) };
            let found = segment.record(place)?.and_then(|record| {
                let (_, frame) = Frame::decode(&record.frame).ok()?;
                let address = address(segment, place, record.head)?;
                Some((record.head, Found { first: record.head.first, address, frame }))
            });
            match found {
                Some((head, found)) => {
                    (self.last, from) = (head.last(), place + head.record_length());
                    self.found(head.left, found, visit)?;
                }
                // Its frame can't be read; the next record may be anywhere.
                None => from = place + 1,
            }
        }
    }

    /// A frame was found, of whose write so many are to follow.
    fn found<E>(
        &mut self,
        left: u16,
        found: Found,
        visit: &mut impl FnMut(Found) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.write.is_empty() && left + 1 != self.left {
            // What followed can't be read. But it was there: something else follows it.
            self.write.drain(..).try_for_each(&mut *visit)?;
        }
        self.write.push(found);
        self.left = left;
        match left {
            0 => self.write.drain(..).try_for_each(visit),
            _ => Ok(()),
        }
    }

    /// Nothing follows.
    fn end<E>(self, visit: &mut impl FnMut(Found) -> Result<(), E>) -> Result<(), E> {
        let was_answered = self.write.first().is_some_and(|it| it.first <= self.answered);
        self.write.into_iter().filter(|_| was_answered).try_for_each(visit)
    }
}
