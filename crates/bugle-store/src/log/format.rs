//! What a segment and a record begin with. Numbers are little-endian.
//!
//! | bytes | a segment's head |
//! | --- | --- |
//! | 8 | `bugleseg` |
//! | 4 | the version of the segment, 1 |
//! | 16 | whose it is: the store's identity |
//! | 8 | the number of its first event |
//! | 4 | the CRC-32 of all before this |
//!
//! | bytes | a record's head |
//! | --- | --- |
//! | 4 | `BGLR` |
//! | 2 | how many records of the same write follow |
//! | 2 | how many events the frame has |
//! | 4 | how long the frame is, in bytes |
//! | 8 | the number of the first event |
//! | 8 | up to which number the log was synced as this was written |
//! | 8 | the number of the first event of the record before, and 0 where there was none |
//! | 4 | the checksum of that record's head, and 0 where there was none |
//! | 4 | the CRC-32 of all before this |

use bugle_core::Sequence;
use bytes::{Buf, BufMut};

use super::Identity;

const SEGMENT_MAGIC: &[u8; 8] = b"bugleseg";
const VERSION: u32 = 1;
pub(super) const RECORD_MAGIC: &[u8; 4] = b"BGLR";

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHead {
    pub(super) identity: Identity,
    pub(super) first: Sequence,
}

/// What is wrong with a segment's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHead {
    Damaged,
    /// It has this version, which is newer than `known`.
    Newer {
        found: u32,
        known: u32,
    },
}

impl SegmentHead {
    pub(super) const LENGTH: usize = 40;

    pub(super) fn encode(&self) -> [u8; Self::LENGTH] {
        let mut head = [0; Self::LENGTH];
        let (checked, mut check) = head.split_at_mut(Self::LENGTH - 4);
        let mut fields = &mut *checked;
        fields.put_slice(SEGMENT_MAGIC);
        fields.put_u32_le(VERSION);
        fields.put_slice(&self.identity.0);
        fields.put_u64_le(self.first.0);
        check.put_u32_le(crc32fast::hash(checked));
        head
    }

    pub(super) fn decode(head: &[u8; Self::LENGTH]) -> Result<Self, BadHead> {
        let (checked, mut check) = head.split_at(Self::LENGTH - 4);
        let mut fields = checked.strip_prefix(SEGMENT_MAGIC).ok_or(BadHead::Damaged)?;
        if crc32fast::hash(checked) != check.get_u32_le() {
            return Err(BadHead::Damaged);
        }
        let found = fields.get_u32_le();
        if found != VERSION {
            return Err(BadHead::Newer { found, known: VERSION });
        }
        let mut identity = Identity([0; 16]);
        fields.copy_to_slice(&mut identity.0);
        Ok(Self { identity, first: Sequence(fields.get_u64_le()) })
    }
}

/// What a record says of the one before it, and is known by: its first number, and its head's
/// checksum. Both are 0 of none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) first: Sequence,
    pub(super) check: u32,
}

/// What a record begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RecordHead {
    /// How many records of the same write follow.
    pub(super) left: u16,
    /// How many events the frame has.
    pub(super) count: u16,
    /// How long the frame is, in bytes.
    pub(super) length: u32,
    /// The number of the first event.
    pub(super) first: Sequence,
    /// Up to which number the log was synced as this was written.
    pub(super) synced: Sequence,
    /// The record before.
    pub(super) before: Link,
}

impl RecordHead {
    pub(super) const LENGTH: usize = 44;

    /// How long the record is, in bytes.
    pub(super) fn record_length(&self) -> u64 {
        Self::LENGTH as u64 + u64::from(self.length)
    }

    /// The last number that the record takes: one without events takes one, too.
    pub(super) fn last(&self) -> Sequence {
        Sequence(self.first.0.saturating_add(u64::from(self.count.max(1)) - 1))
    }

    /// Writes it, and tells what the next one says of it.
    pub(super) fn encode(&self) -> ([u8; Self::LENGTH], Link) {
        let mut head = [0; Self::LENGTH];
        let (checked, mut end) = head.split_at_mut(Self::LENGTH - 4);
        let mut fields = &mut *checked;
        fields.put_slice(RECORD_MAGIC);
        fields.put_u16_le(self.left);
        fields.put_u16_le(self.count);
        fields.put_u32_le(self.length);
        fields.put_u64_le(self.first.0);
        fields.put_u64_le(self.synced.0);
        fields.put_u64_le(self.before.first.0);
        fields.put_u32_le(self.before.check);
        let check = crc32fast::hash(checked);
        end.put_u32_le(check);
        (head, Link { first: self.first, check })
    }

    /// Reads the one that bytes begin with; `None` when there is none, or it is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, Link)> {
        let head = bytes.get(..Self::LENGTH)?;
        let (checked, mut end) = head.split_at(Self::LENGTH - 4);
        let mut fields = checked.strip_prefix(RECORD_MAGIC)?;
        let check = end.get_u32_le();
        if crc32fast::hash(checked) != check {
            return None;
        }
        let head = Self {
            left: fields.get_u16_le(),
            count: fields.get_u16_le(),
            length: fields.get_u32_le(),
            first: Sequence(fields.get_u64_le()),
            synced: Sequence(fields.get_u64_le()),
            before: Link { first: Sequence(fields.get_u64_le()), check: fields.get_u32_le() },
        };
        Some((head, Link { first: head.first, check }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_they_were_written_and_no_flipped_bit_passes() {
        let identity = Identity(*b"0123456789abcdef");
        let segment = SegmentHead { identity, first: Sequence(77) };
        let record = RecordHead {
            left: 1,
            count: 2,
            length: 3,
            first: Sequence(4),
            synced: Sequence(5),
            before: Link { first: Sequence(6), check: 7 },
        };
        assert_eq!(SegmentHead::decode(&segment.encode()), Ok(segment));
        let (bytes, link) = record.encode();
        assert_eq!(RecordHead::decode(&bytes), Some((record, link)));
        for at in 0..SegmentHead::LENGTH * 8 {
            let mut flipped = segment.encode();
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(SegmentHead::decode(&flipped), Err(BadHead::Damaged), "bit {at}");
        }
        for at in 0..RecordHead::LENGTH * 8 {
            let mut flipped = bytes;
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(RecordHead::decode(&flipped), None, "bit {at}");
        }
    }

    #[test]
    fn a_newer_segment_is_told_from_a_damaged_one() {
        let mut head = SegmentHead { identity: Identity([1; 16]), first: Sequence(1) }.encode();
        head[8] = 2;
        let check = crc32fast::hash(&head[..36]);
        head[36..].copy_from_slice(&check.to_le_bytes());
        assert_eq!(SegmentHead::decode(&head), Err(BadHead::Newer { found: 2, known: VERSION }));
    }
}
