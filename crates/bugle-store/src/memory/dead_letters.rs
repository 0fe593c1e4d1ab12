//! The dead letters that are kept: the newest ones.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use bugle_core::{
    DeadLetter, DeadLetterId, DeadLetterQuery, EmitterId, Event, Page, PageCursor, Sequence,
};
use rustc_hash::FxHashMap;

/// The newest dead letters of all emitters.
#[derive(Debug)]
pub(super) struct LetterMap {
    letters: BTreeMap<u64, DeadLetter>,
    last_id: u64,
    /// By their events' first places, in the order of the journal.
    by_origin: BTreeMap<(EmitterId, Sequence), u64>,
    /// How many there are of each emitter.
    counts: FxHashMap<EmitterId, u64>,
    /// Where those that were replays were read, for the fate of an entry.
    copies: FxHashMap<(EmitterId, Sequence), Sequence>,
    /// The bytes of their payloads, each counted as often as it stands in a letter.
    bytes: usize,
    max_letters: usize,
    max_bytes: usize,
}

/// How many are given in the order of the journal when nobody says how many.
const BATCH: usize = 4_096;

impl LetterMap {
    pub(super) fn new(max_letters: usize, max_bytes: usize) -> Self {
        Self {
            letters: BTreeMap::new(),
            last_id: 0,
            by_origin: BTreeMap::new(),
            counts: FxHashMap::default(),
            copies: FxHashMap::default(),
            bytes: 0,
            max_letters,
            max_bytes,
        }
    }

    /// Takes one of the event that was first at this place.
    pub(super) fn push(&mut self, letter: DeadLetter, origin: Sequence) {
        self.last_id += 1;
        let letter = letter.numbered(DeadLetterId::new(self.last_id), origin);
        self.bytes += letter.event.payload.len();
        *self.counts.entry(letter.emitter.clone()).or_default() += 1;
        self.by_origin.insert((letter.emitter.clone(), origin), self.last_id);
        if letter.sequence != origin {
            self.copies.insert((letter.emitter.clone(), letter.sequence), origin);
        }
        self.letters.insert(self.last_id, letter);
        while self.letters.len() > self.max_letters || self.bytes > self.max_bytes {
            let Some((oldest, _)) = self.letters.first_key_value() else { break };
            self.remove(DeadLetterId::new(*oldest));
        }
    }

    /// One by its id.
    pub(super) fn get(&self, id: DeadLetterId) -> Option<&DeadLetter> {
        self.letters.get(&id.number())
    }

    /// Deletes one. `false` when it was not there.
    pub(super) fn remove(&mut self, id: DeadLetterId) -> bool {
        let Some(letter) = self.letters.remove(&id.number()) else { return false };
        self.bytes -= letter.event.payload.len();
        if letter.sequence != letter.origin {
            self.copies.remove(&(letter.emitter.clone(), letter.sequence));
        }
        if let Some(count) = self.counts.get_mut(&letter.emitter) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&letter.emitter);
            }
        }
        self.by_origin.remove(&(letter.emitter, letter.origin));
        true
    }

    /// The newest events below a place that are dead letters, newest first, at most so many.
    pub(super) fn events_below(
        &self,
        below: Sequence,
        count: usize,
    ) -> Vec<(Sequence, Arc<Event>)> {
        let places = |it: &DeadLetter| [(it.sequence, it.id), (it.origin, it.id)];
        let mut events: Vec<(Sequence, DeadLetterId)> =
            self.letters.values().flat_map(places).collect();
        events.retain(|(sequence, _)| *sequence < below);
        events.sort_unstable_by_key(|(sequence, _)| Reverse(*sequence));
        events.dedup_by_key(|(sequence, _)| *sequence);
        events.truncate(count);
        let event = |(sequence, id): (Sequence, DeadLetterId)| {
            Some((sequence, Arc::clone(&self.letters.get(&id.number())?.event)))
        };
        events.into_iter().filter_map(event).collect()
    }

    /// Removes the letters of what was read at a place.
    pub(super) fn remove_all(&mut self, sequence: Sequence) {
        let here = self.letters.values().filter(|it| it.sequence == sequence);
        for id in here.map(|it| it.id).collect::<Vec<_>>() {
            self.remove(id);
        }
    }

    /// Deletes the one of the event that was first at this place. `false` when there is none.
    pub(super) fn take(&mut self, emitter: &EmitterId, origin: Sequence) -> bool {
        let id = self.by_origin.get(&(emitter.clone(), origin)).copied();
        id.is_some_and(|id| self.remove(DeadLetterId::new(id)))
    }

    /// Whether an emitter gave up on what it read at this place, or on the event that was first
    /// there.
    pub(super) fn contains(&self, emitter: &EmitterId, sequence: Sequence) -> bool {
        if self.letters.is_empty() {
            return false;
        }
        let key = (emitter.clone(), sequence);
        self.by_origin.contains_key(&key) || self.copies.contains_key(&key)
    }

    /// How many there are of one emitter.
    pub(super) fn of(&self, emitter: &EmitterId) -> u64 {
        self.counts.get(emitter).copied().unwrap_or(0)
    }

    /// Those that fit, newest first.
    fn find<'a>(
        &'a self,
        query: &'a DeadLetterQuery,
        below: u64,
    ) -> impl Iterator<Item = &'a DeadLetter> {
        self.letters.range(..below).rev().map(|(_, it)| it).filter(|it| query.matches(it))
    }

    pub(super) fn page(
        &self,
        query: &DeadLetterQuery,
        limit: usize,
        cursor: Option<PageCursor>,
    ) -> Page<DeadLetter> {
        let below = cursor.map_or(u64::MAX, |cursor| cursor.number());
        let mut found = self.find(query, below);
        let items: Vec<DeadLetter> = found.by_ref().take(limit).cloned().collect();
        // If there is one more there is a next page.
        let last = items.last().filter(|_| found.next().is_some());
        let cursor = last.map(|last| PageCursor::before(last.id.number()));
        Page::new(items, cursor)
    }

    pub(super) fn count(&self, query: &DeadLetterQuery) -> u64 {
        self.find(query, u64::MAX).count() as u64
    }

    /// Those of an emitter that fit, from behind a place on, in the order of the journal.
    pub(super) fn after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Vec<DeadLetter> {
        let from = (emitter.clone(), Sequence(origin.0.saturating_add(1)));
        let all = query.clone().emitter_ids([]);
        self.by_origin
            .range(from..)
            .take_while(|((it, _), _)| it == emitter)
            .filter_map(|(_, id)| self.letters.get(id))
            .filter(|letter| all.matches(letter))
            .take(query.limit.unwrap_or(BATCH))
            .cloned()
            .collect()
    }
}
