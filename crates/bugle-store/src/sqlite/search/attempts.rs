//! Pages of attempts: by event, by emitter, or all; newest first.

use std::collections::BinaryHeap;

use bugle_core::{Attempt, AttemptQuery, Page, PageCursor};
use rusqlite::{Connection, OptionalExtension, Params, Row, Statement};

use crate::sqlite::search::ids::{Run, View};
use crate::sqlite::tables::attempts::{ATTEMPT_COLUMNS, check_attempt, read_attempt};
use crate::sqlite::tables::values::nanoseconds;

/// How many rows a walk through all of them reads at a time.
const SCANNED: i64 = 128;

/// One attempt.
pub(crate) fn get(conn: &Connection, id: i64) -> rusqlite::Result<Option<Attempt>> {
    let mut statement = by_id(conn)?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(|row| check_attempt(row).and_then(|()| read_attempt(row))).transpose()
}

fn by_id(conn: &Connection) -> rusqlite::Result<Statement<'_>> {
    conn.prepare(&format!("SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE attempts.id = ?1"))
}

/// What is searched for, and where.
pub(crate) struct Search {
    pub(crate) query: AttemptQuery,
    /// How many rows a page has.
    pub(crate) limit: usize,
    /// Only ids below this.
    pub(crate) below: i64,
    /// Where attempts are by event and by time.
    pub(crate) view: View,
}

impl Search {
    /// The page.
    pub(crate) fn run(self, conn: &Connection) -> rusqlite::Result<Page<Attempt>> {
        // All that is read is of one moment.
        let transaction = conn.unchecked_transaction()?;
        let mut found = Found { search: &self, items: Vec::new() };
        if !self.query.event_ids.is_empty() {
            self.by_event(conn, &mut found)?;
        } else if !self.query.webhook_ids.is_empty() {
            self.by_emitter(conn, &mut found)?;
        } else {
            self.all(conn, &mut found)?;
        }
        let mut items = found.items;
        transaction.commit()?;
        if items.len() <= self.limit {
            return Ok(Page::new(items, None));
        }
        // There is one more, so there is a next page.
        items.truncate(self.limit);
        let cursor = items.last().map(|last| PageCursor::before(last.id.number()));
        Ok(Page::new(items, cursor))
    }

    fn by_event(&self, conn: &Connection, found: &mut Found<'_>) -> rusqlite::Result<()> {
        let mut by_id = by_id(conn)?;
        for id in self.view.recent.iter().rev() {
            if found.offer_id(&mut by_id, *id)? {
                return Ok(());
            }
        }
        let mut buckets = self.view.buckets(conn)?;
        for block in self.view.blocks.iter().rev().filter(|block| block.first < self.below) {
            for id in self.view.in_block(&mut buckets, block, &self.query.event_ids)? {
                if found.offer_id(&mut by_id, id)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Walks the chains of the wanted emitters, the newest of all first.
    fn by_emitter(&self, conn: &Connection, found: &mut Found<'_>) -> rusqlite::Result<()> {
        let mut chains = Chains::new(conn)?;
        let mut next = BinaryHeap::new();
        for emitter in &self.query.webhook_ids {
            let key = chains.key(emitter.as_str())?;
            let Some(key) = key else { continue };
            if let Some(id) = self.step(&mut chains, key, self.below, None)? {
                next.push((id, key));
            }
        }
        let mut by_id = by_id(conn)?;
        let mut last = i64::MAX;
        while let Some((id, emitter)) = next.pop() {
            if id == last {
                // The same emitter was named twice.
                continue;
            }
            last = id;
            let mut rows = by_id.query([id])?;
            let Some(row) = rows.next()? else { continue };
            let previous: i64 = row.get(1)?;
            if found.offer(row)? {
                return Ok(());
            }
            drop(rows);
            if let Some(id) = self.step(&mut chains, emitter, id, Some(previous))? {
                next.push((id, emitter));
            }
        }
        Ok(())
    }

    /// The next of a chain below an id, past the runs that hold nothing of the wanted time.
    fn step(
        &self,
        chains: &mut Chains<'_>,
        emitter: i64,
        below: i64,
        previous: Option<i64>,
    ) -> rusqlite::Result<Option<i64>> {
        let mut next = match previous {
            Some(previous) => Some(previous).filter(|id| *id > 0),
            None => chains.below(emitter, below)?,
        };
        while let Some(id) = next {
            match self.skip(id) {
                None => return Ok(Some(id)),
                Some(first) => next = chains.below(emitter, first)?,
            }
        }
        Ok(None)
    }

    fn all(&self, conn: &Connection, found: &mut Found<'_>) -> rusqlite::Result<()> {
        let mut scan = conn.prepare(&format!(
            "SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE attempts.id < ?1 \
             ORDER BY attempts.id DESC LIMIT ?2"
        ))?;
        let mut below = self.below;
        loop {
            let mut rows = scan.query([below, SCANNED])?;
            let before = below;
            while let Some(row) = rows.next()? {
                below = row.get(0)?;
                if let Some(first) = self.skip(below) {
                    below = first;
                    break;
                }
                if found.offer(row)? {
                    return Ok(());
                }
            }
            if below == before {
                return Ok(());
            }
        }
    }

    /// The first id of the run that an id is in, if the run holds nothing of the wanted time.
    fn skip(&self, id: i64) -> Option<i64> {
        if self.query.after.is_none() && self.query.before.is_none() {
            return None;
        }
        let run = self.view.run_of(id)?;
        (!self.may_hold(&run)).then_some(run.first)
    }

    fn may_hold(&self, run: &Run) -> bool {
        self.query.after.is_none_or(|after| run.newest >= nanoseconds(after))
            && self.query.before.is_none_or(|before| run.oldest < nanoseconds(before))
    }
}

/// The rows that were found, one more than a page has at the most.
struct Found<'s> {
    search: &'s Search,
    items: Vec<Attempt>,
}

impl Found<'_> {
    /// Takes an attempt if it is wanted. Whether that is enough.
    fn offer(&mut self, row: &Row<'_>) -> rusqlite::Result<bool> {
        check_attempt(row)?;
        let query = &self.search.query;
        let created: i64 = row.get(2)?;
        let in_time = query.after.is_none_or(|after| created >= nanoseconds(after))
            && query.before.is_none_or(|before| created < nanoseconds(before));
        if in_time {
            let attempt = read_attempt(row)?;
            if query.matches(&attempt) {
                self.items.push(attempt);
            }
        }
        Ok(self.items.len() > self.search.limit)
    }

    fn offer_id(&mut self, by_id: &mut Statement<'_>, id: i64) -> rusqlite::Result<bool> {
        if id >= self.search.below {
            return Ok(false);
        }
        let mut rows = by_id.query([id])?;
        match rows.next()? {
            Some(row) => self.offer(row),
            None => Ok(false),
        }
    }
}

/// Finds places in the chains of emitters.
struct Chains<'c> {
    key: Statement<'c>,
    newest: Statement<'c>,
    mark: Statement<'c>,
    previous: Statement<'c>,
}

impl<'c> Chains<'c> {
    fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            key: conn.prepare("SELECT key FROM emitters WHERE id = ?1")?,
            newest: conn.prepare("SELECT newest FROM attempt_chains WHERE emitter = ?1")?,
            mark: conn.prepare(
                "SELECT id FROM attempt_marks WHERE emitter = ?1 AND id >= ?2 ORDER BY id LIMIT 1",
            )?,
            previous: conn
                .prepare("SELECT previous FROM attempts WHERE id = ?1 AND emitter = ?2")?,
        })
    }

    fn key(&mut self, emitter: &str) -> rusqlite::Result<Option<i64>> {
        first(&mut self.key, [emitter])
    }

    /// The newest attempt of an emitter below an id.
    fn below(&mut self, emitter: i64, id: i64) -> rusqlite::Result<Option<i64>> {
        // What a page ended with is nearly always this emitter's own.
        let mut next = first(&mut self.previous, [id, emitter])?;
        if next.is_none() {
            next = first(&mut self.mark, [emitter, id])?;
        }
        if next.is_none() {
            next = first(&mut self.newest, [emitter])?;
        }
        while let Some(at) = next.filter(|at| *at >= id) {
            next = first(&mut self.previous, [at, emitter])?;
        }
        Ok(next.filter(|id| *id > 0))
    }
}

/// The one number that a statement asks for, if it is there.
fn first(statement: &mut Statement<'_>, of: impl Params) -> rusqlite::Result<Option<i64>> {
    statement.query_row(of, |row| row.get(0)).optional()
}
