//! Reading events back, also damaged ones: each of those is one entry that can't be delivered, and
//! holds up no other.

use std::sync::Arc;

use bugle_core::{Entry, Event, EventName, OrderingKey, RequestId, Sequence};
use bytes::Bytes;
use rusqlite::{Connection, Row};

use super::error::{damage, is_damage};
use super::events::{EVENT_COLUMNS, read_event, read_optional, read_text, timestamp};

/// What a damaged event has in place of its payload: no event's is that.
const NO_PAYLOAD: &[u8] = b"null";

/// What was found of an event at its place.
#[derive(Debug)]
pub(super) enum ReadBack {
    /// The event as it was accepted.
    Whole(Arc<Event>),
    /// What is left of it, and what is wrong.
    Damaged(Arc<Event>, String),
    /// Nothing.
    Missing,
}

impl ReadBack {
    /// The entry at a place, for which nothing was found only if it is lost.
    pub(super) fn entry(self, sequence: Sequence, name: &EventName) -> Entry {
        match self {
            Self::Whole(event) => Entry::new(sequence, event),
            Self::Damaged(event, why) => Entry::damaged(sequence, event, why),
            Self::Missing => {
                let why = format!("the stored event {sequence} is missing");
                Entry::damaged(sequence, placeholder(sequence, name.clone()), why)
            }
        }
    }
}

/// Reads events back, each for itself. The name is as it is known already.
///
/// # Errors
/// What is no damage: another try may succeed.
pub(super) fn read_back(
    conn: &Connection,
    wanted: &[(Sequence, EventName)],
) -> rusqlite::Result<Vec<ReadBack>> {
    let mut statement = conn.prepare(&format!(
        "SELECT sequence, name, {EVENT_COLUMNS} FROM events JOIN entries USING (sequence) \
         WHERE sequence = ?1"
    ))?;
    let mut read = |sequence: Sequence, name: &EventName| -> rusqlite::Result<ReadBack> {
        let mut left = None;
        let mut read = || -> rusqlite::Result<ReadBack> {
            let mut rows = statement.query([sequence.0.cast_signed()])?;
            let Some(row) = rows.next()? else { return Ok(ReadBack::Missing) };
            match read_event(row, 1) {
                Ok(event) => Ok(ReadBack::Whole(event)),
                Err(error) => {
                    left = Some(what_is_left(row, sequence, name));
                    Err(error)
                }
            }
        };
        match read() {
            Err(error) if is_damage(&error) => {
                let why = format!("the stored event {sequence} is damaged: {}", damage(&error));
                let left = left.unwrap_or_else(|| placeholder(sequence, name.clone()));
                Ok(ReadBack::Damaged(left, why))
            }
            read => read,
        }
    };
    wanted.iter().map(|(sequence, name)| read(*sequence, name)).collect()
}

/// The event with all that can be read but its payload.
fn what_is_left(row: &Row<'_>, sequence: Sequence, name: &EventName) -> Arc<Event> {
    let id = read_text(row, 2, RequestId::new);
    let at = row.get(3).map(timestamp).unwrap_or_default();
    let key = read_optional(row, 4, OrderingKey::new).unwrap_or_default();
    let id = id.unwrap_or_else(|_| placeholder_id(sequence));
    let event = Event::new(name.clone(), id, Bytes::from_static(NO_PAYLOAD), at);
    Arc::new(event.key(key))
}

/// An event of which nothing is known but its place and its name.
fn placeholder(sequence: Sequence, name: EventName) -> Arc<Event> {
    let payload = Bytes::from_static(NO_PAYLOAD);
    Arc::new(Event::new(name, placeholder_id(sequence), payload, timestamp(0)))
}

/// An id that says that the event's own can't be read.
fn placeholder_id(sequence: Sequence) -> RequestId {
    RequestId::new(format!("damaged-event-{sequence}")).unwrap_or_else(|_| RequestId::random())
}
