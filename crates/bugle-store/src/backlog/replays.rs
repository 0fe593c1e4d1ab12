//! What is delivered again, each to one emitter.
//!
//! A replay is an entry of the journal like any other, but that one emitter only reads it. It is
//! appended in two steps as an event is: room is kept for it, and later it is published or
//! withdrawn.

use std::collections::BTreeMap;

use bugle_core::{EmitterId, Overflow, Replay, ReplayError, Replayed, Sequence};
use rustc_hash::FxHashMap;

use super::kept::Kept;
use super::record::{Mode, Record, Stock};
use super::room::Limit;
use super::state::{Opened, State};

/// What is delivered again to one emitter.
#[derive(Debug, Default)]
pub(super) struct Replays {
    /// From an event's first place to where it stands now: nowhere before it is published.
    copies: FxHashMap<Sequence, Option<Sequence>>,
    /// And back.
    origins: BTreeMap<Sequence, Sequence>,
    /// How many are to be published.
    reserved: u64,
}

impl Replays {
    /// An event waits again.
    pub(super) fn queued(&mut self, origin: Sequence, sequence: Sequence) {
        self.copies.insert(origin, Some(sequence));
        self.origins.insert(sequence, origin);
    }

    /// Where the event that was first at this place stands now, if it is delivered again: nowhere
    /// before it is published.
    pub(super) fn copy(&self, origin: Sequence) -> Option<Option<Sequence>> {
        self.copies.get(&origin).copied()
    }

    fn reserve(&mut self, origin: Sequence) {
        self.reserved += 1;
        self.copies.insert(origin, None);
    }

    fn unreserve(&mut self, origin: Sequence) {
        self.reserved = self.reserved.saturating_sub(1);
        self.copies.remove(&origin);
    }

    /// The first place of the event that stands at this one, which waits no more.
    fn forget(&mut self, copy: Sequence) -> Option<Sequence> {
        let origin = self.origins.remove(&copy)?;
        if self.copies.get(&origin) == Some(&Some(copy)) {
            self.copies.remove(&origin);
        }
        Some(origin)
    }
}

impl Record {
    /// Whether an entry waits here.
    pub(super) fn waits(&self, stock: &Stock, sequence: Sequence) -> bool {
        self.mode != Mode::Discarding
            && self.places().any(|place| {
                stock.feeds.get(place.feed).is_some_and(|feed| feed.waits(place, sequence))
            })
    }

    /// How many entries wait, with the replays that are about to be appended.
    pub(super) fn expected_depth(&self, stock: &Stock) -> u64 {
        self.depth(stock) + self.replays.as_ref().map_or(0, |it| it.reserved)
    }

    /// The first place of the event that stands at this one.
    fn origin(&self, sequence: Sequence) -> Sequence {
        let replays = self.replays.as_ref();
        replays.and_then(|it| it.origins.get(&sequence)).copied().unwrap_or(sequence)
    }

    /// Forgets the replays up to the cursor: none of them waits. What became of each became of the
    /// event.
    pub(super) fn pass_replays(&mut self) {
        let cursor = self.cursor();
        while let Some(replays) = &self.replays {
            let Some((copy, _)) = replays.origins.first_key_value() else {
                if replays.copies.is_empty() {
                    self.replays = None;
                }
                return;
            };
            if *copy > cursor {
                return;
            }
            let copy = *copy;
            self.pass_replay(copy);
        }
    }

    /// What stands at this place waits no more: if it is a replay, it is forgotten.
    pub(super) fn pass_replay(&mut self, copy: Sequence) {
        let Self { replays: Some(replays), past, .. } = self else { return };
        if let Some(origin) = replays.forget(copy) {
            match past.gaps.contains(copy) {
                true => past.gaps.add(Sequence(origin.0.saturating_sub(1)), origin),
                false => past.gaps.remove(origin),
            }
        }
    }
}

/// Room that is kept for a replay until it is published or withdrawn.
#[derive(Debug)]
#[must_use]
pub(crate) struct ReservedReplay {
    pub(crate) origin: Sequence,
    payload: u64,
}

impl State {
    /// The emitter that events are to be delivered to again.
    pub(crate) fn replays_to(&mut self, emitter: &EmitterId) -> Result<Opened, ReplayError> {
        let reader = self.readers.get(emitter).copied();
        let record = reader.and_then(|reader| Some((reader, self.records.get(reader)?)));
        let Some((reader, record)) = record else {
            return Err(ReplayError::NoEmitter(emitter.to_string()));
        };
        if record.mode == Mode::Discarding {
            return Err(ReplayError::Discards(emitter.clone()));
        }
        Ok(Opened::of(reader, record))
    }

    /// Whether an event waits for an emitter, where it was first or as a replay.
    fn waits(&mut self, at: &Opened, origin: Sequence) -> bool {
        let Some((record, stock)) = self.record(at) else { return false };
        let copy = record.replays.as_ref().and_then(|it| it.copy(origin));
        let waits_again = |copy: Option<Sequence>| copy.is_none_or(|it| record.waits(stock, it));
        record.waits(stock, origin) || copy.is_some_and(waits_again)
    }

    /// The first place of the event that an emitter reads at this one.
    pub(crate) fn origin(&mut self, at: &Opened, sequence: Sequence) -> Sequence {
        self.record(at).map_or(sequence, |(record, _)| record.origin(sequence))
    }

    /// Keeps room for a replay, or says why it is none, or which limit has no room.
    pub(crate) fn reserve_replay(
        &mut self,
        at: &Opened,
        replay: &Replay,
        is_dead: impl FnOnce(Sequence) -> bool,
    ) -> Result<Result<ReservedReplay, Replayed>, Limit> {
        if self.waits(at, replay.origin) {
            return Ok(Err(Replayed::Waits));
        }
        if replay.only_dead && !is_dead(replay.origin) {
            return Ok(Err(Replayed::Gone));
        }
        self.reserve_for(at, replay.origin, replay.event.payload.len() as u64).map(Ok)
    }

    /// Keeps room for a replay, or says which limit has none. For a replay nothing is dropped,
    /// unless that is the policy.
    fn reserve_for(
        &mut self,
        at: &Opened,
        origin: Sequence,
        payload: u64,
    ) -> Result<ReservedReplay, Limit> {
        let drops = self.limits.overflow == Overflow::DropOldest;
        let (max_events, max_bytes) = (self.limits.max_events as u64, self.limits.max_bytes);
        if let Some((record, stock)) = self.record(at) {
            if !drops && record.expected_depth(stock) >= max_events {
                return Err(Limit::Emitter(at.reader));
            }
            if !drops && !stock.ledger.fits(payload, max_bytes) {
                return Err(Limit::Spare);
            }
            record.replays.get_or_insert_default().reserve(origin);
        }
        self.stock.ledger.reserve(payload);
        Ok(ReservedReplay { origin, payload })
    }

    /// Wakes the replays whose emitters have room, after something has gone from where it waited,
    /// whoever waited for it.
    pub(super) fn wake_replays(&mut self) {
        for reader in self.waiting.emitters() {
            if let Some(record) = self.records.get_mut(reader) {
                // What was dropped is counted until a reader looks.
                record.catch_up(&mut self.stock);
            }
            self.wake_next(Limit::Emitter(reader));
        }
    }

    /// Gives up the room that was kept for a replay.
    fn unreserve_replay(&mut self, at: &Opened, reserved: &ReservedReplay) {
        self.stock.ledger.unreserve(reserved.payload);
        if let Some((record, _)) = self.record(at)
            && let Some(replays) = &mut record.replays
        {
            replays.unreserve(reserved.origin);
        }
    }

    /// A replay is not appended after all.
    pub(crate) fn withdraw_replay(&mut self, at: &Opened, reserved: &ReservedReplay) {
        self.unreserve_replay(at, reserved);
        self.wake_next(Limit::Emitter(at.reader));
        self.wake_next(Limit::Bytes);
    }

    /// Appends a replay for which room was kept. Whose emitter is gone is read by nobody.
    pub(crate) fn publish_replay(
        &mut self,
        emitter: &EmitterId,
        at: &Opened,
        reserved: &ReservedReplay,
        kept: Kept,
    ) -> Sequence {
        self.unreserve_replay(at, reserved);
        if self.limits.overflow == Overflow::DropOldest {
            self.clear_room_for_replay(at, reserved.payload);
        }
        self.last.0 += 1;
        self.counts.appended += 1;
        let sequence = self.last;
        let mut dropped = 0;
        if let Some((record, stock)) = self.record(at) {
            if record.mode == Mode::Discarding {
                dropped = 1;
                record.past.dropped += 1;
                record.past.gaps.add(Sequence(sequence.0 - 1), sequence);
            } else {
                record.pass_replays();
                record.direct(stock, sequence, kept, reserved.origin);
            }
        }
        self.counts.dropped += dropped;
        self.announcer.appended_for(emitter, &mut self.waiting.woken);
        sequence
    }

    /// Drops the oldest for a replay.
    fn clear_room_for_replay(&mut self, at: &Opened, payload: u64) {
        let (max_events, last) = (self.limits.max_events as u64, self.last);
        let mut dropped = 0;
        while let Some((record, stock)) = self.record(at)
            && record.mode != Mode::Discarding
            && record.depth(stock) >= max_events.max(1)
        {
            let own = record.gather(stock, last);
            let Stock { feeds, ledger, .. } = stock;
            dropped += feeds.get_mut(own).map_or(0, |feed| u64::from(feed.drop_front(ledger)));
        }
        self.counts.dropped += dropped;
        self.clear_room(&[], payload);
    }
}
