//! The entries that wait for their time.

use std::cmp::Ordering;
use std::time::Duration;

use crate::{Entry, Tries};

/// The tries of a delivery, and the time of the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tried {
    pub(crate) tries: Tries,
    pub(crate) due: Duration,
}

/// An entry, and the time at which it may be sent. A `BinaryHeap` gives the greatest first: the one
/// that is due first, and of several the one with the first place.
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
