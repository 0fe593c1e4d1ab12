//! Which emitters' numbers are deleted: of those that are forgotten, and of which nothing is left.
//! With them, or before, go the marks in their chains of attempts.

use std::time::{Duration, Instant};

use bugle_core::EmitterId;
use rusqlite::{Connection, Statement};

use crate::sqlite::tables::values::read_text;
use crate::sqlite::write::commit::Tables;

/// How many emitters are looked at in one transaction.
const AT_ONCE: usize = 16;

/// After how long all of them are looked at again.
const WALK_EVERY: Duration = Duration::from_secs(15 * 60);

/// After how many deleted attempts all of them are looked at again: 2,048 marks.
const WALK_AFTER: i64 = 131_072;

pub(crate) struct EmitterRetention<'c> {
    conn: &'c Connection,
    /// The emitters behind one, and whether anything refers to each.
    behind: Statement<'c>,
    delete_marks: Statement<'c>,
    delete_chain: Statement<'c>,
    delete: Statement<'c>,
    /// Up to which number they were looked at; `None` when all were.
    walked: Option<i64>,
    /// When that last began, and which attempts were deleted then.
    began: Option<(Instant, i64)>,
}

impl<'c> EmitterRetention<'c> {
    pub(crate) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            conn,
            behind: conn.prepare(
                "SELECT key, id, EXISTS (SELECT 1 FROM places WHERE emitter = key) \
                 OR EXISTS (SELECT 1 FROM specs WHERE emitter = key) \
                 OR EXISTS (SELECT 1 FROM dead_letters WHERE emitter = key) \
                 OR EXISTS (SELECT 1 FROM replays WHERE emitter = key) \
                 OR EXISTS (SELECT 1 FROM attempt_chains WHERE emitter = key AND newest >= ?2) \
                 FROM emitters WHERE key > ?1 ORDER BY key LIMIT ?3",
            )?,
            delete_marks: conn
                .prepare("DELETE FROM attempt_marks WHERE emitter = ?1 AND id < ?2")?,
            delete_chain: conn.prepare("DELETE FROM attempt_chains WHERE emitter = ?1")?,
            delete: conn.prepare("DELETE FROM emitters WHERE key = ?1")?,
            walked: None,
            began: None,
        })
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.walked.is_some()
    }

    /// Begins to look at all of them, if it is time. The attempts from `kept` on are there.
    pub(crate) fn look(&mut self, kept: i64) {
        let is_time = self
            .began
            .is_none_or(|(began, then)| began.elapsed() >= WALK_EVERY || kept - then >= WALK_AFTER);
        if is_time && self.walked.is_none() {
            self.walked = Some(0);
            self.began = Some((Instant::now(), kept));
        }
    }

    /// Looks at some of them. Answers how many rows were deleted.
    pub(crate) fn delete(&mut self, tables: &mut Tables<'_>, kept: i64) -> rusqlite::Result<u64> {
        let Some(walked) = self.walked else { return Ok(0) };
        let transaction = self.conn.unchecked_transaction()?;
        let found = self.behind.query_map((walked, kept, AT_ONCE as i64), |row| {
            Ok((row.get(0)?, read_text(row, 1, EmitterId::new)?, row.get(2)?))
        })?;
        let found: Vec<(i64, EmitterId, bool)> = found.collect::<rusqlite::Result<_>>()?;
        let mut deleted = 0;
        for (key, _, is_referred_to) in &found {
            deleted += self.delete_marks.execute((key, kept))?;
            if !is_referred_to {
                deleted += self.delete_chain.execute([key])? + self.delete.execute([key])?;
            }
        }
        transaction.commit()?;
        for (key, id, _) in found.iter().filter(|(_, _, is_referred_to)| !is_referred_to) {
            tables.left(id, *key);
        }
        let is_last = found.len() < AT_ONCE;
        self.walked = found.last().map(|(key, ..)| *key).filter(|_| !is_last);
        Ok(deleted as u64)
    }
}
