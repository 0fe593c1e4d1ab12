//! An entry in a feed, and who waits for it there.

use bugle_core::Sequence;

use super::super::ledger::{HeldId, Ledger};

/// An entry in a feed. Millions may wait, so every byte of it counts.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) sequence: Sequence,
    /// The lower half of its ordinal, which [`Slot::ordinal_before`] makes whole.
    ordinal: u32,
    pub(super) held: HeldId,
    /// How many readers have not settled it. At none the slot is dead.
    pub(super) waiting: u32,
    /// How many reading readers have their cursor below it. It never falls from one slot to the
    /// next, so the slots that wait only for readers that do not read are the first ones.
    pub(super) reading: u32,
}

impl Slot {
    pub(super) fn new(
        ordinal: u64,
        sequence: Sequence,
        held: HeldId,
        waiting: u32,
        reading: u32,
    ) -> Self {
        Self { sequence, ordinal: lower_half(ordinal), held, waiting, reading }
    }

    /// Its ordinal, which is less than 32 bits behind the next one of its feed.
    pub(super) fn ordinal_before(&self, end: u64) -> u64 {
        end - u64::from(lower_half(end).wrapping_sub(self.ordinal))
    }

    pub(super) fn is_live(&self) -> bool {
        self.waiting > 0
    }

    /// One reader less waits for this entry. Whether the slot died of it.
    pub(super) fn no_longer_waits(&mut self, ledger: &mut Ledger) -> bool {
        self.waiting -= 1;
        if self.waiting == 0 {
            ledger.release(self.held, self.reading > 0);
        }
        self.waiting == 0
    }

    /// One reading reader less has its cursor below this entry.
    pub(super) fn no_longer_read(&mut self, ledger: &mut Ledger) {
        self.reading -= 1;
        if self.reading == 0 && self.is_live() {
            ledger.unwanted(self.held);
        }
    }
}

fn lower_half(ordinal: u64) -> u32 {
    ordinal as u32
}
