//! Delivering again, in the journal and in the model.

use std::sync::Arc;

use bugle_core::{
    AppendError, Event, EventName, Overflow, Replay, ReplayError, Replayed, RequestId, Sequence,
};
use bytes::Bytes;
use jiff::Timestamp;

use super::{Both, MAX_BYTES, MAX_EVENTS, Mode, NAMES, OVERHEAD, emitter, now};

impl Both {
    /// Has some of the events that were appended delivered again, from one on.
    pub(super) fn replay(&mut self, number: usize, origin: u64, count: u64) {
        let origins = origin..(origin + count).min(self.events.len() as u64 + 1);
        // An event is known by its first place.
        let origins: Vec<u64> = origins.filter(|it| !self.copies.contains_key(it)).collect();
        let replays = origins.iter().copied().map(|origin| {
            let (name, bytes) = self.events[origin as usize - 1];
            let event = Event::new(
                EventName::new(NAMES[name]).unwrap(),
                RequestId::random(),
                Bytes::from(vec![b'x'; bytes as usize]),
                Timestamp::UNIX_EPOCH,
            );
            Replay::new(Arc::new(event), Sequence(origin))
        });
        let answer = now(self.journal.replay(&emitter(number), replays.collect()));
        let Some(model) = self.models.get(&number) else {
            assert!(matches!(answer, Some(Err(ReplayError::NoEmitter(_)))));
            return;
        };
        if model.mode == Mode::Discarding {
            assert!(matches!(answer, Some(Err(ReplayError::Discards(_)))));
            return;
        }
        let mut expected = Vec::new();
        for origin in origins {
            match self.replay_one(number, origin) {
                Some(replayed) => expected.push(replayed),
                None if expected.is_empty() => {
                    match self.overflow {
                        Overflow::Block => assert_eq!(answer, None, "blocked"),
                        _ => assert!(matches!(
                            answer,
                            Some(Err(ReplayError::Append(AppendError::Full { .. })))
                        )),
                    }
                    return;
                }
                None => break,
            }
        }
        assert_eq!(answer, Some(Ok(expected)));
    }

    /// Has one event wait again; nothing if there is no room.
    fn replay_one(&mut self, number: usize, origin: u64) -> Option<Replayed> {
        let model = &self.models[&number];
        if model.waits().any(|it| it == origin) || model.replays.contains_key(&origin) {
            return Some(Replayed::Waits);
        }
        let (name, bytes) = self.events[origin as usize - 1];
        if self.overflow == Overflow::DropOldest {
            self.drop_for_replay(number, bytes);
        } else {
            let held = self.held();
            let full = !held.is_empty()
                && self.weight(held.keys().copied()) + bytes + OVERHEAD > MAX_BYTES;
            if self.models[&number].waits().count() >= MAX_EVENTS || full {
                return None;
            }
        }
        self.events.push((name, bytes));
        let sequence = self.events.len() as u64;
        let model = self.models.get_mut(&number).unwrap();
        let pending = std::mem::take(&mut model.pending);
        model.carried.extend(pending);
        model.carried.insert(sequence);
        model.replays.insert(origin, sequence);
        // Of what was replayed before, only the last is known.
        let is_it = |it: u64| it == origin || self.copies.get(&it) == Some(&origin);
        model.fates.retain(|it, _| !is_it(*it));
        self.copies.insert(sequence, origin);
        Some(Replayed::Queued(Sequence(sequence)))
    }

    fn drop_for_replay(&mut self, number: usize, bytes: u64) {
        while self.models[&number].waits().count() >= MAX_EVENTS {
            let model = self.models.get_mut(&number).unwrap();
            // Its own oldest go, and nobody else's.
            let first = model.waits().next().unwrap();
            let pending = std::mem::take(&mut model.pending);
            model.carried.extend(pending);
            self.dropped += model.drop_entry(first);
        }
        self.make_room(bytes + OVERHEAD);
    }
}
