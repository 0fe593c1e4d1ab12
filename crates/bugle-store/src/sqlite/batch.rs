//! One transaction: all that waits, written together.

use std::fs::File;
use std::sync::Arc;

use bugle_core::{DeadLetter, EmitterId, NewAttempt, Position, Sequence, SourceId};
use jiff::Timestamp;
use rusqlite::{Connection, Statement};
use rustc_hash::FxHashMap;

use super::dead_letters::{DeadIndex, LetterTable};
use super::emitters::{EmitterKey, EmitterTable, Keys};
use super::events::EventTables;
use super::ids::Ids;
use super::log::AttemptTables;
use super::places::PlaceTables;
use super::positions::PositionTable;
use super::promises::Promises;
use super::queue::{Append, Discard};
use super::replays::{Redelivery, ReplayTable};
use super::space::Space;
use super::specs::{SpecRow, SpecTable};
use crate::backlog::Snapshot;
use crate::fault::{Point, pass};

/// The size of a page.
pub(super) const PAGE: u64 = 8_192;

/// What is written.
pub(super) struct Batch<'b> {
    /// The first event's place.
    pub(super) first: Sequence,
    pub(super) appends: &'b [Append],
    /// Behind them.
    pub(super) replays: &'b [Redelivery],
    pub(super) discards: &'b [Discard],
    /// Where emitters are now, and whether all of that is to be written; `None` for one that is
    /// forgotten.
    pub(super) places: &'b [(EmitterId, bool, Option<Snapshot>)],
    pub(super) retracted: &'b [Sequence],
    /// Sources whose batch is taken back, and where they are without it.
    pub(super) returned: &'b [(SourceId, Option<Position>)],
    pub(super) letters: &'b [DeadLetter],
    /// Events whose dead letters are removed.
    pub(super) absolved: &'b [Sequence],
    pub(super) attempts: &'b [NewAttempt],
    /// Specs as they are now; `None` for one that is removed.
    pub(super) specs: &'b FxHashMap<EmitterId, Option<SpecRow>>,
}

impl Batch<'_> {
    fn has_events(&self) -> bool {
        !self.appends.is_empty()
    }

    /// About how many pages it adds to the log.
    pub(super) fn pages(&self) -> usize {
        let again = self.replays.iter().flat_map(|it| &it.events).map(|(event, _)| event);
        let events = self.appends.iter().flat_map(|append| &append.events).chain(again);
        let payloads: usize = events.map(|event| event.payload.len() + 160).sum();
        let letters: usize = self.letters.iter().map(|it| it.event.payload.len() + 512).sum();
        let attempts = self.attempts.len() * 400;
        let specs: usize = self.specs.values().flatten().map(SpecRow::bytes).sum();
        let bytes = payloads + letters + attempts + specs + self.places.len() * 120;
        4 + bytes / PAGE as usize
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.appends.is_empty()
            && self.replays.is_empty()
            && self.discards.is_empty()
            && self.places.is_empty()
            && self.retracted.is_empty()
            && self.returned.is_empty()
            && self.letters.is_empty()
            && self.absolved.is_empty()
            && self.attempts.is_empty()
            && self.specs.is_empty()
    }

    /// Whether it promises anything but events, which are counted by their numbers.
    fn confirms(&self) -> bool {
        let moves_only = |append: &Append| append.events.is_empty() && append.position.is_some();
        !self.specs.is_empty()
            || !self.letters.is_empty()
            || !self.discards.is_empty()
            || !self.absolved.is_empty()
            || !self.retracted.is_empty()
            || self.places.iter().any(|(_, whole, _)| *whole)
            || self.appends.iter().any(moves_only)
    }

    /// Passes the fault points of what it has: events, places, dead letters.
    fn passes(&self, [events, places, letters]: [Point; 3]) {
        pass(events, self.has_events());
        pass(places, !self.places.is_empty());
        pass(letters, !self.letters.is_empty());
    }
}

/// The tables that a transaction writes to, and what has to be known of them for that.
pub(super) struct Tables<'c> {
    conn: &'c Connection,
    space: Space<'c>,
    begin: Statement<'c>,
    commit: Statement<'c>,
    keys: Keys,
    emitters: EmitterTable<'c>,
    events: EventTables<'c>,
    replays: ReplayTable<'c>,
    places: PlaceTables<'c>,
    positions: PositionTable<'c>,
    letters: LetterTable<'c>,
    specs: SpecTable<'c>,
    pub(super) promises: Promises<'c>,
    pub(super) attempts: AttemptTables<'c>,
    dead: Arc<DeadIndex>,
    event_ids: Arc<Ids>,
    attempt_ids: Arc<Ids>,
    max_letters: usize,
    /// How many dead letters each of the last transaction's discards has deleted.
    pub(super) discarded: Vec<u64>,
}

impl<'c> Tables<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        database: &'c File,
        keys: Keys,
        dead: Arc<DeadIndex>,
        [event_ids, attempt_ids]: [Arc<Ids>; 2],
        max_letters: usize,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            space: Space::new(conn, database)?,
            begin: conn.prepare("BEGIN IMMEDIATE")?,
            commit: conn.prepare("COMMIT")?,
            keys,
            emitters: EmitterTable::new(conn)?,
            events: EventTables::new(conn)?,
            replays: ReplayTable::new(conn)?,
            places: PlaceTables::new(conn)?,
            positions: PositionTable::new(conn)?,
            letters: LetterTable::new(conn)?,
            specs: SpecTable::new(conn)?,
            promises: Promises::new(conn)?,
            attempts: AttemptTables::new(conn)?,
            dead,
            event_ids,
            attempt_ids,
            max_letters,
            discarded: Vec::new(),
        })
    }

    /// Deletes those among so many of the oldest dead letters that are of before an instant.
    /// Answers how many.
    pub(super) fn delete_letters(&mut self, instant: i64, among: u64) -> rusqlite::Result<u64> {
        let transaction = self.conn.unchecked_transaction()?;
        let deleted = self.letters.delete_before(instant, among);
        match deleted.and_then(|deleted| transaction.commit().map(|()| deleted)) {
            Ok(deleted) => {
                self.letters.committed(&self.dead);
                Ok(deleted)
            }
            Err(error) => {
                self.letters.rolled_back();
                Err(error)
            }
        }
    }

    /// An emitter's row was deleted, since nothing refers to it.
    pub(super) fn left(&mut self, emitter: &EmitterId, key: EmitterKey) {
        self.keys.leave(emitter);
        self.attempts.leave(key);
    }

    /// Whether an emitter's place is on disk already as it is to be, and its spec, if that is to
    /// be kept.
    pub(super) fn keeps(
        &mut self,
        emitter: &EmitterId,
        place: Option<&Snapshot>,
        spec: Option<&Option<SpecRow>>,
    ) -> rusqlite::Result<bool> {
        let (Some(key), Some(place)) = (self.keys.find(emitter), place) else { return Ok(false) };
        let is_spec_there = match spec {
            Some(Some(spec)) => self.specs.is_there(key, spec)?,
            Some(None) => false,
            None => true,
        };
        Ok(is_spec_there && self.places.is_there(key, place)?)
    }

    /// Writes a batch, all of it or nothing.
    pub(super) fn write(&mut self, batch: &Batch<'_>) -> rusqlite::Result<()> {
        match self.try_write(batch) {
            Ok(()) => {
                self.keys.committed();
                self.letters.committed(&self.dead);
                self.events.committed();
                self.attempts.committed();
                self.promises.committed();
                Ok(())
            }
            Err(error) => {
                if !self.conn.is_autocommit() {
                    // If this fails too, the transaction is over all the same.
                    let _ = self.conn.execute_batch("ROLLBACK");
                }
                self.keys.rolled_back();
                self.letters.rolled_back();
                self.events.rolled_back(&self.event_ids);
                self.attempts.rolled_back(&self.attempt_ids);
                self.promises.rolled_back();
                Err(error)
            }
        }
    }

    fn try_write(&mut self, batch: &Batch<'_>) -> rusqlite::Result<()> {
        self.discarded.clear();
        self.begin.execute([])?;
        let again = batch.replays.iter().flat_map(|replay| &replay.events).map(|(event, _)| event);
        let events = batch.appends.iter().flat_map(|append| &append.events).chain(again);
        let places = (batch.first.0..).map(Sequence);
        let events: Vec<_> = places.zip(events).map(|(place, event)| (place, &**event)).collect();
        self.events.insert(&events)?;
        for (source, position) in batch.returned {
            self.positions.write(source, position.as_ref())?;
        }
        for position in batch.appends.iter().filter_map(|append| append.position.as_ref()) {
            self.positions.write(&position.source, Some(&position.position))?;
        }
        for sequence in batch.retracted {
            self.events.delete(*sequence)?;
        }
        pass(Point::CommitMidBatch, batch.has_events() && !batch.places.is_empty());
        for (emitter, spec) in batch.specs {
            match spec {
                Some(spec) => {
                    let key = self.keys.get(emitter, &mut self.emitters)?;
                    self.specs.put(key, spec)?;
                }
                None => {
                    if let Some(key) = self.keys.find(emitter) {
                        self.specs.remove(key)?;
                    }
                }
            }
        }
        pass(Point::SpecWritten, !batch.specs.is_empty());
        for (emitter, whole, place) in batch.places {
            match place {
                Some(place) => {
                    let key = self.keys.get(emitter, &mut self.emitters)?;
                    self.places.write(key, place, *whole)?;
                }
                None => {
                    if let Some(key) = self.keys.find(emitter) {
                        self.places.delete(key)?;
                        // Without a place nothing is restored, also if it was put in since.
                        self.specs.remove(key)?;
                    }
                    pass(Point::EmitterForgotten, true);
                }
            }
        }
        for letter in batch.letters {
            let key = self.keys.get(&letter.emitter, &mut self.emitters)?;
            self.letters.insert(key, letter)?;
        }
        for sequence in batch.absolved {
            self.letters.remove(*sequence)?;
        }
        // Behind the letters: what is to be delivered again may be one of them.
        let appended = batch.appends.iter().map(|append| append.events.len()).sum();
        let mut places = events.iter().skip(appended).map(|(place, _)| *place);
        let now = Timestamp::now();
        for replay in batch.replays {
            let key = self.keys.get(&replay.emitter, &mut self.emitters)?;
            for ((_, reserved), place) in replay.events.iter().zip(&mut places) {
                self.replays.insert(place, key, reserved.origin, now)?;
                self.letters.take(key, reserved.origin)?;
            }
        }
        for discard in batch.discards {
            let mut count = 0;
            for id in &discard.ids {
                count += u64::from(self.letters.discard(*id)?);
            }
            self.discarded.push(count);
        }
        self.letters.trim(self.max_letters)?;
        for attempt in batch.attempts {
            let key = self.keys.get(&attempt.delivery.emitter, &mut self.emitters)?;
            self.attempts.insert(key, attempt)?;
        }
        self.attempts.finish()?;
        pass(Point::AttemptsLogged, !batch.attempts.is_empty());
        if batch.confirms() {
            self.promises.confirm()?;
        }
        self.space.secure()?;
        batch.passes([Point::AppendBeforeCommit, Point::SettleBefore, Point::DeadLetterBefore]);
        self.events.committing(&self.event_ids);
        self.attempts.committing(&self.attempt_ids);
        self.commit.execute([])?;
        batch.passes([Point::AppendAfterCommit, Point::SettleAfter, Point::DeadLetterAfter]);
        Ok(())
    }
}
