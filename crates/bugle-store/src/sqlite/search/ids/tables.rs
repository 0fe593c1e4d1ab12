//! Writing runs and blocks down, and deleting them.

use std::sync::Arc;

use rusqlite::{Connection, Statement, params};

use super::{BLOCK, BUCKETS, Block, Ids, RUN, Run, bucket_key};
use crate::sqlite::search::ids::sealed::sealed_ids;
use crate::sqlite::tables::seal::seal;

/// How many buckets are written at a time.
const BUCKETS_AT_ONCE: usize = 16;

/// A step for each so many rows keeps pace: a block takes 64 for its runs, and 16 for its buckets.
const ROWS_A_STEP: usize = BLOCK / (BLOCK / RUN + BUCKETS / BUCKETS_AT_ONCE);

/// More steps are not taken at once, however many rows have come.
const MAX_STEPS: usize = 64;

/// What is done with the tables.
pub(crate) struct IdTables<'c> {
    conn: &'c Connection,
    ids: Arc<Ids>,
    run: Statement<'c>,
    bucket: Statement<'c>,
    block: Statement<'c>,
    clear_runs: Statement<'c>,
    delete_run: Statement<'c>,
    delete_block: Statement<'c>,
    delete_buckets: Statement<'c>,
    /// The block that is being written, and which of its buckets is next.
    writing: Option<(Block, Vec<Vec<u8>>, usize)>,
}

impl<'c> IdTables<'c> {
    pub(crate) fn new(conn: &'c Connection, ids: Arc<Ids>) -> rusqlite::Result<Self> {
        let tables = ids.indexed.tables();
        let prepare = |sql: &str| conn.prepare(&sql.replace('#', tables));
        Ok(Self {
            run: prepare(
                "INSERT INTO #_runs (first, last, oldest, newest, ids, seal) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            // A process that ended on the way has left some of them.
            bucket: prepare("INSERT OR REPLACE INTO #_ids (place, ids) VALUES (?1, ?2)")?,
            block: prepare("INSERT INTO #_blocks (first, last, seal) VALUES (?1, ?2, ?3)")?,
            clear_runs: prepare("UPDATE #_runs SET ids = NULL WHERE last >= ?1 AND last <= ?2")?,
            delete_run: prepare("DELETE FROM #_runs WHERE last = ?1")?,
            delete_block: prepare("DELETE FROM #_blocks WHERE last = ?1")?,
            delete_buckets: prepare("DELETE FROM #_ids WHERE place >= ?1 AND place <= ?2")?,
            conn,
            ids,
            writing: None,
        })
    }

    /// Whether there is more to write.
    pub(crate) fn is_busy(&self) -> bool {
        self.writing.is_some() || self.ids.has_next()
    }

    /// Writes some of the next runs and blocks: a little after a small transaction, more after a
    /// large one, so that what is in no block stays little. Answers how many pages that are, about.
    pub(crate) fn write(&mut self) -> rusqlite::Result<usize> {
        let mut pages = 0;
        for _ in 0..self.ids.in_no_run().div_ceil(ROWS_A_STEP).clamp(1, MAX_STEPS) {
            match self.write_next()? {
                0 => break,
                written => pages += written,
            }
        }
        Ok(pages)
    }

    /// Writes the next run if there is enough for one, or a part of the next block. Answers how
    /// many pages that are, about.
    fn write_next(&mut self) -> rusqlite::Result<usize> {
        if let Some((run, ids)) = self.ids.next_run() {
            let Run { first, last, oldest, newest } = run;
            let seal = seal(&[first.into(), last.into(), oldest.into(), newest.into()]);
            let ids = sealed_ids(&ids, last);
            self.run.execute(params![first, last, oldest, newest, ids, seal])?;
            self.ids.run_written(run);
            return Ok(2);
        }
        if self.writing.is_none() {
            self.writing = self.ids.next_block().map(|(block, buckets)| (block, buckets, 0));
        }
        let Some((block, buckets, next)) = &mut self.writing else { return Ok(0) };
        let (block, from) = (*block, *next);
        let to = BUCKETS.min(from + BUCKETS_AT_ONCE);
        let transaction = self.conn.unchecked_transaction()?;
        for (place, bucket) in buckets.iter().enumerate().take(to).skip(from) {
            let key = bucket_key(&block, place);
            self.bucket.execute(params![key, sealed_ids(bucket, key)])?;
        }
        if to == BUCKETS {
            let seal = seal(&[block.first.into(), block.last.into()]);
            self.block.execute(params![block.first, block.last, seal])?;
            self.clear_runs.execute([block.first, block.last])?;
        }
        transaction.commit()?;
        *next = to;
        if to == BUCKETS {
            self.writing = None;
            self.ids.block_written(block);
        }
        Ok(BUCKETS_AT_ONCE / 3)
    }

    /// Deletes runs and blocks of which no row is left, a few at a time. What is in no block stays,
    /// for it makes the next.
    pub(crate) fn delete_gone(
        &mut self,
        is_gone: impl Fn(i64, i64) -> bool,
    ) -> rusqlite::Result<()> {
        let (runs, blocks) = self.ids.find_gone(&is_gone);
        if runs.is_empty() && blocks.is_empty() {
            return Ok(());
        }
        let transaction = self.conn.unchecked_transaction()?;
        for run in &runs {
            self.delete_run.execute([run.last])?;
        }
        for block in &blocks {
            self.delete_buckets.execute([bucket_key(block, 0), bucket_key(block, BUCKETS - 1)])?;
            self.delete_block.execute([block.last])?;
        }
        transaction.commit()?;
        self.ids.removed(|_, last| {
            runs.iter().any(|run| run.last == last) || blocks.iter().any(|it| it.last == last)
        });
        Ok(())
    }
}
