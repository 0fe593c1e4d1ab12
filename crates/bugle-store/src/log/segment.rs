//! One segment: a file of the log.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use bugle_core::Sequence;

use super::SegmentError;
use super::format::{BadHead, Link, RecordHead, SegmentHead};
use crate::files::{close_to_others, next_data, open_private, read_at, write_at};

/// The directory of the segments, in the store's.
pub(crate) const DIRECTORY: &str = "segments";

/// Where the first record of a segment is.
pub(super) const FIRST_RECORD: u64 = SegmentHead::LENGTH as u64;

/// A segment that is open.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first: Sequence,
    pub(super) path: PathBuf,
    pub(super) file: File,
}

/// A record as it stands in a segment. Its frame was not looked at.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) head: RecordHead,
    /// What the next record says of it.
    pub(super) link: Link,
    pub(super) frame: Vec<u8>,
}

impl Segment {
    /// The file of a segment.
    pub(super) fn path(directory: &Path, first: Sequence) -> PathBuf {
        directory.join(format!("{:020}.log", first.0))
    }

    /// Opens one that is there.
    pub(super) fn open(
        directory: &Path,
        first: Sequence,
        writing: bool,
    ) -> Result<Self, SegmentError> {
        let path = Self::path(directory, first);
        let opened = OpenOptions::new().read(true).write(writing).open(&path);
        let file = opened.map_err(|error| SegmentError::io(&path, error))?;
        if writing {
            close_to_others(&path);
        }
        Ok(Self { first, path, file })
    }

    /// Makes an empty file with another name, which is to become a segment.
    pub(super) fn make(path: &Path) -> Result<File, SegmentError> {
        let made = open_private(path).and_then(|file| file.set_len(0).map(|()| file));
        made.map_err(|error| SegmentError::io(path, error))
    }

    /// The numbers that name the segments of a directory, in order. Other files are no matter.
    pub(super) fn list(directory: &Path) -> Result<Vec<Sequence>, SegmentError> {
        let failed = |error| SegmentError::io(directory, error);
        let files = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files.map_err(failed)?,
        };
        let mut found = Vec::new();
        for file in files {
            let name = file.map_err(failed)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
            found.extend(number.filter(|it| it.len() == 20).and_then(|it| it.parse::<u64>().ok()));
        }
        found.sort_unstable();
        Ok(found.into_iter().map(Sequence).collect())
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> Result<u64, SegmentError> {
        self.file.metadata().map(|it| it.len()).map_err(|error| self.failed(error))
    }

    /// The segment's head.
    ///
    /// # Errors
    /// That it can't be read; and why it is none.
    pub(super) fn head(&self) -> Result<Result<SegmentHead, BadHead>, SegmentError> {
        let mut head = [0; SegmentHead::LENGTH];
        Ok(match self.read(&mut head, 0)? {
            true => SegmentHead::decode(&head),
            false => Err(BadHead::Damaged),
        })
    }

    /// The head of the record at a place; `None` when none begins there, or it is damaged.
    pub(super) fn record_head(
        &self,
        offset: u64,
    ) -> Result<Option<(RecordHead, Link)>, SegmentError> {
        let mut head = [0; RecordHead::LENGTH];
        let is_there = self.read(&mut head, offset)?;
        Ok(Some(head).filter(|_| is_there).and_then(|head| RecordHead::decode(&head)))
    }

    /// The record at a place; `None` when none begins there, or it is damaged or cut short.
    pub(super) fn record(&self, offset: u64) -> Result<Option<Record>, SegmentError> {
        let Some((head, link)) = self.record_head(offset)? else { return Ok(None) };
        // Nothing is allocated for what can't be there.
        if offset + head.record_length() > self.bytes()? {
            return Ok(None);
        }
        let mut frame = vec![0; head.length as usize];
        let is_there = self.read(&mut frame, offset + RecordHead::LENGTH as u64)?;
        Ok(is_there.then_some(Record { head, link, frame }))
    }

    /// Reads all of these bytes; false when the file is too short.
    pub(super) fn read(&self, bytes: &mut [u8], at: u64) -> Result<bool, SegmentError> {
        match read_at(&self.file, bytes, at) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    pub(super) fn write(&self, bytes: &[u8], at: u64) -> Result<(), SegmentError> {
        #[cfg(test)]
        if let Some(fault) = super::tests::faults::write() {
            let written = bytes.len().min(fault.after);
            write_at(&self.file, &bytes[..written], at).map_err(|error| self.failed(error))?;
            return Err(self.failed(fault.kind.into()));
        }
        write_at(&self.file, bytes, at).map_err(|error| self.failed(error))
    }

    pub(super) fn sync(&self) -> Result<(), SegmentError> {
        #[cfg(test)]
        if super::tests::faults::sync() {
            return Err(self.failed(io::ErrorKind::Other.into()));
        }
        self.file.sync_data().map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: io::Error) -> SegmentError {
        SegmentError::io(&self.path, error)
    }
}

/// How much is looked through at a time, and what of it is passed over where it is zeros.
const CHUNK: usize = 64 * BLOCK;
const BLOCK: usize = 4096;

/// Looks for the head of a record that is meant, wherever it begins from a place on.
pub(super) fn scan(
    segment: &Segment,
    mut from: u64,
    is_meant: impl Fn(&RecordHead) -> bool,
) -> Result<Option<(u64, RecordHead)>, SegmentError> {
    let end = segment.bytes()?;
    let mut bytes = vec![0; CHUNK];
    while from + (RecordHead::LENGTH as u64) <= end {
        let Some(data) = next_data(&segment.file, from) else { return Ok(None) };
        from = data;
        let length = usize::try_from(end - from).unwrap_or(CHUNK).min(CHUNK);
        let chunk = &mut bytes[..length];
        if !segment.read(chunk, from)? {
            return Ok(None);
        }
        if let Some((at, head)) = record_heads(chunk).find(|(_, head)| is_meant(head)) {
            return Ok(Some((from + at as u64, head)));
        }
        // What begins at the end of this is read with what follows.
        let is_last = from + length as u64 == end;
        from += (length - if is_last { 0 } else { RecordHead::LENGTH }) as u64;
    }
    Ok(None)
}

/// All heads of records in these bytes, and where each begins.
fn record_heads(bytes: &[u8]) -> impl Iterator<Item = (usize, RecordHead)> {
    let starts = (0..bytes.len()).step_by(BLOCK).filter_map(|start| {
        let block = start..bytes.len().min(start + BLOCK);
        let (words, rest) = bytes[block.clone()].as_chunks::<16>();
        let is_zeros = words.iter().all(|it| u128::from_ne_bytes(*it) == 0)
            && rest.iter().all(|byte| *byte == 0);
        Some(block).filter(|_| !is_zeros)
    });
    starts.flatten().filter_map(|at| Some((at, RecordHead::decode(&bytes[at..])?.0)))
}
