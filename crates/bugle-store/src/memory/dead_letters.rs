//! The dead letters that are kept: the newest ones.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use bugle_core::{DeadLetter, EmitterId, Event, Sequence};
use rustc_hash::FxHashSet;

/// The newest dead letters of all emitters.
#[derive(Debug)]
pub(super) struct DeadLetters {
    letters: VecDeque<DeadLetter>,
    /// Whose they are, for the fate of an entry.
    index: FxHashSet<(EmitterId, Sequence)>,
    /// The bytes of their payloads, each counted as often as it stands in a letter.
    bytes: usize,
    max_letters: usize,
    max_bytes: usize,
}

impl DeadLetters {
    pub(super) fn new(max_letters: usize, max_bytes: usize) -> Self {
        Self {
            letters: VecDeque::new(),
            index: FxHashSet::default(),
            bytes: 0,
            max_letters,
            max_bytes,
        }
    }

    pub(super) fn push(&mut self, letter: DeadLetter) {
        self.bytes += letter.event.payload.len();
        self.index.insert((letter.emitter.clone(), letter.sequence));
        self.letters.push_back(letter);
        while self.letters.len() > self.max_letters || self.bytes > self.max_bytes {
            let Some(oldest) = self.letters.pop_front() else { break };
            self.bytes -= oldest.event.payload.len();
            self.index.remove(&(oldest.emitter, oldest.sequence));
        }
    }

    pub(super) fn contains(&self, emitter: &EmitterId, sequence: Sequence) -> bool {
        !self.index.is_empty() && self.index.contains(&(emitter.clone(), sequence))
    }

    /// The newest events below a place that are dead letters, newest first, at most so many.
    pub(super) fn events_below(
        &self,
        below: Sequence,
        count: usize,
    ) -> Vec<(Sequence, Arc<Event>)> {
        let letters = self.letters.iter().filter(|letter| letter.sequence < below);
        let mut events: Vec<_> = letters.map(|letter| (letter.sequence, &letter.event)).collect();
        events.sort_unstable_by_key(|(sequence, _)| Reverse(*sequence));
        events.dedup_by_key(|(sequence, _)| *sequence);
        events.truncate(count);
        events.into_iter().map(|(sequence, event)| (sequence, Arc::clone(event))).collect()
    }

    /// Removes an event's letters.
    pub(super) fn remove(&mut self, sequence: Sequence) {
        let Self { letters, index, bytes, .. } = self;
        letters.retain(|letter| {
            let stays = letter.sequence != sequence;
            if !stays {
                *bytes -= letter.event.payload.len();
                index.remove(&(letter.emitter.clone(), sequence));
            }
            stays
        });
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
