//! One transaction: all that waits, written together, and the index of what is in the log.

use std::fs::File;
use std::sync::Arc;

use bugle_core::{EmitterId, Position, ReplayOf, Sequence, SourceId};
use jiff::Timestamp;
use rusqlite::{Connection, Statement};

use super::promises::Promises;
use super::space::Space;
use super::work::Work;
use crate::backlog::Snapshot;
use crate::fault::{Point, pass};
use crate::sqlite::behind::LoggedFrame;
use crate::sqlite::search::ids::{Ids, Recent, hash};
use crate::sqlite::tables::attempts::AttemptTables;
use crate::sqlite::tables::dead_letters::{DeadIndex, LetterTable};
use crate::sqlite::tables::emitters::{EmitterKey, EmitterTable, Keys};
use crate::sqlite::tables::gone::GoneTable;
use crate::sqlite::tables::places::PlaceTables;
use crate::sqlite::tables::positions::PositionTable;
use crate::sqlite::tables::replays::{ReplayTable, replays_in};
use crate::sqlite::tables::specs::{SpecRow, SpecTable};
use crate::sqlite::tables::stragglers::StragglerTable;
use crate::sqlite::tables::stretches::{Stretch, StretchTable};
use crate::sqlite::tables::values::nanoseconds;

/// The size of a page.
pub(crate) const PAGE: u64 = 8_192;

/// Says how it is at the moment of a transaction.
#[derive(Default)]
pub(crate) struct Moment {
    /// All that is in the log and not in the index.
    pub(crate) behind: Vec<Arc<LoggedFrame>>,
    /// Where emitters are now, and whether all of that is to be written; `None` for one that is
    /// forgotten.
    pub(crate) places: Vec<(EmitterId, bool, Option<Snapshot>)>,
    /// Sources whose batch is taken back, and where they are without it.
    pub(crate) returned: Vec<(SourceId, Option<Position>)>,
}

impl Moment {
    /// About how many pages it adds to the log, with some work.
    pub(crate) fn pages(&self, work: &Work) -> usize {
        let events: usize = self.behind.iter().map(|frame| 16 + 16 * frame.events.len()).sum();
        let letters: usize = work.letters.iter().map(|it| it.event.payload.len() + 512).sum();
        let attempts = work.attempts.len() * 400;
        let specs: usize = work.specs.values().flatten().map(SpecRow::bytes).sum();
        let bytes = events + letters + attempts + specs + self.places.len() * 120;
        4 + bytes / PAGE as usize
    }
}

/// The tables that a transaction writes to, and what has to be known of them for that.
pub(crate) struct Tables<'c> {
    conn: &'c Connection,
    space: Space<'c>,
    begin: Statement<'c>,
    commit: Statement<'c>,
    keys: Keys,
    emitters: EmitterTable<'c>,
    stretches: StretchTable<'c>,
    replays: ReplayTable<'c>,
    gone: GoneTable<'c>,
    stragglers: StragglerTable<'c>,
    places: PlaceTables<'c>,
    positions: PositionTable<'c>,
    letters: LetterTable<'c>,
    specs: SpecTable<'c>,
    pub(crate) promises: Promises<'c>,
    pub(crate) attempts: AttemptTables<'c>,
    dead: Arc<DeadIndex>,
    event_ids: Arc<Ids>,
    attempt_ids: Arc<Ids>,
    max_letters: usize,
    /// The last number that is in the index.
    indexed: Sequence,
    /// This transaction's events, by their ids, and how many replays are among them.
    added: Vec<Recent>,
    absolved: usize,
    /// Says how many dead letters each of the last transaction's discards has deleted.
    pub(crate) discarded: Vec<u64>,
}

impl<'c> Tables<'c> {
    pub(crate) fn new(
        conn: &'c Connection,
        database: &'c File,
        keys: Keys,
        dead: Arc<DeadIndex>,
        [event_ids, attempt_ids]: [Arc<Ids>; 2],
        indexed: Sequence,
        max_letters: usize,
    ) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            space: Space::new(conn, database)?,
            begin: conn.prepare("BEGIN IMMEDIATE")?,
            commit: conn.prepare("COMMIT")?,
            keys,
            emitters: EmitterTable::new(conn)?,
            stretches: StretchTable::new(conn)?,
            replays: ReplayTable::new(conn)?,
            gone: GoneTable::new(conn)?,
            stragglers: StragglerTable::new(conn)?,
            indexed,
            added: Vec::new(),
            absolved: 0,
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

    /// The last number that is in the index.
    pub(crate) fn indexed(&self) -> Sequence {
        self.indexed
    }

    /// Deletes those among so many of the oldest dead letters that are of before an instant.
    /// Answers how many.
    pub(crate) fn delete_letters(&mut self, instant: i64, among: u64) -> rusqlite::Result<u64> {
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
    pub(crate) fn left(&mut self, emitter: &EmitterId, key: EmitterKey) {
        self.keys.leave(emitter);
        self.attempts.leave(key);
    }

    /// Tells whether an emitter's place is on disk already as it is to be, and its spec, if that
    /// is to be kept.
    pub(crate) fn keeps(
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

    /// Writes all of it or nothing.
    pub(crate) fn write(&mut self, work: &Work, moment: &Moment) -> rusqlite::Result<()> {
        match self.try_write(work, moment) {
            Ok(()) => {
                self.keys.committed();
                self.letters.committed(&self.dead);
                self.dead.written(std::mem::take(&mut self.absolved));
                self.added.clear();
                if let Some(frame) = moment.behind.last() {
                    self.indexed = frame.last();
                }
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
                self.stretches.rolled_back();
                self.event_ids.take_back(&self.added);
                self.added.clear();
                self.absolved = 0;
                self.attempts.rolled_back(&self.attempt_ids);
                self.promises.rolled_back();
                Err(error)
            }
        }
    }

    fn try_write(&mut self, work: &Work, moment: &Moment) -> rusqlite::Result<()> {
        self.discarded.clear();
        self.begin.execute([])?;
        self.index(&moment.behind)?;
        for (source, position) in &moment.returned {
            self.positions.write(source, position.as_ref())?;
        }
        for sequence in work.retracted.iter().chain(&work.deleted) {
            let at = sequence.0.cast_signed();
            self.gone.add(at, at)?;
            self.stragglers.delete(*sequence)?;
        }
        self.write_specs(work)?;
        self.write_places(moment)?;
        for letter in &work.letters {
            let key = self.keys.get(&letter.emitter, &mut self.emitters)?;
            self.letters.insert(key, letter)?;
        }
        for sequence in &work.absolved {
            self.letters.remove(*sequence)?;
        }
        // Behind the letters: what is delivered again may be one of them.
        self.write_replays(&moment.behind)?;
        for discard in &work.discards {
            let mut count = 0;
            for id in &discard.ids {
                count += u64::from(self.letters.discard(*id)?);
            }
            self.discarded.push(count);
        }
        self.letters.trim(self.max_letters)?;
        for attempt in &work.attempts {
            let key = self.keys.get(&attempt.delivery.emitter, &mut self.emitters)?;
            self.attempts.insert(key, attempt)?;
        }
        self.attempts.finish()?;
        pass(Point::AttemptsLogged, !work.attempts.is_empty());
        if work.confirms() {
            self.promises.confirm()?;
        }
        self.space.secure()?;
        let has = |[index, places, letters]: [Point; 3]| {
            pass(index, !moment.behind.is_empty());
            pass(places, !moment.places.is_empty());
            pass(letters, !work.letters.is_empty());
        };
        has([Point::IndexBefore, Point::SettleBefore, Point::DeadLetterBefore]);
        // Whoever sees its rows then finds them by their ids; an id without a row finds nothing.
        self.event_ids.add(&self.added);
        self.attempts.committing(&self.attempt_ids);
        self.commit.execute([])?;
        has([Point::IndexAfter, Point::SettleAfter, Point::DeadLetterAfter]);
        Ok(())
    }

    /// Writes the index of what is in the log.
    fn index(&mut self, behind: &[Arc<LoggedFrame>]) -> rusqlite::Result<()> {
        for stretch in Stretch::of(self.indexed, behind.iter().map(|frame| &**frame)) {
            self.stretches.insert(&stretch)?;
        }
        for frame in behind {
            self.added.extend(frame.numbered().map(|(at, it)| Recent {
                hash: hash(&it.event.request_id),
                id: at.0.cast_signed(),
                created: nanoseconds(it.event.emitted_at),
            }));
            if let Some(position) = &frame.position {
                self.positions.write(&position.source, Some(&position.position))?;
            }
        }
        Ok(())
    }

    /// Writes down what is delivered again, and deletes the dead letters of that.
    fn write_replays(&mut self, behind: &[Arc<LoggedFrame>]) -> rusqlite::Result<()> {
        let now = Timestamp::now();
        for (at, ReplayOf { emitter, origin, .. }) in replays_in(behind) {
            let key = self.keys.get(emitter, &mut self.emitters)?;
            self.replays.insert(at, key, *origin, now)?;
            self.letters.take(key, *origin, at)?;
            self.absolved += 1;
        }
        Ok(())
    }

    fn write_specs(&mut self, work: &Work) -> rusqlite::Result<()> {
        for (emitter, spec) in &work.specs {
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
        pass(Point::SpecWritten, !work.specs.is_empty());
        Ok(())
    }

    fn write_places(&mut self, moment: &Moment) -> rusqlite::Result<()> {
        for (emitter, whole, place) in &moment.places {
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
        Ok(())
    }
}
