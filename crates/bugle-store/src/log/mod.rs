//! The log: accepted events as frames, in segments.
//!
//! A segment is a file, `segments/<number of its first event, 20 digits>.log`: a head, and then
//! records without a gap. A record is a head and a frame ([`bugle_core::Frame`]). Each record names
//! the one before it, across segments too, so nothing can be missing between two good ones.
//!
//! A segment has its space before it is written, so a sync has nothing to wait for but the data.
//! What is behind the last record is zeros, or what is left of a write that nobody was told of.
//!
//! All that is written by one call is one *write*: records of which each but the last says that the
//! next belongs to it. It is there whole or not at all.
//!
//! What is a tail that may be cut, and what is damage? A record also says up to where the log was
//! synced as it was written. So a record that is bad or missing, though a later one says that it
//! was synced, is damage; and so is an end before what was answered for. Anything else is the end.
//!
//! [`LogWriter`] appends, and is one thread's; [`LogReader`] reads, deletes, and is shared.

mod error;
mod format;
mod open;
mod reader;
mod salvage;
mod segment;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bugle_core::{Frame, Sequence};

pub(crate) use error::SegmentError;
pub(crate) use open::{Known, open};
pub(crate) use reader::LogReader;
pub(crate) use salvage::{Looked, Mend, look_through, owners, segment_file};
pub(crate) use segment::DIRECTORY;
pub(crate) use writer::LogWriter;

/// What the segments of one store have in common, and those of no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) [u8; 16]);

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameAddress {
    /// The first number of its segment, which names the file.
    pub(crate) segment: Sequence,
    /// Where it begins in the file, in bytes.
    pub(crate) offset: u32,
    /// How long it is with its head, in bytes.
    pub(crate) length: u32,
}

/// A frame that was found in the log.
#[derive(Debug)]
pub(crate) struct Found {
    /// The number of its first event. The others have the numbers that follow. A frame without
    /// events takes this one number all the same.
    pub(crate) first: Sequence,
    /// Where it is.
    pub(crate) address: FrameAddress,
    /// What it says.
    pub(crate) frame: Frame,
}

/// How large the log may be.
#[derive(Debug, Clone)]
pub(crate) struct LogOptions {
    /// How large a segment is, at most. The first has 1 MiB, and each has twice what the one before
    /// it had. Default 64 MiB.
    pub(crate) segment_bytes: u64,
    /// How many bytes all segments may have together. It is looked at whenever one is made.
    /// Default: no limit.
    pub(crate) max_bytes: Arc<AtomicU64>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, max_bytes: Arc::new(AtomicU64::new(u64::MAX)) }
    }
}

impl LogOptions {
    fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Relaxed)
    }
}
