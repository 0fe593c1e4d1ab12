//! What could not be written, and waits for the next transaction.

use bugle_core::{DeadLetter, EmitterId, Sequence, SourceId};
use rustc_hash::{FxHashMap, FxHashSet};

use super::queue::Work;
use super::specs::SpecRow;

/// What could not be written. Who waited for it has been told.
#[derive(Default)]
pub(super) struct Left {
    moved: FxHashMap<EmitterId, bool>,
    retracted: Vec<Sequence>,
    returned: FxHashSet<SourceId>,
    letters: Vec<DeadLetter>,
    specs: FxHashMap<EmitterId, Option<SpecRow>>,
    absolved: Vec<Sequence>,
    /// Whether all places are among these that were noted to have moved.
    settled: bool,
}

impl Left {
    /// What is to be kept of work that could not be done.
    pub(super) fn of(work: &mut Work) -> Self {
        Self {
            moved: std::mem::take(&mut work.moved),
            retracted: std::mem::take(&mut work.retracted),
            returned: std::mem::take(&mut work.returned),
            letters: std::mem::take(&mut work.letters),
            specs: std::mem::take(&mut work.specs),
            absolved: std::mem::take(&mut work.absolved),
            settled: work.settled,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.moved.is_empty()
            && self.retracted.is_empty()
            && self.returned.is_empty()
            && self.letters.is_empty()
            && self.specs.is_empty()
            && self.absolved.is_empty()
    }

    /// Puts all of it before what has come since.
    pub(super) fn go_before(&mut self, work: &mut Work) {
        for (emitter, whole) in std::mem::take(&mut self.moved) {
            work.mark(&emitter, whole);
        }
        work.retracted.append(&mut self.retracted);
        work.returned.extend(self.returned.drain());
        work.letters.splice(0..0, self.letters.drain(..));
        for (emitter, spec) in std::mem::take(&mut self.specs) {
            work.specs.entry(emitter).or_insert(spec);
        }
        work.absolved.append(&mut self.absolved);
        work.settled |= std::mem::take(&mut self.settled);
    }
}
