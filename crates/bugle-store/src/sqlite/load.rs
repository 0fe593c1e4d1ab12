//! What is read when a store is opened: who waits for what, from the first event that is not
//! settled on.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bugle_core::{EmitterId, EventName, Sequence};
use rusqlite::Connection;
use rustc_hash::FxHashSet;

use super::dead_letters::DeadIndex;
use super::emitters::Keys;
use super::error::{StoreError, bad_value};
use super::events::read_text;
use super::gone::{Holes, in_words, load_gone};
use super::ids::{Ids, Indexed};
use super::note::{Note, Noted};
use super::places::{PLACES, read_place};
use super::positions::load_positions;
use super::replays::load_replays;
use super::schema;
use super::seal::check_seal;

use crate::backlog::{Backlog, CHUNK, Kept, Limits, Names, Restored, chunk_of};

/// What a store needs to know before it can go on.
pub(super) struct Loaded {
    pub(super) backlog: Arc<Backlog>,
    pub(super) keys: Keys,
    pub(super) dead: Arc<DeadIndex>,
    pub(super) event_ids: Arc<Ids>,
    pub(super) attempt_ids: Arc<Ids>,
    /// The chunks of the journal of which something is on disk.
    pub(super) chunks: BTreeSet<u64>,
    /// The emitters whose place is not as it was written down.
    pub(super) moved: FxHashSet<EmitterId>,
}

pub(super) fn load(
    conn: &Connection,
    file: &Path,
    settled: &[Note],
    limits: Limits,
) -> Result<Loaded, StoreError> {
    schema::passing(conn, || try_load(conn, settled, limits))
        .map_err(|error| StoreError::sqlite(file, &error))
}

/// The same, with the errors of SQLite.
pub(super) fn try_load(
    conn: &Connection,
    settled: &[Note],
    limits: Limits,
) -> rusqlite::Result<Loaded> {
    let last = last_sequence(conn)?;
    let (keys, emitters) = load_emitters(conn)?;
    let chunks = load_chunks(conn)?;
    let from = emitters.iter().map(Restored::starts_at).min().unwrap_or(last).min(last);
    let waiting = chunks.range(chunk_of(from)..).count() as u64 * CHUNK;
    let waiting = waiting.min(last.0 - from.0);
    let backlog = Backlog::new(limits);
    let mut statement = conn.prepare(
        "SELECT sequence, name, bytes, entry_seal FROM entries WHERE sequence > ?1 ORDER BY sequence",
    )?;
    let replays = load_replays(conn, from)?;
    let mut names = Names::default();
    let mut holes = Holes::behind(from, load_gone(conn, from)?);
    let entries = statement.query_map([from.0.cast_signed()], |row| {
        check_seal(row, 0..3, 3, "an entry")?;
        holes.pass(row.get(0)?);
        let sequence = Sequence(row.get::<_, i64>(0)?.cast_unsigned());
        let name = match names.find(row.get_ref(1)?.as_str()?) {
            Some(name) => name,
            None => names.share(&read_text(row, 1, EventName::new)?),
        };
        Ok((sequence, Kept::Away { bytes: row.get(2)?, name }))
    })?;
    let most = usize::try_from(waiting).unwrap_or(0);
    backlog.with(|state| state.restore(emitters, last, entries, most, replays))?;
    let missing = holes.end(last);
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
    backlog.with(|state| positions.iter().for_each(|it| state.positions.advance(it)));
    let dead = load_dead(conn)?;
    let event_ids = Arc::new(Ids::load(conn, Indexed::Events)?);
    let attempt_ids = Arc::new(Ids::load(conn, Indexed::Attempts)?);
    let (backlog, dead) = (Arc::new(backlog), Arc::new(dead));
    Ok(Loaded { backlog, keys, dead, event_ids, attempt_ids, chunks, moved })
}

/// The journal's end: the last number that was given to an event. The event itself may be gone,
/// because it was taken back or deleted; a number that anything refers to is never given again.
pub(super) fn last_sequence(conn: &Connection) -> rusqlite::Result<Sequence> {
    let mut last = 0;
    for known in [
        "SELECT max(sequence) FROM entries",
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

/// Which chunks there are, with one step of the index for each.
fn load_chunks(conn: &Connection) -> rusqlite::Result<BTreeSet<u64>> {
    let mut chunks = BTreeSet::new();
    let mut first = conn.prepare("SELECT min(sequence) FROM entries WHERE sequence >= ?1")?;
    let mut from = 0;
    loop {
        let next: Option<i64> = first.query_row([from], |row| row.get(0))?;
        let Some(next) = next else { return Ok(chunks) };
        let chunk = chunk_of(Sequence(next.cast_unsigned()));
        chunks.insert(chunk);
        from = ((chunk + 1) * CHUNK).cast_signed();
    }
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
