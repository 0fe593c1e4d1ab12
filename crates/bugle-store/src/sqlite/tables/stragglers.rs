//! Events that somebody still waits for though their segment of the log is deleted, as rows.

use std::sync::Arc;

use bugle_core::{Event, EventName, RequestId, Sequence};
use rusqlite::{Connection, Row, Statement, params_from_iter};

use super::seal::{check_seal, seal};
use super::values::{EVENT_COLUMNS, Value, event_values, read_parts, read_text, sealed};

/// The statements on the table.
pub(crate) struct StragglerTable<'c> {
    insert: Statement<'c>,
    delete: Statement<'c>,
}

impl<'c> StragglerTable<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: conn.prepare(&format!(
                "INSERT OR REPLACE INTO stragglers (sequence, name, bytes, entry_seal, \
                 {EVENT_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
            ))?,
            delete: conn.prepare("DELETE FROM stragglers WHERE sequence = ?1")?,
        })
    }

    pub(crate) fn insert(&mut self, at: Sequence, event: &Event) -> rusqlite::Result<()> {
        let bytes = i64::try_from(event.payload.len()).unwrap_or(i64::MAX);
        let entry = [at.0.cast_signed().into(), event.name.as_str().into(), bytes.into()];
        let entry_seal = Value::from(seal(&entry));
        let values = event_values(event);
        let event_seal = Value::from(seal(entry.iter().chain(&values)));
        let row = entry.into_iter().chain([entry_seal]).chain(sealed(values, event_seal));
        self.insert.execute(params_from_iter(row))?;
        Ok(())
    }

    pub(crate) fn delete(&mut self, at: Sequence) -> rusqlite::Result<()> {
        self.delete.execute([at.0.cast_signed()])?;
        Ok(())
    }
}

/// What [`read_entry`] and [`read_straggler`] read.
pub(crate) fn select(rest: &str) -> String {
    format!("SELECT sequence, bytes, entry_seal, name, {EVENT_COLUMNS} FROM stragglers {rest}")
}

/// Reads what has to be known of one without its event.
pub(crate) fn read_entry(row: &Row<'_>) -> rusqlite::Result<(Sequence, EventName, u32)> {
    check_seal(row, [0, 3, 1], 2, "an entry")?;
    let at = Sequence(row.get::<_, i64>(0)?.cast_unsigned());
    Ok((at, read_text(row, 3, EventName::new)?, row.get(1)?))
}

/// Reads the event of one.
pub(crate) fn read_straggler(row: &Row<'_>) -> rusqlite::Result<Arc<Event>> {
    check_seal(row, [0, 3, 1].into_iter().chain(4..9).chain([10]), 9, "an event")?;
    read_parts(row, 3)
}

/// Those with a request id.
pub(crate) fn stragglers_of(conn: &Connection, id: &RequestId) -> rusqlite::Result<Vec<i64>> {
    let mut statement = conn.prepare("SELECT sequence FROM stragglers WHERE request_id = ?1")?;
    let found = statement.query_map([id.as_str()], |row| row.get(0))?;
    found.collect()
}
