//! The events: what of the log can be read, the index that finds it, and what is lost.
//!
//! A row of the index that is whole stays, also where what it finds is damaged: each emitter that
//! waits for that gives it up. What is in no such row is put into the index from the log, and lost
//! where it can't be read.

use std::collections::BTreeSet;
use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;

use bugle_core::{
    Event, EventName, Frame, FramedEvent, ReplayOf, RequestId, Sequence, SourcePosition,
};
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

use super::rows::{Rows, number};
use super::tables::{SEGMENTS, STRETCHES};
use crate::log::{
    Found, FrameAddress, Identity, LogReader, Looked, Mend, look_through, segment_file,
};
use crate::sqlite::behind::LoggedFrame;
use crate::sqlite::error::{StoreError, bad_value};
use crate::sqlite::load::last_sequence;
use crate::sqlite::tables::gone::{GoneTable, Holes, Ranges, load_gone};
use crate::sqlite::tables::positions::PositionTable;
use crate::sqlite::tables::replays::ReplayTable;
use crate::sqlite::tables::stretches::{STRETCH_COLUMNS, Stretch, StretchTable, read_stretch};

/// So many events are put into the index at a time.
const AT_ONCE: usize = 1_024;

/// What was found of the log.
pub(super) struct FoundLog {
    /// What is changed in it, in order, so that it can be opened.
    pub(super) mends: Vec<Mend>,
    /// The last number that was ever given, as far as is known.
    pub(super) last: Sequence,
}

impl Rows<'_> {
    /// Makes the index of the log of a store, says what of it is lost, and has no number of that be
    /// given again. `reached` is the last number that is known from elsewhere.
    pub(super) fn events(
        &mut self,
        store: &Path,
        old: Option<&Connection>,
        identity: Option<Identity>,
        reached: Sequence,
    ) -> Result<FoundLog, StoreError> {
        let failed = |error: rusqlite::Error| StoreError::sqlite(&store.join("bugle.db"), &error);
        let known = old.map_or(Ok(Vec::new()), |old| self.stretches(old)).map_err(failed)?;
        let is_there = |it: &Stretch| segment_file(store, it.segment).exists();
        let (known, gone_with_it): (Vec<_>, Vec<_>) = known.into_iter().partition(is_there);
        for stretch in gone_with_it {
            let file = segment_file(store, stretch.segment);
            self.say(format!("{} is gone: its events are lost", file.display()));
        }
        let mut index = Indexer::new(self.new, store, known).map_err(failed)?;
        let looked = look_through(store, identity, reached, |found| -> Result<(), StoreError> {
            index.found(found).map_err(failed)
        })?;
        index.finish().map_err(failed)?;
        let Indexer { end, used, covered, lost, said, replays, positions, mut mends, .. } = index;
        said.into_iter().for_each(|finding| self.say(finding));
        self.files(store, identity, &looked, &used, end, &mut mends);
        self.replays_and_positions(&replays, &positions).map_err(failed)?;
        let last = self.find_lost(covered, &lost, reached).map_err(failed)?;
        Ok(FoundLog { mends, last })
    }

    /// The rows of the index that are whole, in order.
    fn stretches(&mut self, old: &Connection) -> rusqlite::Result<Vec<Stretch>> {
        self.each(old, &SEGMENTS, |this, row| {
            if !SEGMENTS.is_whole(&row) {
                this.say("an index of the files of the log is damaged: built anew");
            }
            Ok(())
        })?;
        let mut whole = Vec::new();
        self.each(old, &STRETCHES, |this, row| {
            match number(&row, 0).filter(|_| STRETCHES.is_whole(&row)) {
                Some(first) => whole.push(first),
                None => this.say("an index of events is damaged: built anew from the log"),
            }
            Ok(())
        })?;
        if whole.is_empty() {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT {STRETCH_COLUMNS} FROM stretches WHERE first = ?1");
        let mut row = old.prepare(&sql)?;
        let mut all: Vec<Stretch> = Vec::new();
        for first in whole {
            if let Ok(Some(stretch)) = row.query_row([first], read_stretch).optional()
                && all.last().is_none_or(|last| last.last < stretch.first)
            {
                all.push(stretch);
            }
        }
        Ok(all)
    }

    /// What is wrong with the files of the log, and what is done about it.
    fn files(
        &mut self,
        store: &Path,
        identity: Option<Identity>,
        looked: &[Looked],
        used: &BTreeSet<Sequence>,
        end: Option<FrameAddress>,
        mends: &mut Vec<Mend>,
    ) {
        for it in looked {
            let file = segment_file(store, it.first);
            let is_foreign = it.identity.is_some() && identity.is_some() && it.identity != identity;
            match &it.damage {
                Some(damage) if used.contains(&it.first) => {
                    self.say(format!(
                        "{} is damaged ({damage}): its head is written anew",
                        file.display()
                    ));
                    mends.push(Mend::Head(it.first));
                }
                Some(damage) if is_foreign => {
                    self.say(format!("{} is taken away ({damage})", file.display()));
                    mends.push(Mend::Remove(it.first));
                }
                // A process that was ended as it began a file leaves one like that.
                damage if end.is_none_or(|end| end.segment < it.first) => {
                    if let Some(damage) = damage.as_ref().filter(|_| looked.last() != Some(it)) {
                        self.say(format!("{} is damaged ({damage})", file.display()));
                    }
                    mends.push(Mend::Remove(it.first));
                }
                _ => {}
            }
        }
        let cut = end.map(|it| Mend::Cut(it.segment, u64::from(it.offset) + u64::from(it.length)));
        mends.extend(cut);
    }

    /// What follows from frames that were in no index.
    fn replays_and_positions(
        &mut self,
        replays: &[(Sequence, ReplayOf)],
        positions: &[SourcePosition],
    ) -> rusqlite::Result<()> {
        let mut table = PositionTable::new(self.new)?;
        for of in positions {
            table.write(&of.source, Some(&of.position))?;
        }
        let mut table = ReplayTable::new(self.new)?;
        let mut key = self.new.prepare("SELECT key FROM emitters WHERE id = ?1")?;
        let mut is_known = self.new.prepare("SELECT 1 FROM replays WHERE sequence = ?1")?;
        let mut absolve = self.new.prepare(
            "DELETE FROM dead_letters WHERE emitter = ?1 AND origin = ?2 AND sequence < ?3",
        )?;
        for (at, ReplayOf { emitter, origin, .. }) in replays {
            let Some(key) = key.query_row([emitter.as_str()], |row| row.get(0)).optional()? else {
                self.say(format!(
                    "event {at} was to be delivered again to {emitter:?}, of which nothing is left"
                ));
                continue;
            };
            let [row, first] = [at, origin].map(|it| it.0.cast_signed());
            if !is_known.exists([row])? {
                table.insert(*at, key, *origin, Timestamp::now())?;
                absolve.execute((key, first, row))?;
            }
        }
        Ok(())
    }

    /// All numbers up to the last that are neither there nor deleted: they are lost, and are not
    /// given again.
    fn find_lost(
        &mut self,
        mut covered: Vec<(Sequence, Sequence)>,
        lost: &[Sequence],
        reached: Sequence,
    ) -> rusqlite::Result<Sequence> {
        let mut stragglers = self.new.prepare("SELECT sequence FROM stragglers")?;
        for at in stragglers.query_map([], |row| row.get::<_, i64>(0))? {
            let at = Sequence(at?.cast_unsigned());
            covered.push((at, at));
        }
        covered.sort_unstable();
        let last = last_sequence(self.new)?.max(reached);
        let mut holes = Holes::behind(Sequence::START, load_gone(self.new, Sequence::START)?);
        covered.iter().for_each(|(first, last)| holes.cover(*first, *last));
        holes.cover(Sequence(last.0 + 1), Sequence(last.0 + 1));
        let mut gone = GoneTable::new(self.new)?;
        let singles = lost.iter().map(|at| (at.0.cast_signed(), at.0.cast_signed()));
        let mut all: Vec<_> = holes.found().into_iter().chain(singles).collect();
        all.sort_unstable();
        for (first, last) in all {
            gone.add(first, last)?;
            let [first, last] = [first, last].map(|at| Sequence(at.cast_unsigned()));
            match self.repair.lost.last_mut() {
                Some(before) if before.1.0 + 1 >= first.0 => before.1 = before.1.max(last),
                _ => self.repair.lost.push((first, last)),
            }
        }
        Ok(last)
    }
}

/// Makes the index, frame by frame.
struct Indexer<'c> {
    table: StretchTable<'c>,
    log: LogReader,
    /// What events that can't be read are called.
    name: EventName,
    /// The rows that stay, from where the index has come on.
    known: Peekable<std::vec::IntoIter<Stretch>>,
    /// Which numbers have no event on purpose.
    gone: Ranges,
    /// The frames of the next of these rows that were found.
    seen: BTreeSet<Sequence>,
    /// Frames that are to be put into the index.
    waiting: Vec<LoggedFrame>,
    /// The last number that the index has.
    after: Sequence,
    /// Which numbers have an event, or had none.
    covered: Vec<(Sequence, Sequence)>,
    /// The segments that the index has.
    used: BTreeSet<Sequence>,
    /// The last frame of the index.
    end: Option<FrameAddress>,
    mends: Vec<Mend>,
    lost: Vec<Sequence>,
    said: Vec<String>,
    replays: Vec<(Sequence, ReplayOf)>,
    positions: Vec<SourcePosition>,
}

impl<'c> Indexer<'c> {
    fn new(conn: &'c Connection, store: &Path, known: Vec<Stretch>) -> rusqlite::Result<Self> {
        let name = EventName::new("damaged").map_err(|error| bad_value(0, error.to_string()))?;
        Ok(Self {
            name,
            table: StretchTable::new(conn)?,
            // Whose it is was looked at.
            log: LogReader::open(store, Identity([0; 16])),
            known: known.into_iter().peekable(),
            gone: Ranges(load_gone(conn, Sequence::START)?),
            seen: BTreeSet::new(),
            waiting: Vec::new(),
            after: Sequence::START,
            covered: Vec::new(),
            used: BTreeSet::new(),
            end: None,
            mends: Vec::new(),
            lost: Vec::new(),
            said: Vec::new(),
            replays: Vec::new(),
            positions: Vec::new(),
        })
    }

    /// A frame is in the log, behind all others up to now.
    fn found(&mut self, found: Found) -> rusqlite::Result<()> {
        while let Some(stretch) = self.known.next_if(|it| it.last < found.first) {
            self.keep(&stretch)?;
        }
        if let Some(stretch) = self.known.peek().filter(|it| it.first <= found.first) {
            let frame = |(first, address, _)| (first, address) == (found.first, found.address);
            if stretch.frames().any(frame) {
                self.seen.insert(found.first);
                self.look_at(found.first, &found.frame);
            }
            return Ok(());
        }
        let frame = self.logged(found);
        self.waiting.push(frame);
        let events: usize = self.waiting.iter().map(|frame| frame.events.len()).sum();
        if events >= AT_ONCE { self.put() } else { Ok(()) }
    }

    /// There are no more.
    fn finish(&mut self) -> rusqlite::Result<()> {
        while let Some(stretch) = self.known.next() {
            self.keep(&stretch)?;
        }
        self.put()
    }

    /// A row stays in the index. What it finds and nobody has found yet is looked at.
    fn keep(&mut self, stretch: &Stretch) -> rusqlite::Result<()> {
        self.put()?;
        for (first, address, events) in stretch.frames() {
            self.end = Some(address);
            if self.seen.remove(&first) {
                continue;
            }
            match self.log.frame(first, address) {
                Ok(frame) => {
                    self.said.push(format!(
                        "what the log says of the events from {first} on is damaged: written anew"
                    ));
                    let events = u16::try_from(events).unwrap_or(u16::MAX);
                    self.mends.push(Mend::Record(first, events, address));
                    self.look_at(first, &frame);
                }
                Err(_) => (first.0..).take(events as usize).for_each(|at| self.is_damaged(at)),
            }
        }
        self.table.insert(stretch)?;
        self.used.insert(stretch.segment);
        self.covered.push((stretch.first, stretch.last));
        self.after = stretch.last;
        Ok(())
    }

    /// Puts the frames that wait into the index.
    fn put(&mut self) -> rusqlite::Result<()> {
        for stretch in Stretch::of(self.after, &self.waiting) {
            self.table.insert(&stretch)?;
        }
        for frame in self.waiting.drain(..) {
            self.used.insert(frame.address.segment);
            self.covered.push((frame.first, frame.last()));
            self.end = Some(frame.address);
            self.after = frame.last();
        }
        Ok(())
    }

    /// Says which events of a frame in the index are damaged.
    fn look_at(&mut self, first: Sequence, frame: &Frame) {
        let events = frame.events.iter().zip(first.0..);
        events.filter(|(event, _)| event.is_err()).for_each(|(_, at)| self.is_damaged(at));
    }

    fn is_damaged(&mut self, at: u64) {
        if !self.gone.has(Sequence(at)) {
            self.said.push(format!(
                "event {at} is damaged: each emitter that waits for it gives it up as damaged"
            ));
        }
    }

    /// A frame as it is put into the index. Events that can't be read are lost: nobody knows who
    /// would wait for them.
    fn logged(&mut self, found: Found) -> LoggedFrame {
        let Found { first, address, frame } = found;
        // The index has all that follows from what stands before one of its rows.
        let is_behind = self.known.peek().is_none();
        let mut events = Vec::with_capacity(frame.events.len());
        for (event, at) in frame.events.into_iter().zip(first.0..) {
            let at = Sequence(at);
            let event = event.unwrap_or_else(|_| {
                if !self.gone.has(at) {
                    self.lost.push(at);
                }
                placeholder(at, self.name.clone())
            });
            if let Some(replay) = event.replay.as_ref().filter(|_| is_behind) {
                self.replays.push((at, replay.clone()));
            }
            events.push(event);
        }
        let position = frame.position.and_then(|position| {
            let said = "a source's position is lost: what is behind the one before may come again";
            position.inspect_err(|_| self.said.push(said.to_owned())).ok()
        });
        self.positions.extend(position.clone().filter(|_| is_behind));
        LoggedFrame { first, address, events, position }
    }
}

/// What stands in the index for an event that is gone.
fn placeholder(at: Sequence, name: EventName) -> FramedEvent {
    let id = RequestId::new(format!("damaged-event-{at}")).unwrap_or_else(|_| RequestId::random());
    let event = Event::new(name, id, Bytes::new(), Timestamp::UNIX_EPOCH);
    FramedEvent::new(Arc::new(event))
}
