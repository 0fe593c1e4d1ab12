//! Dead letters as rows, each with its event, which so outlives the journal's copy.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bugle_core::{AttemptCode, DeadLetter, EmitterId, Entry as JournalEntry, Sequence};
use parking_lot::Mutex;
use rusqlite::{Connection, Row, Statement, params_from_iter};
use smallvec::SmallVec;

use super::emitters::EmitterKey;
use super::events::{
    EVENT_COLUMNS, Value, event_values, nanoseconds, read_event, read_text, timestamp,
};

/// Whose dead letters there are, for the fate of an entry and for the event log. Locked under the
/// backlog, where both are.
#[derive(Debug, Default)]
pub(super) struct DeadIndex(Mutex<BTreeMap<Sequence, SmallVec<[EmitterId; 1]>>>);

impl DeadIndex {
    pub(super) fn enter(&self, emitter: EmitterId, sequence: Sequence) {
        self.0.lock().entry(sequence).or_default().push(emitter);
    }

    fn leave(&self, emitter: &EmitterId, sequence: Sequence) {
        if let Entry::Occupied(mut emitters) = self.0.lock().entry(sequence) {
            emitters.get_mut().retain(|other| other != emitter);
            if emitters.get().is_empty() {
                emitters.remove();
            }
        }
    }

    /// All letters of an event are removed.
    pub(super) fn absolve(&self, sequence: Sequence) {
        self.0.lock().remove(&sequence);
    }

    pub(super) fn contains(&self, emitter: &EmitterId, sequence: Sequence) -> bool {
        self.0.lock().get(&sequence).is_some_and(|emitters| emitters.contains(emitter))
    }

    /// The newest events below a place that are dead letters, newest first, at most so many.
    pub(super) fn below(&self, below: Sequence, count: usize) -> Vec<Sequence> {
        self.0.lock().range(..below).rev().take(count).map(|(sequence, _)| *sequence).collect()
    }
}

/// What is done with the table.
pub(super) struct LetterTable<'c> {
    insert: Statement<'c>,
    oldest: Statement<'c>,
    delete: Statement<'c>,
    remove: Statement<'c>,
    /// How many there are, without those that are not committed.
    count: usize,
    /// Those of this transaction: what came, what was removed, and what had to go.
    came: usize,
    removed: usize,
    gone: Vec<(EmitterId, Sequence)>,
}

impl<'c> LetterTable<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let count: i64 = conn.query_row("SELECT count(*) FROM dead_letters", [], |it| it.get(0))?;
        Ok(Self {
            insert: conn.prepare(&format!(
                "INSERT INTO dead_letters (emitter, sequence, code, message, attempts, created, \
                 name, {EVENT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, \
                 ?12, ?13, ?14)"
            ))?,
            oldest: conn.prepare(
                "SELECT dead_letters.id, emitters.id, sequence FROM dead_letters JOIN emitters ON \
                 emitters.key = emitter ORDER BY dead_letters.id LIMIT ?1",
            )?,
            delete: conn.prepare("DELETE FROM dead_letters WHERE id <= ?1")?,
            remove: conn.prepare("DELETE FROM dead_letters WHERE sequence = ?1")?,
            count: usize::try_from(count).unwrap_or(0),
            came: 0,
            removed: 0,
            gone: Vec::new(),
        })
    }

    pub(super) fn insert(
        &mut self,
        emitter: EmitterKey,
        letter: &DeadLetter,
    ) -> rusqlite::Result<()> {
        let head = [
            Value::from(emitter),
            Value::from(letter.sequence.0.cast_signed()),
            Value::from(letter.code.as_str()),
            Value::from(letter.message.as_str()),
            Value::from(letter.attempts),
            Value::from(nanoseconds(letter.created)),
            Value::from(letter.event.name.as_str()),
        ];
        let values = head.into_iter().chain(event_values(&letter.event));
        self.insert.execute(params_from_iter(values))?;
        self.came += 1;
        Ok(())
    }

    /// Removes all of an event's.
    pub(super) fn remove(&mut self, sequence: Sequence) -> rusqlite::Result<()> {
        self.removed += self.remove.execute([sequence.0.cast_signed()])?;
        Ok(())
    }

    /// Deletes the oldest above a number.
    pub(super) fn trim(&mut self, max: usize) -> rusqlite::Result<()> {
        let excess = (self.count + self.came).saturating_sub(max + self.removed);
        if self.came == 0 || excess == 0 {
            return Ok(());
        }
        let limit = i64::try_from(excess).unwrap_or(i64::MAX);
        let rows = self.oldest.query_map([limit], |row| {
            let sequence = Sequence(row.get::<_, i64>(2)?.cast_unsigned());
            Ok((row.get::<_, i64>(0)?, read_text(row, 1, EmitterId::new)?, sequence))
        })?;
        let rows: Vec<_> = rows.collect::<rusqlite::Result<_>>()?;
        if let Some((last, ..)) = rows.last() {
            self.delete.execute([last])?;
        }
        self.gone = rows.into_iter().map(|(_, emitter, sequence)| (emitter, sequence)).collect();
        Ok(())
    }

    pub(super) fn committed(&mut self, index: &DeadIndex) {
        self.count = (self.count + self.came).saturating_sub(self.removed + self.gone.len());
        (self.came, self.removed) = (0, 0);
        for (emitter, sequence) in self.gone.drain(..) {
            index.leave(&emitter, sequence);
        }
    }

    pub(super) fn rolled_back(&mut self) {
        (self.came, self.removed) = (0, 0);
        self.gone.clear();
    }
}

/// Reads the newest dead letters.
pub(super) fn newest(
    conn: &Connection,
    emitter: Option<&EmitterId>,
    limit: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let filter = match emitter {
        Some(_) => "WHERE emitter = (SELECT key FROM emitters WHERE emitters.id = ?2)",
        None => "WHERE ?2 IS NULL",
    };
    let mut statement = conn.prepare(&format!(
        "SELECT (SELECT emitters.id FROM emitters WHERE key = emitter), sequence, code, message, \
         attempts, created, name, {EVENT_COLUMNS} FROM dead_letters {filter} \
         ORDER BY dead_letters.id DESC LIMIT ?1"
    ))?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map((limit, emitter.map(EmitterId::as_str)), read_letter)?;
    rows.collect()
}

fn read_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    let emitter = read_text(row, 0, EmitterId::new)?;
    let sequence = Sequence(row.get::<_, i64>(1)?.cast_unsigned());
    let code = read_text(row, 2, read_code)?;
    let entry = JournalEntry::new(sequence, read_event(row, 6)?);
    let message: String = row.get(3)?;
    Ok(DeadLetter::new(emitter, &entry, code, message, row.get(4)?, timestamp(row.get(5)?)))
}

/// Reads the name of a kind of failure.
pub(super) fn read_code(text: String) -> Result<AttemptCode, serde_json::Error> {
    serde_json::from_value(serde_json::Value::String(text))
}
