//! About how many callers there are that append.

/// From how many on they come in two groups: one writes while the other is synced.
const TWO_GROUPS: usize = 16;

/// An estimate, from those who wait.
#[derive(Debug, Default)]
pub(super) struct Callers(usize);

impl Callers {
    /// So many wait, with those who are about to be told and may come again.
    pub(super) fn count(&mut self, now: usize) {
        // Those who were just told and have not come again are not seen.
        self.0 = now.max(self.0 - self.0.div_ceil(8));
    }

    pub(super) fn are_several(&self) -> bool {
        self.0 > 1
    }

    /// How many appends are worth a transaction, if they come soon.
    pub(super) fn expected(&self) -> usize {
        if self.0 < TWO_GROUPS { self.0 } else { self.0 / 2 }
    }
}
