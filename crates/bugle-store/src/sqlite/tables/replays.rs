//! Replays as rows: which entries only one emitter reads, and of which event each is a copy.

use std::sync::Arc;

use bugle_core::{EmitterId, ReplayOf, Sequence};
use jiff::Timestamp;
use rusqlite::{Connection, Statement};
use rustc_hash::FxHashMap;

use super::emitters::EmitterKey;
use super::seal::{check_seal, seal};
use super::values::{nanoseconds, read_text};
use crate::backlog::Directed;
use crate::sqlite::behind::LoggedFrame;

/// The statements on the table.
pub(crate) struct ReplayTable<'c> {
    insert: Statement<'c>,
}

impl<'c> ReplayTable<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let insert = conn.prepare(
            "INSERT INTO replays (sequence, emitter, origin, queued_at, seal) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        Ok(Self { insert })
    }

    pub(crate) fn insert(
        &mut self,
        sequence: Sequence,
        emitter: EmitterKey,
        origin: Sequence,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        let [sequence, origin] = [sequence, origin].map(|it| it.0.cast_signed());
        let now = nanoseconds(now);
        let seal = seal(&[sequence.into(), emitter.into(), origin.into(), now.into()]);
        self.insert.execute((sequence, emitter, origin, now, seal))?;
        Ok(())
    }
}

/// The replays behind a place, also those that are in no row yet.
pub(crate) fn load_replays(
    conn: &Connection,
    tail: &[Arc<LoggedFrame>],
    from: Sequence,
) -> rusqlite::Result<FxHashMap<Sequence, Directed>> {
    let mut statement = conn.prepare(
        "SELECT sequence, emitters.id, origin, emitter, queued_at, replays.seal FROM replays \
         LEFT JOIN emitters ON key = emitter WHERE sequence > ?1",
    )?;
    let rows = statement.query_map([from.0.cast_signed()], |row| {
        check_seal(row, [0, 3, 2, 4], 5, "a replay")?;
        let [sequence, origin] = [row.get::<_, i64>(0)?, row.get::<_, i64>(2)?];
        let [sequence, origin] = [sequence, origin].map(|it| Sequence(it.cast_unsigned()));
        Ok((sequence, Directed { emitter: read_text(row, 1, EmitterId::new)?, origin }))
    })?;
    let mut found: FxHashMap<_, _> = rows.collect::<rusqlite::Result<_>>()?;
    let in_tail = replays_in(tail).filter(|(at, _)| *at > from);
    found.extend(in_tail.map(|(at, ReplayOf { emitter, origin, .. })| {
        (at, Directed { emitter: emitter.clone(), origin: *origin })
    }));
    Ok(found)
}

/// The replays in frames.
pub(crate) fn replays_in(
    frames: &[Arc<LoggedFrame>],
) -> impl Iterator<Item = (Sequence, &ReplayOf)> {
    let events = frames.iter().flat_map(|frame| frame.numbered());
    events.filter_map(|(at, event)| Some((at, event.replay.as_ref()?)))
}

/// Tells which entries are replays.
pub(crate) struct Origins<'c> {
    row: Statement<'c>,
    tail: FxHashMap<Sequence, Sequence>,
}

impl<'c> Origins<'c> {
    pub(crate) fn new(conn: &'c Connection, tail: &[Arc<LoggedFrame>]) -> rusqlite::Result<Self> {
        let row = conn.prepare("SELECT origin FROM replays WHERE sequence = ?1")?;
        Ok(Self { row, tail: replays_in(tail).map(|(at, it)| (at, it.origin)).collect() })
    }

    /// The first place of the event at this one, if it is a replay.
    pub(crate) fn of(&mut self, at: Sequence) -> rusqlite::Result<Option<Sequence>> {
        if let Some(origin) = self.tail.get(&at) {
            return Ok(Some(*origin));
        }
        let mut rows = self.row.query([at.0.cast_signed()])?;
        let origin = rows.next()?.map(|row| row.get::<_, i64>(0)).transpose()?;
        Ok(origin.map(|origin| Sequence(origin.cast_unsigned())))
    }
}
