//! Appending, in the journal and in the model.

use std::sync::Arc;

use bugle_core::{
    AppendError, Batch, Event, EventName, Fate, Overflow, Position, RequestId, Sequence, SourceId,
    SourcePosition, Store,
};
use bytes::Bytes;
use jiff::Timestamp;

use super::{Both, MAX_BYTES, MAX_EVENTS, Mode, NAMES, OVERHEAD, SUBSCRIPTIONS, matches, now};

impl Both {
    fn drop_front(&mut self, subscription: usize) -> Option<u64> {
        let front = *self.feed(subscription).first_key_value()?.0;
        for model in self.models.values_mut().filter(|it| it.subscription == subscription) {
            if model.pending.contains(&front) {
                self.dropped += model.drop_entry(front);
            }
        }
        Some(front)
    }

    /// The subscriptions that someone has who takes events of a name.
    fn takers(&self, name: usize) -> Vec<usize> {
        let takes = |it: &usize| {
            let mut models = self.models.values();
            models.any(|model| model.subscription == *it && model.mode != Mode::Discarding)
        };
        (0..SUBSCRIPTIONS.len()).filter(|it| matches(*it, name)).filter(takes).collect()
    }

    /// Appends events, each of a name and a size: a single one as such, or as a batch.
    pub(super) fn append(&mut self, events: &[(usize, usize)], single: bool) {
        let event = |(name, bytes): &(usize, usize)| {
            Arc::new(Event::new(
                EventName::new(NAMES[*name]).unwrap(),
                RequestId::random(),
                Bytes::from(vec![b'x'; *bytes]),
                Timestamp::UNIX_EPOCH,
            ))
        };
        let mut batch: Vec<_> = events.iter().map(event).collect();
        let source = SourceId::new("file").unwrap();
        let before = now(self.store.positions().position(&source)).unwrap().unwrap();
        let position = SourcePosition::new("file", self.events.len().to_string()).unwrap();
        let answer = match single {
            true => now(self.journal.append(batch.remove(0))).map(|it| it.map(|it| vec![it])),
            false => {
                let batch = Batch::new(batch).position(Some(position.clone()));
                now(self.journal.append_all(batch))
            }
        };
        let after = now(self.store.positions().position(&source)).unwrap().unwrap();
        let wanted: Vec<u64> = events
            .iter()
            .filter(|(name, _)| !self.takers(*name).is_empty())
            .map(|(_, bytes)| *bytes as u64 + OVERHEAD)
            .collect();
        let each: Vec<usize> = (0..SUBSCRIPTIONS.len())
            .map(|it| events.iter().filter(|event| self.takers(event.0).contains(&it)).count())
            .collect();
        let too_large = wanted.len() > 1 && wanted.iter().sum::<u64>() > MAX_BYTES
            || each.iter().any(|count| *count > MAX_EVENTS);
        let refused = if too_large {
            assert!(matches!(answer, Some(Err(AppendError::BatchTooLarge { .. }))), "{answer:?}");
            true
        } else if self.is_full(&wanted, &each) && self.overflow != Overflow::DropOldest {
            match self.overflow {
                Overflow::Block => assert_eq!(answer, None, "blocked"),
                _ => assert!(matches!(answer, Some(Err(AppendError::Full { .. }))), "{answer:?}"),
            }
            true
        } else {
            false
        };
        if refused {
            assert_eq!(after, before, "the position");
            return;
        }
        let mut places = Vec::new();
        let mut to_come: u64 = wanted.iter().sum();
        for (name, bytes) in events {
            places.push(self.append_one(*name, *bytes as u64, &mut to_come));
        }
        assert_eq!(answer, Some(Ok(places)));
        let position: Position = position.position;
        assert_eq!(after, if single { before } else { Some(position) });
    }

    /// Whether there is no room, whatever is dropped that nobody reads.
    fn is_full(&self, wanted: &[u64], each: &[usize]) -> bool {
        let held = self.held();
        let read: Vec<u64> =
            held.iter().filter(|(_, reading)| **reading).map(|(it, _)| *it).collect();
        let crowded = |(subscription, count): (usize, &usize)| {
            let feed = self.feed(subscription);
            let stalled = feed.values().take_while(|reading| !**reading).count();
            *count > 0 && feed.len() - stalled + count > MAX_EVENTS
        };
        let bytes = self.weight(read.iter().copied()) + wanted.iter().sum::<u64>();
        each.iter().enumerate().any(crowded)
            || !wanted.is_empty() && read.len() + wanted.len() > 1 && bytes > MAX_BYTES
    }

    /// Appends one event; `to_come` is what it and those behind it weigh.
    fn append_one(&mut self, name: usize, bytes: u64, to_come: &mut u64) -> Sequence {
        let takers = self.takers(name);
        if !takers.is_empty() {
            for it in &takers {
                while self.feed(*it).len() >= MAX_EVENTS {
                    self.drop_front(*it);
                }
            }
            self.make_room(*to_come);
            *to_come -= bytes + OVERHEAD;
        }
        self.events.push((name, bytes));
        let sequence = self.events.len() as u64;
        for model in self.models.values_mut().filter(|it| matches(it.subscription, name)) {
            match model.mode {
                Mode::Discarding => {
                    model.fates.insert(sequence, Fate::Dropped);
                }
                _ => {
                    model.pending.insert(sequence);
                }
            }
        }
        Sequence(sequence)
    }

    pub(super) fn make_room(&mut self, to_come: u64) {
        loop {
            let held = self.held();
            if held.is_empty() || self.weight(held.keys().copied()) + to_come <= MAX_BYTES {
                break;
            }
            let stalled = held.iter().find(|(_, reading)| !**reading);
            let victim = *stalled.or(held.iter().next()).unwrap().0;
            for subscription in 0..SUBSCRIPTIONS.len() {
                while self.feed(subscription).contains_key(&victim) {
                    self.drop_front(subscription);
                }
            }
            for model in self.models.values_mut() {
                while model.carried.contains(&victim) {
                    let front = *model.carried.first().unwrap();
                    self.dropped += model.drop_entry(front);
                }
            }
        }
    }
}
