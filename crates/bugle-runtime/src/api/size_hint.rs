//! A guess at the size of the next payload, so that its buffer need not grow.

use std::sync::atomic::{AtomicU64, Ordering};

/// The least and the most that is set aside for a payload before it is encoded.
const LEAST: u64 = 256;
const MOST: u64 = 2 << 20;

/// The sizes of the last two payloads. The smaller one is the hint: a large payload now and then
/// does not make the small ones set much aside.
#[derive(Debug, Default)]
pub(crate) struct SizeHint {
    /// The last size in the lower half, the one before in the upper.
    last_two: AtomicU64,
}

impl SizeHint {
    pub(crate) fn get(&self) -> usize {
        let last_two = self.last_two.load(Ordering::Relaxed);
        let (before, last) = (last_two >> 32, last_two & u64::from(u32::MAX));
        // A little more than the last: numbers and names vary in length.
        let hint = before.min(last) + 16;
        usize::try_from(hint.clamp(LEAST, MOST)).unwrap_or_default()
    }

    pub(crate) fn put(&self, bytes: usize) {
        let last = self.last_two.load(Ordering::Relaxed) & u64::from(u32::MAX);
        let bytes = u64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.last_two.store(last << 32 | bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_comes_twice() {
        let hint = SizeHint::default();
        let mut hints = Vec::new();
        for bytes in [1_000, 1_000, 1 << 20, 1_000, 1_000, 1 << 20, 1 << 20, 5 << 30, 5 << 30] {
            hint.put(bytes);
            hints.push(hint.get());
        }
        let mib = (1 << 20) + 16;
        assert_eq!(hints, [256, 1_016, 1_016, 1_016, 1_016, 1_016, mib, mib, 2 << 20]);
    }
}
