//! What is read when a store is opened: who waits for what, from the first event that is not
//! settled on.

use std::iter::Peekable;
use std::path::Path;
use std::sync::Arc;

use bugle_core::{EmitterId, EventName, Sequence};
use rusqlite::Connection;
use rustc_hash::FxHashSet;

use super::error::{StoreError, bad_value};
use crate::backlog::{Backlog, Kept, Limits, Names, Restored};
use crate::sqlite::search::ids::{Ids, Indexed};
use crate::sqlite::search::index::{LogView, tail_stretches};
use crate::sqlite::tables::dead_letters::DeadIndex;
use crate::sqlite::tables::emitters::Keys;
use crate::sqlite::tables::gone::{Holes, Ranges, in_words, load_gone};
use crate::sqlite::tables::places::{PLACES, read_place};
use crate::sqlite::tables::positions::load_positions;
use crate::sqlite::tables::replays::{load_replays, replays_in};
use crate::sqlite::tables::schema;
use crate::sqlite::tables::seal::check_seal;
use crate::sqlite::tables::stragglers::{self, read_entry};
use crate::sqlite::tables::stretches::{STRETCH_COLUMNS, Stretch, read_stretch};
use crate::sqlite::tables::values::read_text;
use crate::sqlite::write::note::{Note, Noted};

/// What a store needs to know before it can go on.
pub(crate) struct Loaded {
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) keys: Keys,
    pub(crate) dead: Arc<DeadIndex>,
    pub(crate) event_ids: Arc<Ids>,
    pub(crate) attempt_ids: Arc<Ids>,
    /// The emitters whose place is not as it was written down.
    pub(crate) moved: FxHashSet<EmitterId>,
}

/// Reads it, where the journal ends at a number.
pub(crate) fn load(
    conn: &Connection,
    file: &Path,
    log: &LogView,
    end: Sequence,
    settled: &[Note],
    limits: Limits,
) -> Result<Loaded, StoreError> {
    schema::passing(conn, || try_load(conn, log, end, settled, limits))
        .map_err(|error| StoreError::sqlite(file, &error))
}

/// The same, with the errors of SQLite.
pub(crate) fn try_load(
    conn: &Connection,
    log: &LogView,
    end: Sequence,
    settled: &[Note],
    limits: Limits,
) -> rusqlite::Result<Loaded> {
    let tail = &log.tail;
    let last = last_sequence(conn)?.max(end);
    let (keys, emitters) = load_emitters(conn)?;
    let from = emitters.iter().map(Restored::starts_at).min().unwrap_or(last).min(last);
    let backlog = Backlog::new(limits);
    let replays = load_replays(conn, tail, from)?;
    let most = usize::try_from(last.0 - from.0).unwrap_or(0);
    let gone = load_gone(conn, from)?;
    let mut holes = Holes::behind(from, gone.clone());
    {
        let mut stragglers =
            conn.prepare(&stragglers::select("WHERE sequence > ?1 ORDER BY sequence"))?;
        let first = "SELECT coalesce(max(first), 0) FROM stretches WHERE first <= ?1 + 1";
        let mut stretches = conn.prepare(&format!(
            "SELECT {STRETCH_COLUMNS} FROM stretches WHERE first >= ({first}) ORDER BY first"
        ))?;
        let from_row = [from.0.cast_signed()];
        let rows = stretches.query_map(from_row, read_stretch)?;
        let mut entries = Entries {
            from,
            gone: Ranges(gone),
            stragglers: stragglers.query_map(from_row, read_entry)?.peekable(),
            stretches: rows.chain(tail_stretches(conn, log)?.into_iter().map(Ok)).peekable(),
            here: Vec::new().into_iter(),
            holes: &mut holes,
            names: Names::default(),
        };
        let entries = std::iter::from_fn(|| entries.next().transpose());
        backlog.with(|state| state.restore(emitters, last, entries, most, replays))?;
    }
    let missing = holes.found();
    if !missing.is_empty() {
        return Err(bad_value(0, in_words(&missing)));
    }
    let moved = backlog.with(|state| {
        let moved = settled.iter().filter(|(emitter, noted)| match noted {
            Noted::Delivered(sequence) => state.settle_restored(emitter, *sequence),
            Noted::SetBack(count, setback, at) => {
                state.set_back_restored(emitter, *count, setback, *at)
            }
        });
        moved.map(|(emitter, _)| emitter.clone()).collect()
    });
    let positions = load_positions(conn)?;
    let in_tail = tail.iter().filter_map(|frame| frame.position.as_ref());
    backlog
        .with(|state| positions.iter().chain(in_tail).for_each(|it| state.positions.advance(it)));
    let dead = load_dead(conn)?;
    for (at, replay) in replays_in(tail) {
        dead.replayed(&replay.emitter, replay.origin, at);
    }
    let event_ids = Arc::new(Ids::load(conn, Indexed::Events, &log.log)?);
    let attempt_ids = Arc::new(Ids::load(conn, Indexed::Attempts, &log.log)?);
    let (backlog, dead) = (Arc::new(backlog), Arc::new(dead));
    Ok(Loaded { backlog, keys, dead, event_ids, attempt_ids, moved })
}

/// What an emitter may wait for, in order.
struct Entries<'h, S: Iterator, R: Iterator> {
    from: Sequence,
    gone: Ranges,
    stragglers: Peekable<S>,
    stretches: Peekable<R>,
    /// What is left of a stretch.
    here: std::vec::IntoIter<(Sequence, Kept)>,
    holes: &'h mut Holes,
    names: Names,
}

impl<S, R> Entries<'_, S, R>
where
    S: Iterator<Item = rusqlite::Result<(Sequence, EventName, u32)>>,
    R: Iterator<Item = rusqlite::Result<Stretch>>,
{
    fn next(&mut self) -> rusqlite::Result<Option<(Sequence, Kept)>> {
        loop {
            if let Some(entry) = self.here.next() {
                return Ok(Some(entry));
            }
            let first = match self.stretches.peek() {
                Some(Ok(stretch)) => stretch.first,
                _ => Sequence(u64::MAX),
            };
            if let Some(straggler) = self.stragglers.next_if(|it| match it {
                Ok((at, ..)) => *at < first,
                Err(_) => true,
            }) {
                let (at, name, bytes) = straggler?;
                self.holes.cover(at, at);
                return Ok(Some((at, Kept::Away { bytes, name: self.names.share(&name) })));
            }
            let Some(stretch) = self.stretches.next().transpose()? else { return Ok(None) };
            self.holes.cover(stretch.first, stretch.last);
            let names: Vec<_> = stretch.names().map(|name| self.names.share(name)).collect();
            let (from, gone) = (self.from, &self.gone);
            let waiting = stretch.entries().filter(|(at, ..)| *at > from && !gone.has(*at));
            let here = waiting.filter_map(|(at, name, bytes)| {
                Some((at, Kept::Away { bytes, name: Arc::clone(names.get(name)?) }))
            });
            self.here = here.collect::<Vec<_>>().into_iter();
        }
    }
}

/// The journal's end: the last number that was given to an event. The event itself may be gone,
/// because it was taken back or deleted; a number that anything refers to is never given again.
pub(crate) fn last_sequence(conn: &Connection) -> rusqlite::Result<Sequence> {
    let mut last = 0;
    for known in [
        "SELECT max(last) FROM stretches",
        "SELECT max(sequence) FROM stragglers",
        "SELECT max(sequence) FROM replays",
        "SELECT max(last) FROM gone",
        "SELECT max(max(cursor, since)) FROM places",
        "SELECT max(sequence) FROM dead_letters",
        "SELECT max(last) FROM event_runs",
    ] {
        let known: Option<i64> = conn.query_row(known, [], |row| row.get(0))?;
        last = last.max(known.unwrap_or(0));
    }
    Ok(Sequence(last.cast_unsigned()))
}

/// All emitters' numbers, and the places of those that have one.
fn load_emitters(conn: &Connection) -> rusqlite::Result<(Keys, Vec<Restored>)> {
    let mut keys = Keys::default();
    let mut statement = conn.prepare("SELECT key, id, seal FROM emitters")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        check_seal(row, 0..2, 2, "an emitter's number")?;
        keys.enter(read_text(row, 1, EmitterId::new)?, row.get(0)?);
    }
    let mut statement = conn.prepare(PLACES)?;
    let restored = statement.query_map([], |row| {
        Ok(Restored { emitter: read_text(row, 0, EmitterId::new)?, place: read_place(row)? })
    })?;
    Ok((keys, restored.collect::<rusqlite::Result<_>>()?))
}

fn load_dead(conn: &Connection) -> rusqlite::Result<DeadIndex> {
    let dead = DeadIndex::default();
    let mut statement = conn.prepare(
        "SELECT emitters.id, sequence, origin FROM dead_letters INDEXED BY dead_letters_by_origin \
         LEFT JOIN emitters ON emitters.key = emitter",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let [sequence, origin] = [row.get::<_, i64>(1)?, row.get::<_, i64>(2)?];
        let [sequence, origin] = [sequence, origin].map(|it| Sequence(it.cast_unsigned()));
        dead.enter(read_text(row, 0, EmitterId::new)?, sequence, origin);
    }
    Ok(dead)
}
