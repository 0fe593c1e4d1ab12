//! The one thread that writes.
//!
//! It takes all that waits, writes it in one transaction, and tells who waited. While it does, the
//! next ones gather: the more callers there are, the more share a transaction and its sync, and a
//! lone caller waits for one sync. A transaction without an event needs none: what was settled
//! survives the end of the process as soon as it is written, and is synced a little later.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{
    AppendError, DeadLetter, EmitterId, Event, JournalError, Sequence, SourceId, SourcePosition,
};
use rusqlite::Connection;
use rustc_hash::{FxHashMap, FxHashSet};

use super::batch::{Batch, Tables};
use super::checkpoint::Checkpoint;
use super::error::Trouble;
use super::load::Loaded;
use super::options::{Durability, SqliteOptions};
use super::queue::{Append, Queue, Waiter, Work};
use super::retention::Retention;
use super::specs::SpecRow;
use crate::backlog::{Backlog, Snapshot, State};
use crate::fault::{Point, pass};

/// How long what was settled may be written and not synced.
const SYNC_WITHIN: Duration = Duration::from_millis(100);

/// After how long what could not be written is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The size of a page.
const PAGE: usize = 8_192;

/// The one thread that writes.
pub(super) struct Writer<'c> {
    conn: &'c Connection,
    file: PathBuf,
    backlog: Arc<Backlog>,
    queue: Arc<Queue>,
    tables: Tables<'c>,
    retention: Retention<'c>,
    durability: Durability,
    /// Whether SQLite syncs each transaction now.
    syncs: bool,
    /// Since when something is written that is not synced.
    unsynced_since: Option<Instant>,
    /// What could not be written, and waits for the next transaction.
    left: Left,
    /// When it was last tried to make space.
    tried: Instant,
    checkpoint: Checkpoint,
}

/// What could not be written.
#[derive(Default)]
struct Left {
    moved: FxHashMap<EmitterId, bool>,
    retracted: Vec<Sequence>,
    returned: FxHashSet<SourceId>,
    letters: Vec<DeadLetter>,
    specs: FxHashMap<EmitterId, Option<SpecRow>>,
    absolved: Vec<Sequence>,
}

impl<'c> Writer<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        file: PathBuf,
        loaded: Loaded,
        queue: Arc<Queue>,
        checkpoint: Checkpoint,
        options: SqliteOptions,
    ) -> rusqlite::Result<Self> {
        let Loaded { backlog, keys, dead, event_ids, attempt_ids, chunks } = loaded;
        let durability = options.durability;
        let ids = [event_ids, attempt_ids];
        let tables = Tables::new(conn, keys, dead, ids.clone(), options.dead_letters)?;
        let retention = Retention::new(conn, ids, chunks, &options)?;
        conn.pragma_update(None, "synchronous", "normal")?;
        if let Some(bytes) = options.max_file_bytes {
            let pages = i64::try_from(bytes / PAGE as u64).unwrap_or(i64::MAX);
            conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        Ok(Self {
            conn,
            file,
            backlog,
            queue,
            tables,
            retention,
            durability,
            syncs: false,
            unsynced_since: None,
            left: Left::default(),
            tried: Instant::now(),
            checkpoint,
        })
    }

    /// Writes until the store is closed.
    pub(super) fn run(mut self) {
        while let Some(work) = self.queue.take(self.deadline()) {
            if work.is_empty() && self.left.is_empty() {
                self.rest();
            } else {
                self.write(work);
            }
            self.tidy();
        }
        if !self.left.is_empty() {
            self.write(Work::default());
        }
        self.checkpoint.stop();
        pass(Point::CloseBefore, true);
        self.checkpoint();
        pass(Point::CloseAfter, true);
    }

    /// Until when it waits for work.
    fn deadline(&self) -> Option<Instant> {
        let sync = self.unsynced_since.map(|since| since + SYNC_WITHIN);
        let retry = (!self.left.is_empty()).then(|| Instant::now() + RETRY_AFTER);
        [sync, retry, self.retention.due()].into_iter().flatten().min()
    }

    /// There is nothing to do: what was settled is made safe, while nobody waits.
    fn rest(&mut self) {
        if self.is_sync_due() {
            self.checkpoint();
        }
    }

    fn is_sync_due(&self) -> bool {
        self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_WITHIN)
    }

    /// Writes what waits, and tells who waited.
    fn write(&mut self, mut work: Work) {
        self.withdraw_cancelled(&mut work.appends);
        for (emitter, whole) in std::mem::take(&mut self.left.moved) {
            work.mark(&emitter, whole);
        }
        work.retracted.append(&mut self.left.retracted);
        work.returned.extend(self.left.returned.drain());
        work.letters.splice(0..0, self.left.letters.drain(..));
        for (emitter, spec) in std::mem::take(&mut self.left.specs) {
            work.specs.entry(emitter).or_insert(spec);
        }
        work.absolved.append(&mut self.left.absolved);
        let Err(trouble) = self.commit(&work) else {
            return self.succeed(work);
        };
        if work.appends.is_empty() {
            return self.fail(work, &trouble);
        }
        self.refuse(std::mem::take(&mut work.appends), &trouble);
        // Without the events it may be possible: it needs less space, or none.
        match self.commit(&work) {
            Ok(()) => self.succeed(work),
            Err(trouble) => self.fail(work, &trouble),
        }
    }

    /// Appends that nobody waits for any more are not made.
    fn withdraw_cancelled(&mut self, appends: &mut Vec<Append>) {
        if appends.iter().any(|append| append.answer.is_canceled()) {
            let cancelled = appends.extract_if(.., |append| append.answer.is_canceled());
            let cancelled: Vec<Append> = cancelled.collect();
            self.backlog.with(|state| {
                let reserved = cancelled.iter().flat_map(|append| &append.reserved);
                reserved.for_each(|reserved| state.withdraw(reserved));
            });
        }
    }

    /// One transaction.
    fn commit(&mut self, work: &Work) -> Result<(), Trouble> {
        let (first, places, returned) = self.backlog.with(|state| {
            let first = Sequence(state.last().0 + 1);
            let position = |source: &SourceId| (source.clone(), state.positions.get(source));
            let returned: Vec<_> = work.returned.iter().map(position).collect();
            let place = |(emitter, whole): (&EmitterId, &bool)| {
                (emitter.clone(), *whole, state.snapshot(emitter, *whole))
            };
            (first, work.moved.iter().map(place).collect::<Vec<_>>(), returned)
        });
        let batch = Batch {
            first,
            appends: &work.appends,
            retracted: &work.retracted,
            returned: &returned,
            places: &places,
            letters: &work.letters,
            absolved: &work.absolved,
            attempts: &work.attempts,
            specs: &work.specs,
        };
        let wanted = !work.appends.is_empty() || !work.synced.is_empty() || self.is_sync_due();
        let sync = self.durability == Durability::Fsync && wanted;
        let written = self.set_sync(sync).and_then(|()| self.tables.write(&batch));
        written.map_err(|error| Trouble::of(&self.file, &error))?;
        self.checkpoint.grown(pages(work, &places));
        self.unsynced_since = match (sync, self.durability) {
            (false, Durability::Fsync) => self.unsynced_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
        Ok(())
    }

    /// Has SQLite sync each transaction, or not. In both cases an order that was written is kept.
    fn set_sync(&mut self, sync: bool) -> rusqlite::Result<()> {
        if self.syncs != sync {
            let how = if sync { "full" } else { "normal" };
            self.conn.pragma_update(None, "synchronous", how)?;
            self.syncs = sync;
        }
        Ok(())
    }

    /// All is written: the events can be read, and who waited is told.
    fn succeed(&mut self, work: Work) {
        let (first, last) = self.backlog.with(|state| {
            let first = Sequence(state.last().0 + 1);
            for append in &work.appends {
                publish(state, append);
            }
            (first, state.last())
        });
        pass(Point::AppendPublished, last >= first);
        if last >= first {
            self.retention.appended(last, (last.0 - first.0 + 1) as usize);
        }
        let mut next = first;
        for Append { events, position, answer, .. } in work.appends {
            let first = next;
            next.0 += events.len() as u64;
            if answer.send(Ok(first)).is_err() {
                retract(&self.backlog, &self.queue, first, &events, position.as_ref());
            }
        }
        tell(work.written.into_iter().chain(work.synced), &Ok(()));
    }

    /// Events could not be written: their callers are told, and nothing of them is left.
    fn refuse(&mut self, appends: Vec<Append>, trouble: &Trouble) {
        self.backlog.with(|state| {
            let reserved = appends.iter().flat_map(|append| &append.reserved);
            reserved.for_each(|reserved| state.withdraw(reserved));
        });
        let error = AppendError::Store(JournalError::new(&trouble.message));
        for append in appends {
            let _ = append.answer.send(Err(error.clone()));
        }
    }

    /// The rest could not be written either: it is kept for the next transaction.
    ///
    /// When the disk is full, deliveries go on nevertheless: what is settled is not delivered again
    /// unless the process ends before there is space.
    fn fail(&mut self, work: Work, trouble: &Trouble) {
        let Work { moved, retracted, returned, letters, absolved, specs, .. } = work;
        self.left = Left { moved, retracted, returned, letters, absolved, specs };
        self.queue.lose_attempts(work.attempts.len());
        let error = Err(JournalError::new(&trouble.message));
        tell(work.written, if trouble.is_full { &Ok(()) } else { &error });
        tell(work.synced, &error);
    }

    /// What can be done now that nobody waits for this thread, or hardly anybody.
    fn tidy(&mut self) {
        if !self.left.is_empty() {
            // The disk is full, or broken. If it is full there is space in the log as soon as the
            // log is in the database.
            if self.tried.elapsed() < RETRY_AFTER {
                return;
            }
            self.checkpoint();
            self.tried = Instant::now();
        }
        let tidied = self.set_sync(false).and_then(|()| {
            self.retention.tidy(&self.backlog, &self.queue, self.tables.attempts.last())
        });
        // What could not be deleted now is deleted later.
        self.checkpoint.grown(tidied.unwrap_or_default());
        self.checkpoint.advance(self.conn);
    }

    /// Moves the log into the database, which syncs both.
    fn checkpoint(&mut self) {
        // If it is being moved, or can't be, that is tried again after the same time.
        self.unsynced_since = match self.checkpoint.finish(self.conn) {
            true => None,
            false => self.unsynced_since.map(|_| Instant::now()),
        };
    }
}

impl Left {
    fn is_empty(&self) -> bool {
        self.moved.is_empty()
            && self.retracted.is_empty()
            && self.returned.is_empty()
            && self.letters.is_empty()
            && self.absolved.is_empty()
            && self.specs.is_empty()
    }
}

/// What was written can be read; what nobody waits for any more is passed over.
fn publish(state: &mut State, append: &Append) {
    if append.answer.is_canceled() {
        append.reserved.iter().for_each(|reserved| state.pass_over(reserved));
        return;
    }
    for (event, reserved) in append.events.iter().zip(&append.reserved) {
        state.publish(event, reserved);
    }
    if let Some(position) = &append.position {
        state.positions.advance(position);
    }
}

/// Takes events back, all that one caller appended, because it stopped waiting before it was told.
pub(super) fn retract(
    backlog: &Backlog,
    queue: &Queue,
    first: Sequence,
    events: &[Arc<Event>],
    position: Option<&SourcePosition>,
) {
    backlog.with(|state| {
        let sequences = (first.0..).map(Sequence).take(events.len());
        for (sequence, event) in sequences.clone().zip(events) {
            state.retract(sequence, event);
        }
        if let Some(position) = position {
            state.positions.take_back(position);
        }
        queue.put_back(|work| {
            work.retracted.extend(sequences);
            work.returned.extend(position.map(|position| position.source.clone()));
        });
    });
}

fn tell(waiters: impl IntoIterator<Item = Waiter>, what: &Result<(), JournalError>) {
    for waiter in waiters {
        let _ = waiter.send(what.clone());
    }
}

/// About how many pages a transaction has added to the log.
fn pages(work: &Work, places: &[(EmitterId, bool, Option<Snapshot>)]) -> usize {
    let events = work.appends.iter().flat_map(|append| &append.events);
    let payloads: usize = events.map(|event| event.payload.len() + 160).sum();
    let letters: usize = work.letters.iter().map(|it| it.event.payload.len() + 512).sum();
    let attempts = work.attempts.len() * 400;
    let specs: usize = work.specs.values().flatten().map(SpecRow::bytes).sum();
    4 + (payloads + letters + attempts + specs + places.len() * 120) / PAGE
}
