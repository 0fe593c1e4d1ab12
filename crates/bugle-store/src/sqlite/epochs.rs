//! Blocks of attempts, and how those of one event are found.
//!
//! A random id in an index costs more than the row itself: each one touches a page of its own. So
//! attempts are indexed by event in blocks of 8,192, when a block is full: sorted, and so appended
//! to the index page by page. A search looks into each block with one step of the index, and those
//! that are in no block yet are kept in memory. Ten million attempts are some 1,200 steps.
//!
//! A block also knows its earliest and its latest instant, so that a search by time passes over
//! whole blocks.

use bugle_core::RequestId;
use parking_lot::Mutex;
use rusqlite::{Connection, Statement};

/// How many attempts make a block.
pub(super) const EPOCH: usize = 8192;

/// The number that an event's attempts are found by. It is on disk, so it never changes.
pub(super) fn hash(event: &RequestId) -> u32 {
    crc32fast::hash(event.as_str().as_bytes())
}

/// An attempt that is in no block yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recent {
    pub(super) hash: u32,
    pub(super) id: i64,
    pub(super) created: i64,
}

/// A block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    pub(super) first: i64,
    pub(super) last: i64,
    /// The earliest instant in it.
    pub(super) oldest: i64,
    pub(super) newest: i64,
}

/// The blocks, and what is in none yet; the same for those who write and those who read.
#[derive(Debug, Default)]
pub(super) struct Epochs(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    epochs: Vec<Epoch>,
    recent: Vec<Recent>,
}

impl Epochs {
    /// Reads the blocks, and what is in none.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let mut inner = Inner::default();
        let mut rows =
            conn.prepare("SELECT first, last, oldest, newest FROM attempt_epochs ORDER BY last")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            inner.epochs.push(Epoch {
                first: row.get(0)?,
                last: row.get(1)?,
                oldest: row.get(2)?,
                newest: row.get(3)?,
            });
        }
        let after = inner.epochs.last().map_or(0, |epoch| epoch.last);
        let mut rows =
            conn.prepare("SELECT event_id, id, created FROM attempts WHERE id > ?1 ORDER BY id")?;
        let mut rows = rows.query([after])?;
        while let Some(row) = rows.next()? {
            let hash = crc32fast::hash(row.get_ref(0)?.as_str()?.as_bytes());
            inner.recent.push(Recent { hash, id: row.get(1)?, created: row.get(2)? });
        }
        Ok(Self(Mutex::new(inner)))
    }

    /// Attempts were written.
    pub(super) fn add(&self, attempts: Vec<Recent>) {
        self.0.lock().recent.extend(attempts);
    }

    /// All blocks, in order, and the ids of those attempts of some events that are in none.
    pub(super) fn view(&self, hashes: &[u32]) -> (Vec<Epoch>, Vec<i64>) {
        let inner = self.0.lock();
        let recent = inner.recent.iter().filter(|it| hashes.contains(&it.hash));
        (inner.epochs.clone(), recent.map(|it| it.id).collect())
    }

    /// What makes the next block, if there is enough.
    fn next(&self) -> Option<Vec<Recent>> {
        self.0.lock().recent.get(..EPOCH).map(<[Recent]>::to_vec)
    }

    /// A block was written.
    fn written(&self, epoch: Epoch) {
        let mut inner = self.0.lock();
        inner.epochs.push(epoch);
        inner.recent.drain(..EPOCH);
    }

    /// The oldest block.
    pub(super) fn first(&self) -> Option<Epoch> {
        self.0.lock().epochs.first().copied()
    }

    /// The oldest block is deleted.
    pub(super) fn remove_first(&self) {
        let mut inner = self.0.lock();
        if !inner.epochs.is_empty() {
            inner.epochs.remove(0);
        }
    }
}

/// What is done with the tables.
pub(super) struct EpochTables<'c> {
    insert: Statement<'c>,
    index: Statement<'c>,
}

impl<'c> EpochTables<'c> {
    pub(super) fn new(conn: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            insert: conn.prepare(
                "INSERT INTO attempt_epochs (first, last, oldest, newest) VALUES (?1, ?2, ?3, ?4)",
            )?,
            index: conn
                .prepare("INSERT INTO attempt_events (epoch, hash, id) VALUES (?1, ?2, ?3)")?,
        })
    }

    /// Writes the next block, if there is enough for one.
    pub(super) fn write_next(
        &mut self,
        conn: &Connection,
        epochs: &Epochs,
    ) -> rusqlite::Result<()> {
        let Some(mut attempts) = epochs.next() else { return Ok(()) };
        let [Some(first), Some(last)] =
            [attempts.first(), attempts.last()].map(Option::<&_>::copied)
        else {
            return Ok(());
        };
        let created = || attempts.iter().map(|attempt| attempt.created);
        let epoch = Epoch {
            first: first.id,
            last: last.id,
            oldest: created().min().unwrap_or_default(),
            newest: created().max().unwrap_or_default(),
        };
        attempts.sort_unstable_by_key(|attempt| (attempt.hash, attempt.id));
        let transaction = conn.unchecked_transaction()?;
        for attempt in &attempts {
            self.index.execute([epoch.last, i64::from(attempt.hash), attempt.id])?;
        }
        self.insert.execute([epoch.first, epoch.last, epoch.oldest, epoch.newest])?;
        transaction.commit()?;
        epochs.written(epoch);
        Ok(())
    }
}
