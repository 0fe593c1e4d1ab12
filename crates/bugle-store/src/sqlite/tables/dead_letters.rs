//! Dead letters as rows, each with its event, which so outlives the journal's copy.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};

use bugle_core::{
    AttemptCode, DeadLetter, DeadLetterId, EmitterId, Entry as JournalEntry, Sequence,
};
use parking_lot::Mutex;
use rusqlite::{Connection, Row, Statement, params_from_iter};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::sqlite::tables::emitters::EmitterKey;
use crate::sqlite::tables::seal::{check_seal, seal};
use crate::sqlite::tables::values::{
    EVENT_COLUMNS, Value, event_values, nanoseconds, read_parts, read_text, sealed, timestamp,
};

/// Whose dead letters there are, for the fate of an entry and for the event log. Locked under the
/// backlog, where both are.
#[derive(Debug, Default)]
pub(crate) struct DeadIndex {
    letters: Mutex<Letters>,
    /// Says how many of them are not on disk yet.
    unwritten: AtomicUsize,
}

#[derive(Debug, Default)]
struct Letters {
    by_place: BTreeMap<Sequence, SmallVec<[Dead; 1]>>,
    /// Says how many there are of each emitter.
    counts: FxHashMap<EmitterId, u64>,
}

/// An emitter gave up on what is at a place.
#[derive(Debug)]
struct Dead {
    emitter: EmitterId,
    /// Where it read it: here, or as a replay elsewhere.
    sequence: Sequence,
}

impl Letters {
    fn enter(&mut self, emitter: EmitterId, place: Sequence, sequence: Sequence) {
        if place == sequence {
            *self.counts.entry(emitter.clone()).or_default() += 1;
        }
        self.by_place.entry(place).or_default().push(Dead { emitter, sequence });
    }

    /// Removes those at a place that are gone.
    fn remove(&mut self, place: Sequence, is_gone: impl Fn(&Dead) -> bool) {
        let Entry::Occupied(mut dead) = self.by_place.entry(place) else { return };
        let counts = &mut self.counts;
        dead.get_mut().retain(|dead| {
            let gone = is_gone(dead);
            if gone
                && dead.sequence == place
                && let Some(count) = counts.get_mut(&dead.emitter)
            {
                *count = count.saturating_sub(1);
            }
            !gone
        });
        if dead.get().is_empty() {
            dead.remove();
        }
    }
}

impl DeadIndex {
    /// An emitter gave up on what it read at a place: an event that was first at another, if it
    /// was a replay.
    pub(crate) fn enter(&self, emitter: EmitterId, sequence: Sequence, origin: Sequence) {
        let mut letters = self.letters.lock();
        if origin != sequence {
            letters.enter(emitter.clone(), origin, sequence);
        }
        letters.enter(emitter, sequence, sequence);
    }

    /// So many changes are handed to who writes the database.
    pub(crate) fn handed_over(&self, changes: usize) {
        self.unwritten.fetch_add(changes, Ordering::SeqCst);
    }

    /// So many of them are written.
    pub(crate) fn written(&self, changes: usize) {
        self.unwritten.fetch_sub(changes, Ordering::SeqCst);
    }

    /// Tells whether some are not written.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.unwritten.load(Ordering::SeqCst) > 0
    }

    fn leave(&self, gone: &Gone) {
        let mut letters = self.letters.lock();
        for place in [gone.sequence, gone.origin] {
            let is_gone = |it: &Dead| it.emitter == gone.emitter && it.sequence == gone.sequence;
            letters.remove(place, is_gone);
        }
    }

    /// An event waits again for an emitter, as a replay at a place: what it gave up on before that
    /// is no dead letter any more.
    pub(crate) fn replayed(&self, emitter: &EmitterId, origin: Sequence, at: Sequence) {
        let mut letters = self.letters.lock();
        let is_gone = |it: &Dead| it.emitter == *emitter && it.sequence < at;
        let dead = letters.by_place.get(&origin).into_iter().flatten();
        let gone: SmallVec<[Sequence; 2]> =
            dead.filter(|it| is_gone(it)).map(|it| it.sequence).collect();
        for place in gone.into_iter().chain([origin]) {
            letters.remove(place, is_gone);
        }
    }

    /// All letters of an event are removed.
    pub(crate) fn absolve(&self, sequence: Sequence) {
        self.letters.lock().remove(sequence, |_| true);
    }

    pub(crate) fn contains(&self, emitter: &EmitterId, sequence: Sequence) -> bool {
        let letters = self.letters.lock();
        let dead = letters.by_place.get(&sequence);
        dead.is_some_and(|dead| dead.iter().any(|dead| dead.emitter == *emitter))
    }

    /// Says how many there are of an emitter.
    pub(crate) fn of(&self, emitter: &EmitterId) -> u64 {
        self.letters.lock().counts.get(emitter).copied().unwrap_or(0)
    }

    /// The newest events below a place that are dead letters, newest first, at most so many.
    pub(crate) fn below(&self, below: Sequence, count: usize) -> Vec<Sequence> {
        self.letters
            .lock()
            .by_place
            .range(..below)
            .rev()
            .take(count)
            .map(|(sequence, _)| *sequence)
            .collect()
    }
}

/// A dead letter that is deleted.
#[derive(Debug)]
struct Gone {
    emitter: EmitterId,
    sequence: Sequence,
    origin: Sequence,
}

/// What is done with the table.
pub(crate) struct LetterTable<'c> {
    insert: Statement<'c>,
    oldest: Statement<'c>,
    delete_oldest: Statement<'c>,
    by_id: Statement<'c>,
    by_sequence: Statement<'c>,
    by_origin: Statement<'c>,
    oldest_before: Statement<'c>,
    delete: Statement<'c>,
    /// Says how many there are, without those that are not committed.
    count: usize,
    /// Those of this transaction: what came, and what went.
    came: usize,
    gone: Vec<Gone>,
}

impl<'c> LetterTable<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let count: i64 = conn.query_row("SELECT count(*) FROM dead_letters", [], |it| it.get(0))?;
        let select = "SELECT dead_letters.id, emitters.id, sequence, origin FROM dead_letters \
                      JOIN emitters ON emitters.key = emitter";
        Ok(Self {
            insert: conn.prepare(&format!(
                "INSERT INTO dead_letters (emitter, sequence, origin, code, message, attempts, \
                 created, name, {EVENT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
                 ?11, ?12, ?13, ?14, ?15)"
            ))?,
            oldest: conn.prepare(&format!("{select} ORDER BY dead_letters.id LIMIT ?1"))?,
            delete_oldest: conn.prepare("DELETE FROM dead_letters WHERE id <= ?1")?,
            by_id: conn.prepare(&format!("{select} WHERE dead_letters.id = ?1"))?,
            by_sequence: conn.prepare(&format!("{select} WHERE sequence = ?1"))?,
            by_origin: conn.prepare(&format!(
                "{select} WHERE emitter = ?1 AND origin = ?2 AND sequence < ?3"
            ))?,
            oldest_before: conn.prepare(&format!(
                "{select} WHERE created < ?1 AND dead_letters.id <= (SELECT coalesce(max(id), 0) \
                 FROM (SELECT id FROM dead_letters ORDER BY id LIMIT ?2))"
            ))?,
            delete: conn.prepare("DELETE FROM dead_letters WHERE id = ?1")?,
            count: usize::try_from(count).unwrap_or(0),
            came: 0,
            gone: Vec::new(),
        })
    }

    pub(crate) fn insert(
        &mut self,
        emitter: EmitterKey,
        letter: &DeadLetter,
    ) -> rusqlite::Result<()> {
        let head = [
            Value::from(emitter),
            Value::from(letter.sequence.0.cast_signed()),
            Value::from(letter.origin.0.cast_signed()),
            Value::from(letter.code.as_str()),
            Value::from(letter.message.as_str()),
            Value::from(letter.attempts),
            Value::from(nanoseconds(letter.created)),
            Value::from(letter.event.name.as_str()),
        ];
        let values = event_values(&letter.event);
        let seal = Value::from(seal(head.iter().chain(&values)));
        let values = head.into_iter().chain(sealed(values, seal));
        self.insert.execute(params_from_iter(values))?;
        self.came += 1;
        Ok(())
    }

    /// Removes all of what was read at a place.
    pub(crate) fn remove(&mut self, sequence: Sequence) -> rusqlite::Result<()> {
        let rows = self.by_sequence.query_map([sequence.0.cast_signed()], read_gone)?;
        for found in rows.collect::<rusqlite::Result<Vec<_>>>()? {
            self.delete(Some(found))?;
        }
        Ok(())
    }

    /// Deletes one. `false` when it was not there.
    pub(crate) fn discard(&mut self, id: DeadLetterId) -> rusqlite::Result<bool> {
        let mut rows = self.by_id.query([id.number().cast_signed()])?;
        let found = rows.next()?.map(read_gone).transpose()?;
        drop(rows);
        self.delete(found)
    }

    /// Deletes what an emitter gave up on, of the event that was first at one place, before it was
    /// delivered again from another.
    pub(crate) fn take(
        &mut self,
        emitter: EmitterKey,
        origin: Sequence,
        at: Sequence,
    ) -> rusqlite::Result<()> {
        let [origin, at] = [origin, at].map(|it| it.0.cast_signed());
        let rows = self.by_origin.query_map((emitter, origin, at), read_gone)?;
        for found in rows.collect::<rusqlite::Result<Vec<_>>>()? {
            self.delete(Some(found))?;
        }
        Ok(())
    }

    fn delete(&mut self, found: Option<(i64, Gone)>) -> rusqlite::Result<bool> {
        let Some((id, gone)) = found else { return Ok(false) };
        self.delete.execute([id])?;
        self.gone.push(gone);
        Ok(true)
    }

    /// Deletes the oldest above a number.
    pub(crate) fn trim(&mut self, max: usize) -> rusqlite::Result<()> {
        let excess = (self.count + self.came).saturating_sub(max + self.gone.len());
        if self.came == 0 || excess == 0 {
            return Ok(());
        }
        let limit = i64::try_from(excess).unwrap_or(i64::MAX);
        let rows = self.oldest.query_map([limit], read_gone)?;
        let rows: Vec<(i64, Gone)> = rows.collect::<rusqlite::Result<_>>()?;
        if let Some((last, _)) = rows.last() {
            self.delete_oldest.execute([last])?;
        }
        self.gone.extend(rows.into_iter().map(|(_, gone)| gone));
        Ok(())
    }

    /// Deletes those among so many of the oldest that are of before an instant. Answers how many.
    pub(crate) fn delete_before(&mut self, instant: i64, among: u64) -> rusqlite::Result<u64> {
        let found = self.oldest_before.query_map((instant, among.cast_signed()), read_gone)?;
        let found: Vec<(i64, Gone)> = found.collect::<rusqlite::Result<_>>()?;
        let count = found.len() as u64;
        for letter in found {
            self.delete(Some(letter))?;
        }
        Ok(count)
    }

    pub(crate) fn committed(&mut self, index: &DeadIndex) {
        index.written(self.came);
        self.count = (self.count + self.came).saturating_sub(self.gone.len());
        self.came = 0;
        for gone in self.gone.drain(..) {
            index.leave(&gone);
        }
    }

    pub(crate) fn rolled_back(&mut self) {
        self.came = 0;
        self.gone.clear();
    }
}

fn read_gone(row: &Row<'_>) -> rusqlite::Result<(i64, Gone)> {
    let emitter = read_text(row, 1, EmitterId::new)?;
    Ok((row.get(0)?, Gone { emitter, sequence: place(row, 2)?, origin: place(row, 3)? }))
}

fn place(row: &Row<'_>, column: usize) -> rusqlite::Result<Sequence> {
    Ok(Sequence(row.get::<_, i64>(column)?.cast_unsigned()))
}

/// What [`read_letter`] reads, in this order.
pub(crate) const LETTER_COLUMNS: &str = "id, (SELECT emitters.id FROM emitters WHERE key = emitter), sequence, origin, code, message, \
     attempts, created, name, request_id, emitted_at, ordering_key, traceparent, tracestate, \
     seal, payload, emitter";

/// Reads a dead letter.
pub(crate) fn read_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let columns = [16].into_iter().chain(2..14).chain([15]);
    check_seal(row, columns, 14, "a dead letter")?;
    let emitter = read_text(row, 1, EmitterId::new)?;
    let code = read_text(row, 4, read_code)?;
    let entry = JournalEntry::new(place(row, 2)?, read_parts(row, 8)?);
    let (message, created): (String, _) = (row.get(5)?, timestamp(row.get(7)?));
    let letter = DeadLetter::new(emitter, &entry, code, message, row.get(6)?, created);
    let id = DeadLetterId::new(row.get::<_, i64>(0)?.cast_unsigned());
    Ok(letter.numbered(id, place(row, 3)?))
}

/// Reads the name of a kind of failure.
pub(crate) fn read_code(text: String) -> Result<AttemptCode, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(text))
}
