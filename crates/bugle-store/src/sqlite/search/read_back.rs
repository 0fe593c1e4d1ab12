//! Reading events back, also damaged ones: each of those is one entry that can't be delivered, and
//! holds up no other.

use std::sync::Arc;

use bugle_core::{Entry, Event, EventName, OrderingKey, RequestId, Sequence};
use bytes::Bytes;
use rusqlite::{Connection, Row};

use super::index::{Index, LogView};
use crate::log::LogReader;
use crate::sqlite::behind::Behind;
use crate::sqlite::error::{damage, is_damage};
use crate::sqlite::tables::values::{read_optional, read_text, timestamp};

/// What a damaged event has in place of its payload: no event's is that.
const NO_PAYLOAD: &[u8] = b"null";

/// What was found of an event at its place.
#[derive(Debug)]
pub(crate) enum ReadBack {
    /// The event as it was accepted.
    Whole(Arc<Event>),
    /// What is left of it, and what is wrong.
    Damaged(Arc<Event>, String),
    /// Nothing.
    Missing,
}

impl ReadBack {
    /// The entry at a place, for which nothing was found only if it is lost.
    pub(crate) fn entry(self, sequence: Sequence, name: &EventName) -> Entry {
        match self {
            Self::Whole(event) => Entry::new(sequence, event),
            Self::Damaged(event, why) => Entry::damaged(sequence, event, why),
            Self::Missing => {
                let why = format!("the stored event {sequence} is missing");
                Entry::damaged(sequence, placeholder(sequence, name.clone()), why)
            }
        }
    }

    /// An event of which nothing is left but its name.
    pub(crate) fn damaged(sequence: Sequence, name: Option<&EventName>, why: &str) -> Self {
        let why = format!("the stored event {sequence} is damaged: {why}");
        match name {
            Some(name) => Self::Damaged(placeholder(sequence, name.clone()), why),
            None => Self::Missing,
        }
    }

    /// What was read of the row of a straggler.
    ///
    /// # Errors
    /// What is no damage: another try may succeed.
    pub(crate) fn of_row(
        sequence: Sequence,
        row: &Row<'_>,
        read: rusqlite::Result<Arc<Event>>,
    ) -> rusqlite::Result<Self> {
        match read {
            Ok(event) => Ok(Self::Whole(event)),
            Err(error) if is_damage(&error) => {
                let why = format!("the stored event {sequence} is damaged: {}", damage(&error));
                let name = read_text(row, 3, EventName::new)?;
                Ok(Self::Damaged(what_is_left(row, sequence, name), why))
            }
            Err(error) => Err(error),
        }
    }

    /// The event, if it is whole. A damaged one is an error that says so.
    pub(crate) fn whole(self) -> rusqlite::Result<Option<Arc<Event>>> {
        match self {
            Self::Whole(event) => Ok(Some(event)),
            Self::Damaged(_, why) => Err(crate::sqlite::error::bad_value(0, why)),
            Self::Missing => Ok(None),
        }
    }
}

/// Reads events back, each for itself, in the order of their numbers. The name is as it is known
/// already.
///
/// # Errors
/// What is no damage of an event: another try may succeed.
pub(crate) fn read_back(
    conn: &Connection,
    log: &LogReader,
    behind: &Behind,
    wanted: &[(Sequence, EventName)],
) -> rusqlite::Result<Vec<ReadBack>> {
    let view = LogView { log: log.clone(), tail: Vec::new() };
    let mut found = Vec::with_capacity(wanted.len());
    let mut index = None;
    while let Some((at, _)) = wanted.get(found.len()) {
        // Before the database: what leaves this is there.
        if let Some(event) = behind.find(*at) {
            found.push(ReadBack::Whole(event));
            continue;
        }
        let rest = wanted.get(found.len()..).unwrap_or_default();
        let run = rest.iter().zip(at.0..).take_while(|((it, _), number)| it.0 == *number).count();
        let index = match &mut index {
            Some(index) => index,
            none => none.insert(Index::new(conn, &view)?),
        };
        found.extend(index.read_run(*at, run)?);
    }
    Ok(found)
}

/// The event with all that can be read but its payload.
fn what_is_left(row: &Row<'_>, sequence: Sequence, name: EventName) -> Arc<Event> {
    let id = read_text(row, 4, RequestId::new);
    let at = row.get(5).map(timestamp).unwrap_or_default();
    let key = read_optional(row, 6, OrderingKey::new).unwrap_or_default();
    let id = id.unwrap_or_else(|_| placeholder_id(sequence));
    let event = Event::new(name, id, Bytes::from_static(NO_PAYLOAD), at);
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
