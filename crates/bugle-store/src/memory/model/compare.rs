//! What the journal answers against what the model says.

use std::sync::Arc;

use bugle_core::{Fate, Reader, Sequence, Store};

use super::{Both, Mode, Model, OVERHEAD, now};

impl Both {
    /// Compares all that can be asked.
    pub(super) fn compare(&self) {
        self.store.check();
        for (number, model) in &self.models {
            let handle = &self.handles[number];
            let waits: Vec<u64> = model.waits().collect();
            let info = handle.info();
            assert_eq!(info.depth, waits.len() as u64, "depth of {number}");
            assert_eq!(info.dropped, model.dropped, "dropped of {number}");
            assert!(waits.first().is_none_or(|first| info.cursor.0 < *first));
            let expected = if model.mode == Mode::Reading { waits.clone() } else { Vec::new() };
            for (skip, limit) in [(0, 100), (0, 1), (1, 2), (3, 100)] {
                let after = skip.min(expected.len());
                let cursor = after.checked_sub(1).map_or(0, |it| expected[it]);
                let read = now(handle.read(Sequence(cursor), limit)).unwrap().unwrap();
                let read: Vec<u64> = read.iter().map(|entry| entry.sequence.0).collect();
                let expected: Vec<u64> = expected[after..].iter().take(limit).copied().collect();
                assert_eq!(read, expected, "read {limit} of {number} after {cursor}");
            }
            for sequence in waits {
                let fate = now(handle.fate(Sequence(sequence))).unwrap().unwrap();
                assert_eq!(fate, None, "{sequence} at {number}");
            }
            self.compare_fates(handle, model, false);
        }
        for (handle, model) in &self.forgotten {
            assert_eq!(now(handle.read(Sequence::START, 100)).unwrap().unwrap().len(), 0);
            assert_eq!((handle.info().depth, handle.info().dropped), (0, model.dropped));
            self.compare_fates(handle, model, true);
        }
        let held = self.held();
        let stats = self.store.stats();
        assert_eq!(stats.events, held.len() as u64);
        assert_eq!(stats.bytes + OVERHEAD * stats.events, self.weight(held.keys().copied()));
        assert_eq!(stats.dropped, self.dropped);
        assert_eq!(stats.appended, self.events.len() as u64);
    }

    fn compare_fates(&self, handle: &Arc<dyn Reader>, model: &Model, is_forgotten: bool) {
        let dropped = model.fates.values().filter(|fate| **fate == Fate::Dropped).count();
        if dropped > 32 {
            return;
        }
        for (sequence, fate) in &model.fates {
            if is_forgotten
                && self.copies.iter().any(|(copy, origin)| copy == sequence || origin == sequence)
            {
                // Whoever has its name now may have given up on it.
                continue;
            }
            let known = now(handle.fate(Sequence(*sequence))).unwrap().unwrap();
            assert_eq!(known, Some(*fate), "fate of {sequence}");
        }
    }
}
