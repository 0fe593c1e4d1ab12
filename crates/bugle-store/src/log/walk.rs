//! Walking along the log, from record to record.

use std::sync::Arc;

use bugle_core::{Frame, Sequence};

use super::format::{Link, RecordHead};
use super::reader::Segments;
use super::segment::{FIRST_RECORD, Segment};
use super::{Found, FrameAddress, SegmentError};

/// A place in the log, behind a record.
#[derive(Debug)]
pub(super) struct Walk<'s> {
    segments: &'s Segments,
    /// All segments, in order.
    pub(super) names: Vec<Sequence>,
    pub(super) at: Place,
}

/// Where a walk is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Which of the segments.
    pub(super) index: usize,
    /// Where the record before ends.
    pub(super) offset: u64,
    /// The last number of the record before.
    pub(super) last: Sequence,
    /// The record before. Its checksum is not known where it is damaged.
    before: (Sequence, Option<u32>),
}

impl Place {
    /// What the next record says of the one before.
    pub(super) fn link(&self) -> Link {
        Link { first: self.before.0, check: self.before.1.unwrap_or_default() }
    }

    /// Whether this head can follow here, as the first of a write or behind another one of it.
    fn is_next(&self, head: &RecordHead, left: Option<u16>) -> bool {
        head.first > self.last
            && head.before.first == self.before.0
            && self.before.1.is_none_or(|check| check == head.before.check)
            && left.is_none_or(|left| left == head.left)
    }
}

impl<'s> Walk<'s> {
    /// Begins behind a record, or before the first of all.
    pub(super) fn new(
        segments: &'s Segments,
        names: Vec<Sequence>,
        last: Option<(Sequence, FrameAddress)>,
    ) -> Result<Self, SegmentError> {
        let mut at = Place {
            index: 0,
            offset: FIRST_RECORD,
            last: Sequence::START,
            before: (Sequence::START, Some(0)),
        };
        if let Some((first, address)) = last {
            let segment = segments.get(address.segment)?;
            at.index = names.partition_point(|name| *name < address.segment);
            at.offset = u64::from(address.offset) + u64::from(address.length);
            (at.last, at.before) = (first, (first, None));
            if let Some((head, link)) = segment.record_head(u64::from(address.offset))?
                && head.first == first
            {
                (at.last, at.before) = (head.last(), (first, Some(link.check)));
            }
        }
        Ok(Self { segments, names, at })
    }

    /// The frames of the next write, if all of it is there and whole.
    pub(super) fn next_write(&mut self) -> Result<Option<Vec<Found>>, SegmentError> {
        let next = Place { index: self.at.index + 1, offset: FIRST_RECORD, ..self.at };
        for from in [self.at, next] {
            if let Some((found, to)) = self.write_at(from)? {
                self.at = to;
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn write_at(&self, mut at: Place) -> Result<Option<(Vec<Found>, Place)>, SegmentError> {
        let Some(segment) = self.segment(at.index)? else { return Ok(None) };
        let (mut found, mut left) = (Vec::new(), None);
        loop {
            let Some(record) = segment.record(at.offset)? else { return Ok(None) };
            let head = record.head;
            let frame = Frame::decode(&record.frame).ok().map(|(_, frame)| frame);
            let whole =
                frame.filter(|it| it.is_whole() && it.events.len() == usize::from(head.count));
            let Some(frame) = whole.filter(|_| at.is_next(&head, left)) else { return Ok(None) };
            let Some(address) = address(&segment, at.offset, head) else { return Ok(None) };
            found.push(Found { first: head.first, address, frame });
            at.offset += head.record_length();
            at.last = head.last();
            at.before = (head.first, Some(record.link.check));
            match head.left.checked_sub(1) {
                Some(more) => left = Some(more),
                None => return Ok(Some((found, at))),
            }
        }
    }

    /// One of the segments; `None` where there are not so many, or where its head can't be read.
    fn segment(&self, index: usize) -> Result<Option<Arc<Segment>>, SegmentError> {
        self.names.get(index).map_or(Ok(None), |name| self.segments.checked(*name))
    }
}

/// Where a record is; `None` where no segment reaches.
pub(super) fn address(segment: &Segment, offset: u64, head: RecordHead) -> Option<FrameAddress> {
    let offset = u32::try_from(offset).ok()?;
    let length = u32::try_from(head.record_length()).ok()?;
    Some(FrameAddress { segment: segment.first, offset, length })
}
