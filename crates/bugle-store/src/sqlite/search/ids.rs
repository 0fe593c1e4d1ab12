//! Finding rows by an event's request id, and passing over those of another time.
//!
//! A random id in an index costs more than the row itself: each one touches a page of its own. So
//! ids are indexed behind the way of an event, in two steps, the same for events and for attempts.
//! Each 1,024 rows are a *run*: one small row that says from when to when they are, with a number
//! of 32 bits for each id. Each 64 runs become a *block*: its numbers lie in 256 buckets, so that a
//! search reads one bucket of a block, which is about 2 KiB. What is in no block is in memory, and
//! is read from the runs when the store is opened.
//!
//! Ten million rows are 153 blocks, and so 153 steps; each row costs 8 bytes. Runs and buckets are
//! written between two transactions, as many as keep pace with the rows.

mod behind;
mod sealed;
mod tables;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bugle_core::RequestId;
use parking_lot::Mutex;
use rusqlite::{Connection, Statement};

use crate::log::LogReader;
use crate::sqlite::error::bad_value;
use crate::sqlite::tables::seal::check_seal;
use behind::{attempts_behind, events_behind};
pub(crate) use sealed::check_buckets;
use sealed::unsealed_ids;
pub(crate) use tables::IdTables;

/// How many rows are in a run.
pub(crate) const RUN: usize = 1_024;

/// How many rows are in a block.
const BLOCK: usize = 64 * RUN;

/// How many buckets a block has.
const BUCKETS: usize = 256;

/// The number that an event's rows are found by. It is on disk, so it never changes.
pub(crate) fn hash(event: &RequestId) -> u32 {
    crc32fast::hash(event.as_str().as_bytes())
}

/// A row that is in no run yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recent {
    pub(crate) hash: u32,
    pub(crate) id: i64,
    pub(crate) created: i64,
}

/// Rows that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// The earliest instant in it.
    pub(crate) oldest: i64,
    pub(crate) newest: i64,
}

/// Runs that are indexed together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexed {
    Attempts,
    Events,
}

impl Indexed {
    /// What the names of its tables begin with.
    fn tables(self) -> &'static str {
        match self {
            Self::Attempts => "attempt",
            Self::Events => "event",
        }
    }
}

/// The runs and blocks, and what is in no block; the same for those who write and those who read.
#[derive(Debug)]
pub(crate) struct Ids {
    indexed: Indexed,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    runs: Arc<Vec<Run>>,
    blocks: Arc<Vec<Block>>,
    /// The rows behind the last block: their ids' numbers, and their own.
    hashes: Vec<u32>,
    ids: Vec<i64>,
    /// How many of these are in runs, and when the others were made.
    in_runs: usize,
    created: Vec<i64>,
}

/// What a search has to know.
#[derive(Debug, Clone)]
pub(crate) struct View {
    indexed: Indexed,
    pub(crate) runs: Arc<Vec<Run>>,
    /// In order.
    pub(crate) blocks: Arc<Vec<Block>>,
    /// The rows with the wanted ids that are in no block, in order.
    pub(crate) recent: Vec<i64>,
}

impl Ids {
    /// Reads the runs and blocks, and what is in none.
    pub(crate) fn load(
        conn: &Connection,
        indexed: Indexed,
        log: &LogReader,
    ) -> rusqlite::Result<Self> {
        let mut inner = Inner::default();
        let tables = indexed.tables();
        let mut blocks =
            conn.prepare(&format!("SELECT first, last, seal FROM {tables}_blocks ORDER BY last"))?;
        let blocks = blocks.query_map([], |row| {
            check_seal(row, 0..2, 2, "an index of ids")?;
            Ok(Block { first: row.get(0)?, last: row.get(1)? })
        })?;
        inner.blocks = Arc::new(blocks.collect::<rusqlite::Result<_>>()?);
        let mut runs = Vec::new();
        let mut rows = conn.prepare(&format!(
            "SELECT first, last, oldest, newest, ids, seal FROM {tables}_runs ORDER BY last"
        ))?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            check_seal(row, 0..4, 5, "an index of times")?;
            let run = Run {
                first: row.get(0)?,
                last: row.get(1)?,
                oldest: row.get(2)?,
                newest: row.get(3)?,
            };
            runs.push(run);
            if let Some(ids) = row.get_ref(4)?.as_blob_or_null().map_err(|_| no_ids(4))? {
                for (hash, id) in read_ids(unsealed_ids(ids, run.last)?, run.first) {
                    inner.hashes.push(hash);
                    inner.ids.push(id);
                }
            }
        }
        inner.in_runs = inner.hashes.len();
        let behind = runs.last().map_or(0, |run| run.last);
        inner.runs = Arc::new(runs);
        let rows = match indexed {
            Indexed::Attempts => attempts_behind(conn, behind)?,
            Indexed::Events => events_behind(conn, behind, log)?,
        };
        for Recent { hash, id, created } in rows {
            inner.hashes.push(hash);
            inner.ids.push(id);
            inner.created.push(created);
        }
        Ok(Self { indexed, inner: Mutex::new(inner) })
    }

    /// Rows are about to be committed.
    pub(crate) fn add(&self, rows: &[Recent]) {
        if rows.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        for row in rows {
            inner.hashes.push(row.hash);
            inner.ids.push(row.id);
            inner.created.push(row.created);
        }
    }

    /// Rows were not committed: what was added of them last goes again.
    pub(crate) fn take_back(&self, rows: &[Recent]) {
        let Some(first) = rows.first() else { return };
        let mut inner = self.inner.lock();
        while inner.ids.last().is_some_and(|last| *last >= first.id) {
            inner.ids.pop();
            inner.hashes.pop();
            inner.created.pop();
        }
    }

    /// What a search for some ids, or for none, has to know.
    pub(crate) fn view(&self, wanted: &[RequestId]) -> View {
        let mut wanted: Vec<u32> = wanted.iter().map(hash).collect();
        wanted.sort_unstable();
        let inner = self.inner.lock();
        let numbered = inner.hashes.iter().zip(&inner.ids);
        let recent = match wanted.as_slice() {
            [] => Vec::new(),
            [one] => numbered.filter(|(hash, _)| *hash == one).map(|(_, id)| *id).collect(),
            many => numbered
                .filter(|(hash, _)| many.binary_search(hash).is_ok())
                .map(|(_, id)| *id)
                .collect(),
        };
        View {
            indexed: self.indexed,
            runs: Arc::clone(&inner.runs),
            blocks: Arc::clone(&inner.blocks),
            recent,
        }
    }

    /// How many rows are in no run yet.
    fn in_no_run(&self) -> usize {
        self.inner.lock().created.len()
    }

    /// Whether there is enough for a run, or for a block.
    fn has_next(&self) -> bool {
        let inner = self.inner.lock();
        inner.created.len() >= RUN || inner.in_runs >= BLOCK
    }

    /// The next run, if there is enough for one, and the numbers in it.
    fn next_run(&self) -> Option<(Run, Vec<u8>)> {
        let inner = self.inner.lock();
        let range = inner.in_runs..inner.in_runs + RUN;
        let (hashes, ids) = (inner.hashes.get(range.clone())?, inner.ids.get(range)?);
        let created = inner.created.get(..RUN)?;
        let run = Run {
            first: *ids.first()?,
            last: *ids.last()?,
            oldest: created.iter().copied().min()?,
            newest: created.iter().copied().max()?,
        };
        let mut text = Vec::with_capacity(8 * RUN);
        for (hash, id) in hashes.iter().zip(ids) {
            write_id(&mut text, *hash, *id, run.first);
        }
        Some((run, text))
    }

    fn run_written(&self, run: Run) {
        let mut inner = self.inner.lock();
        inner.in_runs += RUN;
        inner.created.drain(..RUN);
        Arc::make_mut(&mut inner.runs).push(run);
    }

    /// The next block, if there is enough for one, and its buckets.
    fn next_block(&self) -> Option<(Block, Vec<Vec<u8>>)> {
        let inner = self.inner.lock();
        if inner.in_runs < BLOCK {
            return None;
        }
        let (hashes, ids) = (inner.hashes.get(..BLOCK)?, inner.ids.get(..BLOCK)?);
        let block = Block { first: *ids.first()?, last: *ids.last()? };
        let mut buckets = vec![Vec::new(); BUCKETS];
        for (hash, id) in hashes.iter().zip(ids) {
            if let Some(bucket) = buckets.get_mut(bucket_of(*hash)) {
                write_id(bucket, *hash, *id, block.first);
            }
        }
        Some((block, buckets))
    }

    fn block_written(&self, block: Block) {
        let mut inner = self.inner.lock();
        inner.hashes.drain(..BLOCK);
        inner.ids.drain(..BLOCK);
        inner.in_runs -= BLOCK;
        Arc::make_mut(&mut inner.blocks).push(block);
    }

    /// Runs and blocks are deleted.
    fn removed(&self, is_gone: impl Fn(i64, i64) -> bool) {
        let mut inner = self.inner.lock();
        Arc::make_mut(&mut inner.runs).retain(|run| !is_gone(run.first, run.last));
        Arc::make_mut(&mut inner.blocks).retain(|block| !is_gone(block.first, block.last));
    }

    /// Some blocks, and some runs that are in one, of which this is so.
    fn find_gone(&self, is_gone: impl Fn(i64, i64) -> bool) -> (Vec<Run>, Vec<Block>) {
        let inner = self.inner.lock();
        let indexed = inner.blocks.last().map_or(0, |block| block.last);
        let runs = inner.runs.iter().filter(|run| run.last <= indexed);
        let runs = runs.filter(|run| is_gone(run.first, run.last)).take(64).copied().collect();
        let blocks = inner.blocks.iter().filter(|block| is_gone(block.first, block.last)).take(1);
        (runs, blocks.copied().collect())
    }
}

impl View {
    /// The rows of a block that may have one of these ids, the newest first.
    pub(crate) fn in_block(
        &self,
        statement: &mut Statement<'_>,
        block: &Block,
        wanted: &[RequestId],
    ) -> rusqlite::Result<Vec<i64>> {
        let mut found = Vec::new();
        for hash in wanted.iter().map(hash) {
            let mut rows = statement.query([bucket_key(block, bucket_of(hash))])?;
            if let Some(row) = rows.next()? {
                let ids = row.get_ref(0)?.as_blob().map_err(|_| no_ids(0))?;
                let ids = unsealed_ids(ids, bucket_key(block, bucket_of(hash)))?;
                let same = read_ids(ids, block.first).filter(|(other, _)| *other == hash);
                found.extend(same.map(|(_, id)| id));
            }
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        found.dedup();
        Ok(found)
    }

    /// What [`View::in_block`] asks.
    pub(crate) fn buckets<'c>(&self, conn: &'c Connection) -> rusqlite::Result<Statement<'c>> {
        conn.prepare(&format!("SELECT ids FROM {}_ids WHERE place = ?1", self.indexed.tables()))
    }

    /// All rows that may have one of these ids, in no particular order.
    pub(crate) fn find(
        &self,
        conn: &Connection,
        wanted: &[RequestId],
    ) -> rusqlite::Result<Vec<i64>> {
        let mut buckets = self.buckets(conn)?;
        let mut found = self.recent.clone();
        for block in self.blocks.iter() {
            found.extend(self.in_block(&mut buckets, block, wanted)?);
        }
        Ok(found)
    }

    /// The run that a row is in.
    pub(crate) fn run_of(&self, id: i64) -> Option<Run> {
        let at = self.runs.partition_point(|run| run.last < id);
        self.runs.get(at).filter(|run| run.first <= id).copied()
    }
}

fn bucket_of(hash: u32) -> usize {
    (hash >> 24) as usize
}

fn bucket_key(block: &Block, bucket: usize) -> i64 {
    (block.last << 8) | i64::try_from(bucket).unwrap_or(0)
}

/// An id is its number and its distance from the first one.
fn write_id(text: &mut Vec<u8>, hash: u32, id: i64, first: i64) {
    // Four billion rows are never in one block.
    let distance = u32::try_from(id - first).unwrap_or(u32::MAX);
    text.extend(hash.to_le_bytes());
    text.extend(distance.to_le_bytes());
}

fn read_ids(text: &[u8], first: i64) -> impl Iterator<Item = (u32, i64)> + '_ {
    text.chunks_exact(8).map(move |pair| {
        let number = pair.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let hash = u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0);
        (hash, first + i64::try_from(number >> 32).unwrap_or(0))
    })
}

fn no_ids(column: usize) -> rusqlite::Error {
    bad_value(column, "no list of ids")
}
