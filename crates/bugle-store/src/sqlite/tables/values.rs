//! What events and times are as values of rows.

use std::sync::Arc;

use bugle_core::{Event, EventName, OrderingKey, RequestId, TraceContext};
use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::ToSqlOutput;

use crate::sqlite::error::bad_value;

/// A value of a row.
pub(crate) type Value<'a> = ToSqlOutput<'a>;

/// The columns of [`event_values`] and of [`read_parts`], after the event's name.
pub(crate) const EVENT_COLUMNS: &str =
    "request_id, emitted_at, ordering_key, traceparent, tracestate, seal, payload";

/// An event's values but its name, in the order of [`EVENT_COLUMNS`], without the seal.
pub(crate) fn event_values(event: &Event) -> [Value<'_>; 6] {
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
pub(crate) fn sealed<'a>(
    values: [Value<'a>; 6],
    seal: Value<'a>,
) -> impl Iterator<Item = Value<'a>> {
    let [id, at, key, parent, state, payload] = values;
    [id, at, key, parent, state, seal, payload].into_iter()
}

/// Reads an event from a row whose seal has been looked at: its name in the column `from`, and
/// [`EVENT_COLUMNS`] behind it.
pub(crate) fn read_parts(row: &Row<'_>, from: usize) -> rusqlite::Result<Arc<Event>> {
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
pub(crate) fn read_text<T, E: std::fmt::Display>(
    row: &Row<'_>,
    column: usize,
    check: impl Fn(String) -> Result<T, E>,
) -> rusqlite::Result<T> {
    check(row.get(column)?).map_err(|error| bad_value(column, error.to_string()))
}

/// Reads a text that is checked if it is there.
pub(crate) fn read_optional<T, E: std::fmt::Display>(
    row: &Row<'_>,
    column: usize,
    check: impl Fn(String) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    let value: Option<String> = row.get(column)?;
    value.map(check).transpose().map_err(|error| bad_value(column, error.to_string()))
}

/// A value, or null.
pub(crate) fn optional<'a, T: Into<Value<'a>>>(value: Option<T>) -> Value<'a> {
    value.map_or_else(|| Value::from(rusqlite::types::Null), Into::into)
}

/// An instant as it is stored: nanoseconds since 1970, which reach from 1677 to 2262; what is
/// beyond is stored as the nearest of these.
pub(crate) fn nanoseconds(instant: Timestamp) -> i64 {
    let nanoseconds = instant.as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

/// An instant that was stored.
pub(crate) fn timestamp(nanoseconds: i64) -> Timestamp {
    // All of them are within a timestamp's range.
    Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default()
}
