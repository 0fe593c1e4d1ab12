//! One segment: a file of the log.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use bugle_core::Sequence;

use super::SegmentError;
use super::format::{BadHead, Link, RecordHead, SegmentHead};
use crate::files::{open_private, read_at, write_at};

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
        write_at(&self.file, bytes, at).map_err(|error| self.failed(error))
    }

    pub(super) fn sync(&self) -> Result<(), SegmentError> {
        self.file.sync_data().map_err(|error| self.failed(error))
    }

    pub(super) fn failed(&self, error: io::Error) -> SegmentError {
        SegmentError::io(&self.path, error)
    }
}
