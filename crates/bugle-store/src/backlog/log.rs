//! What the event log asks of the backlog, and does to it: which events are not settled
//! everywhere, and taking one from all that wait for it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter;
use std::sync::Arc;

use bugle_core::{EmitterId, Event, Sequence};

use super::kept::{Found, Kept};
use super::room::Limit;
use super::state::{ReaderId, State};

/// What becomes of an event where it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenAs {
    /// It counts as delivered.
    Delivered,
    /// It is dropped, and counted as that.
    Dropped,
    /// It is dropped because it has waited too long, and counted as both.
    Expired,
}

impl State {
    /// The newest events below a place that somebody waits for, newest first, at most so many.
    pub(crate) fn waiting_below(&self, below: Sequence, count: usize) -> Vec<Found> {
        // All feeds are in order, so the newest of all is the newest of one of them.
        let mut feeds: Vec<_> =
            self.stock.feeds.iter().map(|(_, feed)| feed.below(below)).collect();
        let mut next: BinaryHeap<_> = feeds
            .iter_mut()
            .enumerate()
            .filter_map(|(at, feed)| feed.next().map(|(sequence, held)| (sequence, at, held)))
            .collect();
        let mut found: Vec<Found> = Vec::new();
        while found.len() < count
            && let Some((sequence, at, held)) = next.pop()
        {
            if let Some((sequence, held)) = feeds.get_mut(at).and_then(Iterator::next) {
                next.push((sequence, at, held));
            }
            if found.last().is_some_and(|last| last.sequence == sequence) {
                continue;
            }
            if let Some(kept) = self.stock.ledger.kept(held) {
                found.push(Found { sequence, held, kept: kept.clone() });
            }
        }
        found
    }

    /// The events from one place up to another that somebody waits for, newest first; `None` when
    /// they are more than so many.
    pub(crate) fn waiting_in(
        &self,
        first: Sequence,
        last: Sequence,
        most: usize,
    ) -> Option<Vec<Found>> {
        let mut found = self.waiting_below(Sequence(last.0.saturating_add(1)), most + 1);
        found.truncate(found.iter().take_while(|it| it.sequence >= first).count());
        (found.len() <= most).then_some(found)
    }

    /// Tells whether somebody waits for an event.
    pub(crate) fn waits_for(&self, sequence: Sequence) -> bool {
        self.stock.feeds.iter().any(|(_, feed)| feed.holds(sequence))
    }

    /// Takes an event from all that wait for it, whether they read or not. Answers who they are.
    pub(crate) fn take(&mut self, sequence: Sequence, taken: TakenAs) -> Vec<EmitterId> {
        let holds = |id: usize| self.stock.feeds.get(id).is_some_and(|feed| feed.holds(sequence));
        let waits = |reader: &ReaderId| {
            self.records.get(*reader).is_some_and(|it| it.places().any(|place| holds(place.feed)))
        };
        let waiting: Vec<(EmitterId, ReaderId)> = self
            .readers
            .iter()
            .filter(|(_, reader)| waits(reader))
            .map(|(emitter, reader)| (emitter.clone(), *reader))
            .collect();
        let mut taken_from = Vec::with_capacity(waiting.len());
        for (emitter, reader) in waiting {
            let Some(record) = self.records.get_mut(reader) else { continue };
            let feed = record.place.feed;
            record.catch_up(&mut self.stock);
            if !record.settle(&mut self.stock, sequence) {
                continue;
            }
            if taken != TakenAs::Delivered {
                record.drop_one(sequence);
                self.counts.dropped += 1;
                self.counts.expired += u64::from(taken == TakenAs::Expired);
            }
            record.catch_up(&mut self.stock);
            taken_from.push(emitter);
            self.wake_next(Limit::Events(feed));
            self.wake_next(Limit::Emitter(reader));
        }
        self.wake_next(Limit::Bytes);
        taken_from
    }

    /// The oldest event that somebody waits for.
    pub(crate) fn oldest_waiting(&self) -> Option<Found> {
        let ledger = &self.stock.ledger;
        let held = ledger.oldest()?;
        let (sequence, kept) = (ledger.sequence(held)?, ledger.kept(held)?.clone());
        Some(Found { sequence, held, kept })
    }

    /// The newest events below a place that are kept though nobody waits for them.
    pub(crate) fn settled_below(
        &self,
        below: Sequence,
        count: usize,
    ) -> Vec<(Sequence, Arc<Event>)> {
        let settled = self.stock.ledger.history.below(below).take(count);
        settled.map(|(sequence, event)| (sequence, Arc::clone(event))).collect()
    }

    /// The events behind a place that are in memory, in order, each with its first place.
    pub(crate) fn events_after(
        &self,
        after: Sequence,
    ) -> impl Iterator<Item = (Sequence, Sequence, &Arc<Event>)> {
        let history = &self.stock.ledger.history;
        let mut settled = history.after(after).peekable();
        let mut waiting = self.waiting_after(after).peekable();
        let next = move || match (settled.peek(), waiting.peek()) {
            (Some(kept), Some(waits)) if kept.0 < waits.0 => settled.next(),
            (_, Some(_)) => waiting.next(),
            (_, None) => settled.next(),
        };
        iter::from_fn(next).map(|(sequence, event)| (sequence, history.origin(sequence), event))
    }

    /// The events behind a place that somebody waits for and that are in memory, in order.
    fn waiting_after(&self, after: Sequence) -> impl Iterator<Item = (Sequence, &Arc<Event>)> {
        let mut feeds: Vec<_> =
            self.stock.feeds.iter().map(|(_, feed)| feed.after(after)).collect();
        let first = |(at, feed): (usize, &mut _)| {
            Iterator::next(feed).map(|(sequence, held)| Reverse((sequence, at, held)))
        };
        let mut next: BinaryHeap<_> = feeds.iter_mut().enumerate().filter_map(first).collect();
        let mut last = after;
        iter::from_fn(move || {
            loop {
                let Reverse((sequence, at, held)) = next.pop()?;
                if let Some((sequence, held)) = feeds.get_mut(at).and_then(Iterator::next) {
                    next.push(Reverse((sequence, at, held)));
                }
                if let Some(Kept::Here(event)) = self.stock.ledger.kept(held)
                    && last < sequence
                {
                    last = sequence;
                    return Some((sequence, event));
                }
            }
        })
    }

    /// Keeps an event that nobody waits for, unless it is kept already.
    pub(crate) fn keep_settled(&mut self, sequence: Sequence, event: &Arc<Event>) {
        let ledger = &mut self.stock.ledger;
        if !ledger.history.has(sequence) {
            ledger.settled(sequence, Arc::clone(event));
        }
    }

    /// Keeps an event no longer that nobody waits for.
    pub(crate) fn forget_settled(&mut self, sequence: Sequence) {
        self.stock.ledger.history.remove(sequence);
    }
}
