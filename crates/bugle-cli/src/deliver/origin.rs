//! The line that an event came from.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bugle::Sequence;

/// Knows which line each event came from. Events are numbered as they are accepted, lines as they
/// are read; only where a line was passed over does the difference change, and only that is kept.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// Pairs of an event and a line: from that event on, lines go on from that line.
    changes: Mutex<Vec<(u64, u64)>>,
}

impl Origins {
    /// Says that the next event to be accepted, if it is `event`, comes from this line. It is
    /// called before the event is emitted, as that may be delivered at once.
    pub(super) fn expect(&self, event: Sequence, line: u64) {
        let mut changes = self.changes();
        // The one that was expected before it was not accepted.
        changes.pop_if(|(expected, _)| *expected == event.0);
        if line_of(&changes, event.0) != Some(line) {
            changes.push((event.0, line));
        }
    }

    /// The line that an event came from.
    pub(super) fn line(&self, event: Sequence) -> Option<u64> {
        line_of(&self.changes(), event.0)
    }

    fn changes(&self) -> MutexGuard<'_, Vec<(u64, u64)>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line_of(changes: &[(u64, u64)], event: u64) -> Option<u64> {
    let after = changes.partition_point(|(first, _)| *first <= event);
    let (first, line) = changes.get(after.checked_sub(1)?)?;
    Some(line + (event - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_knows_its_line() {
        let origins = Origins::default();
        let accepted = [(1, 2), (2, 3), (3, 7), (4, 8), (5, 10)];
        for (event, line) in accepted {
            // One that is refused comes before each.
            origins.expect(Sequence(event), line - 1);
            origins.expect(Sequence(event), line);
        }
        for (event, line) in accepted {
            assert_eq!(origins.line(Sequence(event)), Some(line));
        }
        assert_eq!(origins.changes().len(), 3);
        assert_eq!(origins.line(Sequence(0)), None);
    }
}
