//! Events as rows.

use std::sync::Arc;

use bugle_core::{Event, EventName, OrderingKey, RequestId, Sequence, TraceContext};
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Row, Statement};

use super::error::bad_value;
use super::gone::GoneTable;
use super::ids::{Ids, Recent, hash};
use super::seal::{check_seal, seal};

/// A value of a row.
pub(super) type Value<'a> = ToSqlOutput<'a>;

/// So many rows are inserted by one statement: as many of the largest as fit, then of the next.
/// Most of what a row costs is the beginning and the end of its statement.
const AT_ONCE: [usize; 3] = [32, 8, 1];

/// What is done with the two tables of events.
pub(super) struct EventTables<'c> {
    insert: [Insert<'c>; AT_ONCE.len()],
    delete_entry: Statement<'c>,
    delete_event: Statement<'c>,
    gone: GoneTable<'c>,
    /// This transaction's events, by their ids.
    added: Vec<Recent>,
}

/// Statements that insert so many events.
struct Insert<'c> {
    rows: usize,
    entries: Statement<'c>,
    events: Statement<'c>,
}

impl<'c> Insert<'c> {
    fn new(conn: &'c Connection, rows: usize) -> rusqlite::Result<Self> {
        let values = |row: &str| vec![row; rows].join(", ");
        Ok(Self {
            rows,
            entries: conn.prepare(&format!(
                "INSERT OR ROLLBACK INTO entries (sequence, name, bytes, entry_seal) VALUES {}",
                values("(?, ?, ?, ?)")
            ))?,
            events: conn.prepare(&format!(
                "INSERT OR ROLLBACK INTO events (sequence, {EVENT_COLUMNS}) VALUES {}",
                values("(?, ?, ?, ?, ?, ?, ?, ?)")
            ))?,
        })
    }

    fn execute(&mut self, events: &[(Sequence, &Event)]) -> rusqlite::Result<()> {
        let mut column = 1..;
        for (sequence, event) in events {
            let bytes = i64::try_from(event.payload.len()).unwrap_or(i64::MAX);
            let row = [
                Value::from(sequence.0.cast_signed()),
                Value::from(event.name.as_str()),
                Value::from(bytes),
            ];
            let seal = Value::from(seal(&row));
            for (value, column) in row.into_iter().chain([seal]).zip(&mut column) {
                self.entries.raw_bind_parameter(column, value)?;
            }
        }
        self.entries.raw_execute()?;
        let mut column = 1..;
        for (sequence, event) in events {
            let key = Value::from(sequence.0.cast_signed());
            let values = event_values(event);
            let name = Value::from(event.name.as_str());
            let seal = Value::from(seal([&key, &name].into_iter().chain(&values)));
            for (value, column) in [key].into_iter().chain(sealed(values, seal)).zip(&mut column) {
                self.events.raw_bind_parameter(column, value)?;
            }
        }
        self.events.raw_execute()?;
        Ok(())
    }
}

impl<'c> EventTables<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        let [many, some, one] = AT_ONCE;
        Ok(Self {
            insert: [Insert::new(conn, many)?, Insert::new(conn, some)?, Insert::new(conn, one)?],
            delete_entry: conn.prepare("DELETE FROM entries WHERE sequence = ?1")?,
            delete_event: conn.prepare("DELETE FROM events WHERE sequence = ?1")?,
            gone: GoneTable::new(conn)?,
            added: Vec::new(),
        })
    }

    /// Takes an event back.
    pub(super) fn delete(&mut self, sequence: Sequence) -> rusqlite::Result<()> {
        let key = sequence.0.cast_signed();
        self.delete_entry.execute([key])?;
        self.delete_event.execute([key])?;
        self.gone.add(key, key)
    }

    /// Inserts events, in the order of their places.
    pub(super) fn insert(&mut self, events: &[(Sequence, &Event)]) -> rusqlite::Result<()> {
        let mut rest = events;
        for insert in &mut self.insert {
            let chunks = rest.chunks_exact(insert.rows);
            rest = chunks.remainder();
            for chunk in chunks {
                insert.execute(chunk)?;
            }
        }
        self.added.extend(events.iter().map(|(sequence, event)| Recent {
            hash: hash(&event.request_id),
            id: sequence.0.cast_signed(),
            created: nanoseconds(event.emitted_at),
        }));
        Ok(())
    }

    /// The transaction is about to be committed. Whoever sees its rows then finds them by their
    /// ids; an id without a row finds nothing.
    pub(super) fn committing(&mut self, ids: &Ids) {
        ids.add(&self.added);
    }

    /// The transaction is committed.
    pub(super) fn committed(&mut self) {
        self.added.clear();
    }

    pub(super) fn rolled_back(&mut self, ids: &Ids) {
        ids.take_back(&self.added);
        self.added.clear();
    }
}

/// The columns of [`event_values`] and of [`read_event`], after the event's name.
pub(super) const EVENT_COLUMNS: &str =
    "request_id, emitted_at, ordering_key, traceparent, tracestate, seal, payload";

/// An event's values but its name, in the order of [`EVENT_COLUMNS`], without the seal.
pub(super) fn event_values(event: &Event) -> [Value<'_>; 6] {
    let trace = event.trace.as_deref();
    [
        Value::from(event.request_id.as_str()),
        Value::from(nanoseconds(event.emitted_at)),
        optional(event.key.as_ref().map(OrderingKey::as_str)),
        optional(trace.map(|trace| trace.traceparent.as_str())),
        optional(trace.and_then(|trace| trace.tracestate.as_deref())),
        Value::from(&*event.payload),
    ]
}

/// Puts the seal where it is in [`EVENT_COLUMNS`]: before the payload, so that it can be read
/// without it.
pub(super) fn sealed<'a>(
    values: [Value<'a>; 6],
    seal: Value<'a>,
) -> impl Iterator<Item = Value<'a>> {
    let [id, at, key, parent, state, payload] = values;
    [id, at, key, parent, state, seal, payload].into_iter()
}

/// Reads an event from a row of the journal: its place in the column before `from`, its name in
/// `from`, and [`EVENT_COLUMNS`] behind it.
pub(super) fn read_event(row: &Row<'_>, from: usize) -> rusqlite::Result<Arc<Event>> {
    let columns = (from - 1..from + 6).chain([from + 7]);
    check_seal(row, columns, from + 6, "an event")?;
    read_parts(row, from)
}

/// The same of any row, whose seal has been looked at.
pub(super) fn read_parts(row: &Row<'_>, from: usize) -> rusqlite::Result<Arc<Event>> {
    let name = read_text(row, from, EventName::new)?;
    let request_id = read_text(row, from + 1, RequestId::new)?;
    let emitted_at = timestamp(row.get(from + 2)?);
    let key = read_optional(row, from + 3, OrderingKey::new)?;
    let trace = read_optional(row, from + 4, TraceContext::new)?;
    let trace = match (trace, row.get::<_, Option<String>>(from + 5)?) {
        (Some(trace), Some(state)) => {
            Some(trace.tracestate(state).map_err(|error| bad_value(from + 5, error.to_string()))?)
        }
        (trace, _) => trace,
    };
    let payload = row.get_ref(from + 7)?.as_blob().map_err(|_| bad_value(from + 7, "no blob"))?;
    let payload = Bytes::copy_from_slice(payload);
    let event = Event::new(name, request_id, payload, emitted_at).key(key).trace(trace);
    Ok(Arc::new(event))
}

/// Reads a text that is checked.
pub(super) fn read_text<T, E: std::fmt::Display>(
    row: &Row<'_>,
    column: usize,
    check: impl Fn(String) -> Result<T, E>,
) -> rusqlite::Result<T> {
    check(row.get(column)?).map_err(|error| bad_value(column, error.to_string()))
}

/// Reads a text that is checked if it is there.
pub(super) fn read_optional<T, E: std::fmt::Display>(
    row: &Row<'_>,
    column: usize,
    check: impl Fn(String) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    let value: Option<String> = row.get(column)?;
    value.map(check).transpose().map_err(|error| bad_value(column, error.to_string()))
}

/// A value, or null.
pub(super) fn optional<'a, T: Into<Value<'a>>>(value: Option<T>) -> Value<'a> {
    value.map_or_else(|| Value::from(rusqlite::types::Null), Into::into)
}

/// An instant as it is stored: nanoseconds since 1970, which reach from 1677 to 2262; what is
/// beyond is stored as the nearest of these.
pub(super) fn nanoseconds(instant: Timestamp) -> i64 {
    let nanoseconds = instant.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// An instant that was stored.
pub(super) fn timestamp(nanoseconds: i64) -> Timestamp {
    // All of them are within a timestamp's range.
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default()
}
