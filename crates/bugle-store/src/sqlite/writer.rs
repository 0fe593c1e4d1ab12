//! The one thread that writes.
//!
//! It takes all that waits, writes it in one transaction, and tells who waited. While it does, the
//! next ones gather: the more callers there are, the more share a transaction and its sync, and a
//! lone caller waits for one sync. A transaction without an event needs none: what was settled
//! survives the end of the process as soon as it is written, and is synced a little later.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{EmitterId, Event, JournalError, Sequence, SourceId, SourcePosition};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::batch::{Batch, Tables};
use super::checkpoint::Checkpoint;
use super::distrust::Distrust;
use super::error::Trouble;
use super::left::Left;
use super::load::Loaded;
use super::options::{Durability, SqliteOptions};
use super::queue::{Append, Queue, Waiter, Work};
use super::replays::Redelivery;
use super::retention::Retention;
use super::schema;
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
    /// Why nothing is accepted any more, if that is so.
    distrust: Distrust,
}

impl<'c> Writer<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        file: PathBuf,
        loaded: Loaded,
        queue: Arc<Queue>,
        checkpoint: Checkpoint,
        distrust: Distrust,
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
            distrust,
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
        if self.distrust.why().is_some() {
            // The log stays as it is, for who opens it next.
            let _ = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
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
        self.withdraw_cancelled(&mut work);
        self.left.go_before(&mut work);
        self.refuse_if_in_distrust(&mut work);
        let Err(trouble) = self.commit(&work) else {
            return self.succeed(work);
        };
        if self.refuse_if_in_distrust(&mut work) {
            self.bury();
        }
        if work.asks() {
            self.refuse(&mut work, &trouble);
        } else if self.distrust.why().is_none() {
            return self.fail(work, &trouble);
        }
        // Without the events, or without the sync, it may be possible: it needs less, or no space.
        match self.commit(&work) {
            Ok(()) => self.succeed(work),
            Err(trouble) => self.fail(work, &trouble),
        }
    }

    /// Appends that nobody waits for any more are not made.
    fn withdraw_cancelled(&mut self, Work { appends, replays, .. }: &mut Work) {
        for cancelled in replays.extract_if(.., |replay| replay.answer.is_canceled()) {
            self.backlog.with(|state| cancelled.withdraw(state));
        }
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
            replays: &work.replays,
            discards: &work.discards,
            retracted: &work.retracted,
            returned: &returned,
            places: &places,
            letters: &work.letters,
            absolved: &work.absolved,
            attempts: &work.attempts,
            specs: &work.specs,
        };
        let wanted = work.asks() || !work.synced.is_empty() || self.is_sync_due();
        let trusted = self.distrust.why().is_none();
        let sync = self.durability == Durability::Fsync && wanted && trusted;
        let written = self.set_sync(sync).and_then(|()| self.tables.write(&batch));
        written.map_err(|error| self.trouble(&error))?;
        self.checkpoint.grown(pages(work, &places));
        self.unsynced_since = match (sync, self.durability) {
            (false, Durability::Fsync) => self.unsynced_since.or_else(|| Some(Instant::now())),
            _ => None,
        };
        Ok(())
    }

    /// What failed, in words.
    fn trouble(&self, error: &rusqlite::Error) -> Trouble {
        self.distrust.look_at(error);
        Trouble::of(&self.file, error)
    }

    /// After a failed sync nothing is promised any more: neither events nor what is to be as safe.
    /// Whether that is so.
    fn refuse_if_in_distrust(&mut self, work: &mut Work) -> bool {
        let Some(trouble) = self.distrust.why().cloned() else { return false };
        self.refuse(work, &trouble);
        tell(std::mem::take(&mut work.synced), &Err(JournalError::new(&trouble.message)));
        true
    }

    /// Writes over what was refused because it could not be synced: the log has it, and who opens
    /// it next would find it.
    fn bury(&mut self) {
        let buried = self.set_sync(false).and_then(|()| schema::touch(self.conn));
        if let Err(error) = buried {
            self.trouble(&error);
        }
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
        let (first, last, replayed) = self.backlog.with(|state| {
            let first = Sequence(state.last().0 + 1);
            for append in &work.appends {
                publish(state, append);
            }
            let replayed: Vec<_> = work.replays.iter().map(|it| it.publish(state)).collect();
            (first, state.last(), replayed)
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
        for (Redelivery { answer, .. }, sequences) in work.replays.into_iter().zip(replayed) {
            let _ = answer.send(Ok(sequences));
        }
        for (discard, count) in work.discards.into_iter().zip(&self.tables.discarded) {
            let _ = discard.answer.send(Ok(*count));
        }
        tell(work.written.into_iter().chain(work.synced), &Ok(()));
    }

    /// Events could not be written: their callers are told, and nothing of them is left.
    fn refuse(&mut self, work: &mut Work, trouble: &Trouble) {
        let appends = std::mem::take(&mut work.appends);
        self.backlog.with(|state| {
            let reserved = appends.iter().flat_map(|append| &append.reserved);
            reserved.for_each(|reserved| state.withdraw(reserved));
            work.replays.iter().for_each(|replay| replay.withdraw(state));
        });
        let failed = JournalError::new(&trouble.message);
        for append in appends {
            let _ = append.answer.send(Err(failed.clone().into()));
        }
        for replay in std::mem::take(&mut work.replays) {
            let _ = replay.answer.send(Err(failed.clone().into()));
        }
        for discard in std::mem::take(&mut work.discards) {
            let _ = discard.answer.send(Err(failed.clone()));
        }
    }

    /// The rest could not be written either: it is kept for the next transaction.
    ///
    /// When the disk is full, deliveries go on nevertheless: what is settled is not delivered again
    /// unless the process ends before there is space.
    fn fail(&mut self, mut work: Work, trouble: &Trouble) {
        self.left = Left::of(&mut work);
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
        // Nobody waits for it, so it needs no sync; but to change that takes a while too.
        let due = self.retention.due().is_some_and(|due| due <= Instant::now());
        let ready = if due { self.set_sync(false) } else { Ok(()) };
        let tidied =
            ready.and_then(|()| self.retention.tidy(&self.backlog, &self.queue, &mut self.tables));
        if let Err(error) = &tidied {
            self.distrust.look_at(error);
        }
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
    let again = work.replays.iter().flat_map(|it| &it.events).map(|(event, _)| event);
    let events = work.appends.iter().flat_map(|append| &append.events).chain(again);
    let payloads: usize = events.map(|event| event.payload.len() + 160).sum();
    let letters: usize = work.letters.iter().map(|it| it.event.payload.len() + 512).sum();
    let attempts = work.attempts.len() * 400;
    let specs: usize = work.specs.values().flatten().map(SpecRow::bytes).sum();
    4 + (payloads + letters + attempts + specs + places.len() * 120) / PAGE
}
