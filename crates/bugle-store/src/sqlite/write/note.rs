//! What became of an entry at an emitter, as it is noted in
//! [`settled`](crate::sqlite::write::settle_log).
//!
//! A note is a checksum, the length of the emitter's id, the entry's sequence number, and the id;
//! of a failed attempt also the setback, in between.

use std::time::Duration;

use bugle_core::{EmitterId, Sequence, Setback, Tries};
use jiff::Timestamp;

/// The longest note: its head, and an emitter's id.
const LONGEST: usize = HEAD + SETBACK + 256;

/// A note's checksum, the length of the id, and the sequence number.
pub(crate) const HEAD: usize = 4 + 2 + 8;

/// What a failed attempt's note has between head and id: its number, two counts of attempts and one
/// of failures, when it was, and three delays.
pub(crate) const SETBACK: usize = 8 + 3 * 4 + 8 + 3 * 8;

/// Set in the length of the id: the note is of a failed attempt.
const IS_SETBACK: u16 = 1 << 15;

/// A note: what became of an entry at an emitter.
pub(crate) type Note = (EmitterId, Noted);

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// It is settled: delivered.
    Delivered(Sequence),
    /// An attempt failed: the so-manyth of its emitter, at this time of day.
    SetBack(u64, Setback, Timestamp),
}

impl Noted {
    /// The entry's place.
    pub(crate) fn sequence(&self) -> Sequence {
        match self {
            Self::Delivered(sequence) => *sequence,
            Self::SetBack(_, setback, _) => setback.sequence,
        }
    }
}

/// A note as bytes.
pub(crate) struct Written {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Written {
    /// Of a half with this number.
    pub(crate) fn new(number: u64, emitter: &EmitterId, noted: &Noted) -> Self {
        let id = emitter.as_str().as_bytes();
        let mut bytes = [0; LONGEST];
        let mut id_length = u16::try_from(id.len()).unwrap_or(0);
        let (sequence, head) = match noted {
            Noted::Delivered(sequence) => (*sequence, HEAD),
            Noted::SetBack(count, setback, at) => {
                id_length |= IS_SETBACK;
                bytes[HEAD..][..SETBACK].copy_from_slice(&write_setback(*count, setback, *at));
                (setback.sequence, HEAD + SETBACK)
            }
        };
        bytes[4..6].copy_from_slice(&id_length.to_le_bytes());
        bytes[6..HEAD].copy_from_slice(&sequence.0.to_le_bytes());
        bytes[head..][..id.len()].copy_from_slice(id);
        let length = head + id.len();
        let checksum = checksum(number, &bytes[4..length]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        Self { bytes, length }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

fn checksum(number: u64, noted: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(noted);
    hasher.finalize()
}

/// Reads the note at the start of these bytes, if it is one of this half; with what follows it.
pub(crate) fn read_note(number: u64, bytes: &[u8]) -> Option<(Note, &[u8])> {
    let (found, noted) = bytes.split_first_chunk()?;
    let (length, rest) = noted.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let length = u16::from_le_bytes(*length);
    let is_setback = length & IS_SETBACK != 0;
    let length = usize::from(length & !IS_SETBACK);
    let (setback, rest) = rest.split_at_checked(if is_setback { SETBACK } else { 0 })?;
    let (id, rest) = rest.split_at_checked(length)?;
    let whole = HEAD - 4 + setback.len() + length;
    if checksum(number, noted.get(..whole)?) != u32::from_le_bytes(*found) {
        return None;
    }
    let emitter = EmitterId::new(str::from_utf8(id).ok()?).ok()?;
    let sequence = Sequence(u64::from_le_bytes(*sequence));
    let noted = match is_setback {
        true => read_setback(sequence, setback)?,
        false => Noted::Delivered(sequence),
    };
    Some(((emitter, noted), rest))
}

fn write_setback(count: u64, setback: &Setback, at: Timestamp) -> [u8; SETBACK] {
    let Setback { tries, delay, failures, backoff, asked, .. } = setback;
    let nanoseconds = |it: &Duration| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX);
    let mut bytes = [0; SETBACK];
    bytes[..8].copy_from_slice(&count.to_le_bytes());
    for (at, number) in [tries.attempts, tries.crashes, *failures].into_iter().enumerate() {
        bytes[8 + 4 * at..][..4].copy_from_slice(&number.to_le_bytes());
    }
    let at = i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX).cast_unsigned();
    let times = [at, nanoseconds(delay), nanoseconds(backoff), nanoseconds(asked)];
    for (at, time) in times.into_iter().enumerate() {
        bytes[20 + 8 * at..][..8].copy_from_slice(&time.to_le_bytes());
    }
    bytes
}

fn read_setback(sequence: Sequence, bytes: &[u8]) -> Option<Noted> {
    let short = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let at = Timestamp::from_nanosecond(long(20)?.cast_signed().into()).ok()?;
    let setback = Setback {
        sequence,
        tries: Tries { attempts: short(8)?, crashes: short(12)? },
        failures: short(16)?,
        delay: Duration::from_nanos(long(28)?),
        backoff: Duration::from_nanos(long(36)?),
        asked: Duration::from_nanos(long(44)?),
    };
    Some(Noted::SetBack(long(0)?, setback, at))
}
