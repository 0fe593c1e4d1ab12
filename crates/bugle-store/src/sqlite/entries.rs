//! Events as the journal has them, in its order, each at its first place.

use std::sync::Arc;

use bugle_core::{Entry, Event, EventName, EventQuery, RequestId, Sequence};
use rusqlite::Connection;

use super::event_search::sequences_of;
use super::events::{EVENT_COLUMNS, nanoseconds, read_event, read_text};
use super::ids::View;
use super::seal::check_seal;

/// How many events are given at a time, and about how many bytes of payload.
pub(super) const BATCH: usize = 256;
pub(super) const BATCH_BYTES: usize = 4 << 20;

/// The newest event of a request id that is no replay.
pub(super) fn entry(
    conn: &Connection,
    view: &View,
    id: &RequestId,
) -> rusqlite::Result<Option<Entry>> {
    let mut replays = conn.prepare("SELECT origin FROM replays WHERE sequence = ?1")?;
    let found = sequences_of(conn, view, id)?;
    let mut oldest: Option<(Sequence, Arc<Event>)> = None;
    for (sequence, event) in found {
        // Of the newest event there may be several: itself, and its replays.
        if oldest.as_ref().is_some_and(|(_, newest)| newest.emitted_at != event.emitted_at) {
            break;
        }
        let mut rows = replays.query([sequence.0.cast_signed()])?;
        let origin: Option<i64> = rows.next()?.map(|row| row.get(0)).transpose()?;
        let sequence = origin.map_or(sequence, |origin| Sequence(origin.cast_unsigned()));
        oldest = Some((sequence, event));
    }
    Ok(oldest.map(|(sequence, event)| Entry::new(sequence, event)))
}

/// The events behind a place that fit, in order.
pub(super) fn entries_after(
    conn: &Connection,
    view: &View,
    after: Sequence,
    query: &EventQuery,
) -> rusqlite::Result<Vec<Entry>> {
    let mut statement = conn.prepare(&format!(
        "SELECT sequence, name, {EVENT_COLUMNS}, bytes, entry_seal FROM entries JOIN events USING (sequence) \
         WHERE sequence > ?1 AND NOT EXISTS (SELECT 1 FROM replays WHERE replays.sequence = \
         entries.sequence) ORDER BY sequence"
    ))?;
    let mut after = after.0.cast_signed();
    let (mut entries, mut bytes) = (Vec::new(), 0);
    'search: loop {
        let mut rows = statement.query([after])?;
        while let Some(row) = rows.next()? {
            let at: i64 = row.get(0)?;
            let too_early = |run: &super::ids::Run| {
                query.after.is_some_and(|after| run.newest < nanoseconds(after))
            };
            if let Some(run) = view.run_of(at).filter(too_early) {
                after = run.last;
                continue 'search;
            }
            check_seal(row, [0, 1, 9], 10, "an entry")?;
            if let Some(names) = &query.names
                && !names.matches(&read_text(row, 1, EventName::new)?)
            {
                continue;
            }
            let event = read_event(row, 1)?;
            if query.matches(&event) {
                bytes += event.payload.len();
                entries.push(Entry::new(Sequence(at.cast_unsigned()), event));
                if entries.len() == BATCH || bytes >= BATCH_BYTES {
                    return Ok(entries);
                }
            }
        }
        return Ok(entries);
    }
}
