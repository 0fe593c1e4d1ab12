//! The dead letters that are kept: the newest ones.

use std::collections::VecDeque;

use bugle_core::{DeadLetter, EmitterId, Sequence};
use rustc_hash::FxHashSet;

/// The newest dead letters of all emitters.
#[derive(Debug)]
pub(super) struct DeadLetters {
    letters: VecDeque<DeadLetter>,
    /// Whose they are, for the fate of an entry.
    index: FxHashSet<(EmitterId, Sequence)>,
    limit: usize,
}

impl DeadLetters {
    pub(super) fn new(limit: usize) -> Self {
        Self { letters: VecDeque::new(), index: FxHashSet::default(), limit }
    }

    pub(super) fn push(&mut self, letter: DeadLetter) {
        if self.limit == 0 {
            return;
        }
        if self.letters.len() >= self.limit
            && let Some(oldest) = self.letters.pop_front()
        {
            self.index.remove(&(oldest.emitter, oldest.sequence));
        }
        self.index.insert((letter.emitter.clone(), letter.sequence));
        self.letters.push_back(letter);
    }

    pub(super) fn contains(&self, emitter: &EmitterId, sequence: Sequence) -> bool {
        !self.index.is_empty() && self.index.contains(&(emitter.clone(), sequence))
    }

    pub(super) fn newest(&self, emitter: Option<&EmitterId>, limit: usize) -> Vec<DeadLetter> {
        self.letters
            .iter()
            .rev()
            .filter(|letter| emitter.is_none_or(|emitter| letter.emitter == *emitter))
            .take(limit)
            .cloned()
            .collect()
    }
}
