//! Counts allocations.
//!
//! The allocator is mimalloc within one that counts (`main.rs`). It counts always, so that the same
//! binary gives the times and the counts: two additions for each allocation, on both sides.

use alloc_tracker::{ProcessSpan, Session};

/// Counts what all threads of this process allocate.
pub(crate) struct Counting {
    session: Session,
    span: ProcessSpan,
}

/// The allocations between a start and a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allocated {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

impl Counting {
    /// Begins to count now.
    pub(crate) fn start() -> Self {
        let session = Session::new();
        let span = session.operation("all").measure_process();
        Self { session, span }
    }

    /// Answers the allocations since the start.
    pub(crate) fn stop(self) -> Allocated {
        drop(self.span);
        let report = self.session.to_report();
        let (count, bytes) = report.operations().fold((0, 0), |(count, bytes), (_, all)| {
            (count + all.total_allocations_count(), bytes + all.total_bytes_allocated())
        });
        Allocated { count, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_allocation_is_counted() {
        let counting = Counting::start();
        let kept: Vec<Box<[u8; 100]>> = (0..50).map(|_| Box::new([0; 100])).collect();
        let found = counting.stop();
        // Other tests allocate beside this one.
        assert!(found.count > 50 && found.bytes >= 5000, "{found:?} {}", kept.len());
    }
}
