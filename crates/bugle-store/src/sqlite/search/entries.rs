//! Events as the journal has them, in its order, each at its first place.

use std::sync::Arc;

use bugle_core::{Entry, Event, EventName, EventQuery, RequestId, Sequence};
use rusqlite::Connection;

use super::events::sequences_of;
use super::ids::View;
use super::index::{Index, LogView};
use crate::sqlite::tables::replays::Origins;
use crate::sqlite::tables::values::nanoseconds;

/// Says how many events are given at a time, and about how many bytes of payload.
pub(crate) const BATCH: usize = 256;
pub(crate) const BATCH_BYTES: usize = 4 << 20;

/// The newest event of a request id that is no replay.
pub(crate) fn entry(
    conn: &Connection,
    log: &LogView,
    view: &View,
    id: &RequestId,
) -> rusqlite::Result<Option<Entry>> {
    let mut origins = Origins::new(conn, &log.tail)?;
    let found = sequences_of(conn, log, view, id)?;
    let mut oldest: Option<(Sequence, Arc<Event>)> = None;
    for (sequence, event) in found {
        // Of the newest event there may be several: itself, and its replays.
        if oldest.as_ref().is_some_and(|(_, newest)| newest.emitted_at != event.emitted_at) {
            break;
        }
        oldest = Some((origins.of(sequence)?.unwrap_or(sequence), event));
    }
    Ok(oldest.map(|(sequence, event)| Entry::new(sequence, event)))
}

/// The events behind a place that fit, in order.
pub(crate) fn entries_after(
    conn: &Connection,
    log: &LogView,
    after: Sequence,
    query: &EventQuery,
) -> rusqlite::Result<Vec<Entry>> {
    // All that is read is of one moment.
    let _moment = conn.unchecked_transaction()?;
    let mut index = Index::new(conn, log)?;
    let mut origins = Origins::new(conn, &log.tail)?;
    let too_early = query.after.map(nanoseconds);
    let wants = |name: &EventName| query.names.as_ref().is_none_or(|names| names.matches(name));
    let (mut entries, mut bytes) = (Vec::new(), 0);
    let mut after = after;
    loop {
        let stretch = index.behind(after)?;
        let end = stretch.as_ref().map_or(Sequence(u64::MAX), |it| it.first);
        let mut here = index.stragglers(after, end)?;
        if let Some(stretch) = &stretch
            && too_early.is_none_or(|wanted| stretch.newest >= wanted)
        {
            let gone = index.gone(stretch.first, stretch.last)?;
            let events = stretch.events().filter(|(at, name, _)| *at > after && wants(name));
            here.extend(events.map(|(at, ..)| at).filter(|at| !gone.has(*at)));
        }
        for at in here {
            if origins.of(at)?.is_some() {
                continue;
            }
            let Some(event) = index.read(at)?.whole()? else { continue };
            if query.matches(&event) {
                bytes += event.payload.len();
                entries.push(Entry::new(at, event));
                if entries.len() == BATCH || bytes >= BATCH_BYTES {
                    return Ok(entries);
                }
            }
        }
        match stretch {
            Some(stretch) => after = stretch.last,
            None => return Ok(entries),
        }
    }
}
