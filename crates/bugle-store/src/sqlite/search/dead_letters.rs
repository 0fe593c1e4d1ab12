//! Finding dead letters: by emitter, by event, or all; newest first, or in the order of the
//! journal.

use std::collections::BinaryHeap;

use bugle_core::{
    DeadLetter, DeadLetterId, DeadLetterQuery, EmitterId, EventName, Page, PageCursor, Sequence,
};
use rusqlite::{Connection, Row, Statement};

use crate::sqlite::search::entries::{BATCH, BATCH_BYTES};
use crate::sqlite::tables::dead_letters::{LETTER_COLUMNS, read_code, read_letter};
use crate::sqlite::tables::values::{read_text, timestamp};

/// One by its id.
pub(crate) fn get(conn: &Connection, id: DeadLetterId) -> rusqlite::Result<Option<DeadLetter>> {
    let below = id.number().saturating_add(1).min(i64::MAX.cast_unsigned()).cast_signed();
    let page = page(conn, &DeadLetterQuery::new(), 1, below)?;
    Ok(page.items.into_iter().find(|letter| letter.id == id))
}

/// One page, newest first.
pub(crate) fn page(
    conn: &Connection,
    query: &DeadLetterQuery,
    limit: usize,
    below: i64,
) -> rusqlite::Result<Page<DeadLetter>> {
    let mut items = Vec::new();
    each(conn, query, below, |row| {
        items.push(read_letter(row)?);
        Ok(items.len() > limit)
    })?;
    if items.len() <= limit {
        return Ok(Page::new(items, None));
    }
    // There is one more, so there is a next page.
    items.truncate(limit);
    let cursor = items.last().map(|last| PageCursor::before(last.id.number()));
    Ok(Page::new(items, cursor))
}

/// How many fit.
pub(crate) fn count(conn: &Connection, query: &DeadLetterQuery) -> rusqlite::Result<u64> {
    let mut count = 0;
    each(conn, query, i64::MAX, |_| {
        count += 1;
        Ok(false)
    })?;
    Ok(count)
}

/// Those of an emitter that fit, from behind a place on, in the order of the journal.
pub(crate) fn after(
    conn: &Connection,
    emitter: &EmitterId,
    origin: Sequence,
    query: &DeadLetterQuery,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let mut statement = conn.prepare(&format!(
        "SELECT {LETTER_COLUMNS} FROM dead_letters INDEXED BY dead_letters_by_origin \
         WHERE emitter = (SELECT key FROM emitters WHERE emitters.id = ?1) AND origin > ?2 \
         ORDER BY origin"
    ))?;
    let mut rows = statement.query((emitter.as_str(), origin.0.cast_signed()))?;
    let (limit, mut items) = (query.limit.unwrap_or(BATCH), Vec::new());
    let mut bytes = 0;
    while items.len() < limit
        && bytes < BATCH_BYTES
        && let Some(row) = rows.next()?
    {
        if fits(query, row)? && has_event(query, row)? {
            let letter = read_letter(row)?;
            bytes += letter.event.payload.len();
            items.push(letter);
        }
    }
    Ok(items)
}

/// Gives the rows that fit, newest first, until one is enough.
fn each(
    conn: &Connection,
    query: &DeadLetterQuery,
    below: i64,
    mut give: impl FnMut(&Row<'_>) -> rusqlite::Result<bool>,
) -> rusqlite::Result<()> {
    // All that is read is of one moment.
    let transaction = conn.unchecked_transaction()?;
    let mut by_id =
        conn.prepare(&format!("SELECT {LETTER_COLUMNS} FROM dead_letters WHERE id = ?1"))?;
    let mut offer = |id: i64| -> rusqlite::Result<bool> {
        let mut rows = by_id.query([id])?;
        let Some(row) = rows.next()? else { return Ok(false) };
        Ok(fits(query, row)? && is_of(query, row)? && give(row)?)
    };
    let [by_event, by_emitter] =
        [query.event_ids.is_empty(), query.emitter_ids.is_empty()].map(|is_empty| !is_empty);
    if by_event || by_emitter {
        let mut ids = match by_event {
            true => Newest::of_events(conn, query, below)?,
            false => Newest::of_emitters(conn, query, below)?,
        };
        while let Some(id) = ids.next()? {
            if offer(id)? {
                break;
            }
        }
    } else {
        let mut all = conn.prepare(&format!(
            "SELECT {LETTER_COLUMNS} FROM dead_letters WHERE id < ?1 ORDER BY id DESC"
        ))?;
        let mut rows = all.query([below])?;
        while let Some(row) = rows.next()? {
            if fits(query, row)? && give(row)? {
                break;
            }
        }
    }
    transaction.commit()
}

/// Ids from several chains, each id once, newest first.
struct Newest<'c> {
    below: Statement<'c>,
    chains: Vec<rusqlite::types::Value>,
    next: BinaryHeap<(i64, usize)>,
    last: i64,
}

impl<'c> Newest<'c> {
    fn of_events(
        conn: &'c Connection,
        query: &DeadLetterQuery,
        below: i64,
    ) -> rusqlite::Result<Self> {
        let statement = conn.prepare(
            "SELECT id FROM dead_letters INDEXED BY dead_letters_by_event \
             WHERE request_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT 1",
        )?;
        let events = query.event_ids.iter().map(|id| id.to_string().into());
        Self::new(statement, events.collect(), below)
    }

    fn of_emitters(
        conn: &'c Connection,
        query: &DeadLetterQuery,
        below: i64,
    ) -> rusqlite::Result<Self> {
        let mut key = conn.prepare("SELECT key FROM emitters WHERE id = ?1")?;
        let mut keys = Vec::new();
        for emitter in &query.emitter_ids {
            let mut rows = key.query([emitter.as_str()])?;
            if let Some(row) = rows.next()? {
                keys.push(row.get::<_, i64>(0)?.into());
            }
        }
        let statement = conn.prepare(
            "SELECT id FROM dead_letters INDEXED BY dead_letters_by_emitter \
             WHERE emitter = ?1 AND id < ?2 ORDER BY id DESC LIMIT 1",
        )?;
        Self::new(statement, keys, below)
    }

    fn new(
        statement: Statement<'c>,
        chains: Vec<rusqlite::types::Value>,
        below: i64,
    ) -> rusqlite::Result<Self> {
        let count = chains.len();
        let mut newest = Self { below: statement, chains, next: BinaryHeap::new(), last: i64::MAX };
        for chain in 0..count {
            newest.step(chain, below)?;
        }
        Ok(newest)
    }

    fn step(&mut self, chain: usize, below: i64) -> rusqlite::Result<()> {
        let mut rows = self.below.query((&self.chains[chain], below))?;
        if let Some(row) = rows.next()? {
            self.next.push((row.get(0)?, chain));
        }
        Ok(())
    }

    fn next(&mut self) -> rusqlite::Result<Option<i64>> {
        while let Some((id, chain)) = self.next.pop() {
            self.step(chain, id)?;
            // The same chain may have been named twice.
            if id < self.last {
                self.last = id;
                return Ok(Some(id));
            }
        }
        Ok(None)
    }
}

/// Whether a row fits, as far as can be said without its event's id and emitter.
fn fits(query: &DeadLetterQuery, row: &Row<'_>) -> rusqlite::Result<bool> {
    let code = read_text(row, 4, read_code)?;
    if !query.fits(timestamp(row.get(7)?), code) {
        return Ok(false);
    }
    match &query.names {
        Some(names) => Ok(names.matches(&read_text(row, 8, EventName::new)?)),
        None => Ok(true),
    }
}

fn has_event(query: &DeadLetterQuery, row: &Row<'_>) -> rusqlite::Result<bool> {
    let id = row.get_ref(9)?.as_str()?;
    Ok(query.event_ids.is_empty() || query.event_ids.iter().any(|it| it.as_str() == id))
}

/// Whether a row is of an event and an emitter that are asked for.
fn is_of(query: &DeadLetterQuery, row: &Row<'_>) -> rusqlite::Result<bool> {
    let emitter = row.get_ref(1)?.as_str()?;
    let has_emitter =
        query.emitter_ids.is_empty() || query.emitter_ids.iter().any(|it| it.as_str() == emitter);
    Ok(has_emitter && has_event(query, row)?)
}
