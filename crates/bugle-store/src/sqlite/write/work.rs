//! All that the database's thread is to write.

use bugle_core::{
    DeadLetter, DeadLetterId, EmitterId, JournalError, NewAttempt, Sequence, SourceId,
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::answers::{Asker, Waiter};
use crate::sqlite::tables::specs::SpecRow;

/// Dead letters that are to be deleted.
#[derive(Debug)]
pub(crate) struct Discard {
    pub(crate) ids: Vec<DeadLetterId>,
    /// Says how many of them there were.
    pub(crate) answer: Asker<Result<u64, JournalError>>,
}

/// All that is written in one transaction. What can't be written waits for the next one.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Dead letters that are deleted.
    pub(crate) discards: Vec<Discard>,
    /// Emitters whose place is not as it was written down: where only the cursor moved, `false`;
    /// `true` for more, also for one that is forgotten.
    pub(crate) moved: FxHashMap<EmitterId, bool>,
    /// Events that are in the log and are taken back.
    pub(crate) retracted: Vec<Sequence>,
    /// Events that are deleted: their bytes, too.
    pub(crate) deleted: Vec<Sequence>,
    /// Sources whose position is not as it was written down, because a batch is taken back.
    pub(crate) returned: FxHashSet<SourceId>,
    pub(crate) letters: Vec<DeadLetter>,
    /// Events whose dead letters are removed, these among them.
    pub(crate) absolved: Vec<Sequence>,
    pub(crate) attempts: Vec<NewAttempt>,
    /// Specs as they are now; `None` for one that is removed.
    pub(crate) specs: FxHashMap<EmitterId, Option<SpecRow>>,
    /// Tells whether the places of all those are among `moved` that were noted to have moved.
    pub(crate) settled: bool,
    /// Those who wait until all this is written.
    pub(crate) written: Vec<Waiter>,
    /// Those who wait until all this is as safe as an accepted event.
    pub(crate) synced: Vec<Waiter>,
    /// Those who wait for no more of it than an emitter's place and spec.
    pub(crate) kept: Vec<(EmitterId, Waiter)>,
}

impl Work {
    /// An emitter's place is not as it was written down.
    pub(crate) fn mark(&mut self, emitter: &EmitterId, whole: bool) {
        *self.moved.entry(emitter.clone()).or_default() |= whole;
    }

    /// Tells whether somebody waits until it is as safe as an accepted event.
    pub(crate) fn waits(&self) -> bool {
        !self.synced.is_empty() || !self.kept.is_empty() || !self.discards.is_empty()
    }

    /// Takes out who waits for that.
    pub(crate) fn take_waiting(&mut self) -> impl Iterator<Item = Waiter> + use<> {
        let kept = std::mem::take(&mut self.kept).into_iter().map(|(_, waiter)| waiter);
        std::mem::take(&mut self.synced).into_iter().chain(kept)
    }

    /// Tells whether there is nothing to write.
    pub(crate) fn changes_nothing(&self) -> bool {
        self.discards.is_empty()
            && self.moved.is_empty()
            && self.retracted.is_empty()
            && self.deleted.is_empty()
            && self.returned.is_empty()
            && self.letters.is_empty()
            && self.absolved.is_empty()
            && self.attempts.is_empty()
            && self.specs.is_empty()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes_nothing() && self.written.is_empty() && !self.waits()
    }

    /// Tells whether it promises anything but events, which are counted by their numbers.
    pub(crate) fn confirms(&self) -> bool {
        !self.specs.is_empty()
            || !self.letters.is_empty()
            || !self.discards.is_empty()
            || !self.absolved.is_empty()
            || !self.retracted.is_empty()
            || !self.deleted.is_empty()
            || self.moved.values().any(|whole| *whole)
    }

    /// Adds what has come since.
    pub(crate) fn append(&mut self, mut later: Self) {
        for (emitter, whole) in later.moved {
            *self.moved.entry(emitter).or_default() |= whole;
        }
        self.discards.append(&mut later.discards);
        self.retracted.append(&mut later.retracted);
        self.deleted.append(&mut later.deleted);
        self.returned.extend(later.returned);
        self.letters.append(&mut later.letters);
        self.absolved.append(&mut later.absolved);
        self.attempts.append(&mut later.attempts);
        self.specs.extend(later.specs);
        self.settled |= later.settled;
        self.written.append(&mut later.written);
        self.synced.append(&mut later.synced);
        self.kept.append(&mut later.kept);
    }
}
