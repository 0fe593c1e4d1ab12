//! What waits for its time.

use std::cmp::Ordering;
use std::time::Duration;

use crate::{Entry, Tries};

/// How often a delivery was tried, and when it may be tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    pub(crate) tries: Tries,
    pub(crate) due: Duration,
}

/// An entry, and when it may be sent. A `BinaryHeap` gives the greatest first: that is what is due
/// first, and of several what has the first place.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) due: Duration,
    pub(crate) entry: Entry,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.entry.sequence).cmp(&(self.due, self.entry.sequence))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}
