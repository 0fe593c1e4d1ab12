//! Where a slot is: the one that is asked for is nearly always where it is guessed.

use bugle_core::Sequence;

use super::Feed;

impl Feed {
    /// The index of the first slot with at least this ordinal. Ordinals follow one another unless
    /// dead slots were taken out between them, so the first guess is nearly always right.
    pub(super) fn index_of(&self, ordinal: u64) -> usize {
        let Some(front) = self.slots.front() else { return 0 };
        let distance = ordinal.saturating_sub(self.ordinal(front));
        let guess = usize::try_from(distance).unwrap_or(usize::MAX).min(self.slots.len());
        if guess == 0 || self.slots.get(guess - 1).is_some_and(|slot| self.ordinal(slot) < ordinal)
        {
            return guess;
        }
        self.slots.partition_point(|slot| self.ordinal(slot) < ordinal)
    }

    /// The index of the first slot, from an index on, with at least this sequence number. The one
    /// that is asked for is nearly always close.
    pub(super) fn seek(&self, from: usize, sequence: Sequence) -> usize {
        let below = |index: usize| self.slots.get(index).is_some_and(|it| it.sequence < sequence);
        let (mut low, mut step) = (from, 1);
        while below(low + step - 1) {
            low += step;
            step *= 2;
        }
        // The answer is from `low` to `low + step - 1`.
        let mut high = (low + step - 1).min(self.slots.len()).max(low);
        while low < high {
            let middle = low + (high - low) / 2;
            if below(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}
