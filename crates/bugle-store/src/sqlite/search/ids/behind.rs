//! The rows that are in no run yet, as they are read when a store is opened.

use bugle_core::Sequence;
use rusqlite::Connection;

use super::{RUN, Recent, hash};
use crate::log::LogReader;
use crate::sqlite::search::index::{Index, LogView};
use crate::sqlite::search::read_back::ReadBack;
use crate::sqlite::tables::values::nanoseconds;

/// The attempts behind one. A damaged row is found by its place only, and said to be damaged where
/// it is read.
pub(super) fn attempts_behind(conn: &Connection, behind: i64) -> rusqlite::Result<Vec<Recent>> {
    let sql = "SELECT event_id, id, created FROM attempts WHERE id > ?1 ORDER BY id";
    let mut rows = conn.prepare(sql)?;
    let rows = rows.query_map([behind], |row| {
        let event = row.get_ref(0)?.as_bytes().unwrap_or_default();
        let created = row.get(2).unwrap_or_default();
        Ok(Recent { hash: crc32fast::hash(event), id: row.get(1)?, created })
    })?;
    rows.collect()
}

/// The same of events.
pub(super) fn events_behind(
    conn: &Connection,
    behind: i64,
    log: &LogReader,
) -> rusqlite::Result<Vec<Recent>> {
    let view = LogView { log: log.clone(), tail: Vec::new() };
    let mut index = Index::new(conn, &view)?;
    let (mut found, mut behind) = (Vec::new(), Sequence(behind.cast_unsigned()));
    while let Some(stretch) = index.behind(behind)? {
        let mut numbers = stretch.events().map(|(at, ..)| at).filter(|at| *at > behind).peekable();
        while let Some(at) = numbers.peek().copied() {
            for (event, at) in index.read_run(at, RUN)?.into_iter().zip(at.0..) {
                numbers.next_if(|next| next.0 == at);
                if let ReadBack::Whole(event) | ReadBack::Damaged(event, _) = event {
                    let created = nanoseconds(event.emitted_at);
                    let hash = hash(&event.request_id);
                    found.push(Recent { hash, id: at.cast_signed(), created });
                }
            }
        }
        behind = stretch.last;
    }
    Ok(found)
}
