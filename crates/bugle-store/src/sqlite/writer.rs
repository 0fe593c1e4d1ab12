//! The one thread that writes.
//!
//! It takes all that waits, writes it in one transaction, and has it synced and published. While it
//! does, the next ones gather: the more callers there are, the more share a transaction and its
//! sync, and a lone caller waits for one sync. A transaction that nobody waits for needs none: it
//! survives the end of the process as soon as it is written, and is synced a little later.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{EmitterId, JournalError, Sequence, SourceId};
use rusqlite::Connection;

use super::answers::Waiter;
use super::batch::{Batch, PAGE, Tables};
use super::callers::Callers;
use super::checkpoint::Checkpoint;
use super::directory::Directory;
use super::distrust::Distrust;
use super::error::Trouble;
use super::left::Left;
use super::load::Loaded;
use super::options::{Durability, SqliteOptions};
use super::presence::Presence;
use super::publish::Publisher;
use super::queue::{Append, Queue, Work};
use super::retention::Retention;
use super::schema;
use super::syncer::Syncer;
use crate::backlog::Backlog;
use crate::fault::{Point, pass};

/// How long what was settled may be written and not synced.
const SYNC_WITHIN: Duration = Duration::from_millis(100);

/// After how long what could not be written is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What works beside the writer.
pub(super) struct Beside {
    pub(super) publisher: Publisher,
    pub(super) syncer: Syncer,
    pub(super) checkpoint: Checkpoint,
    pub(super) distrust: Distrust,
}

/// The one thread that writes.
pub(super) struct Writer<'c> {
    conn: &'c Connection,
    file: PathBuf,
    backlog: Arc<Backlog>,
    queue: Arc<Queue>,
    publisher: Publisher,
    syncer: Syncer,
    /// The last number that was given to an event that is written.
    last: Sequence,
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
    callers: Callers,
    /// Why nothing is accepted any more, if that is so.
    distrust: Distrust,
    presence: Presence,
    /// Whether the last transaction is safe, or will be when it is published.
    safe: bool,
}

impl<'c> Writer<'c> {
    pub(super) fn new(
        conn: &'c Connection,
        directory: &'c Directory,
        loaded: Loaded,
        Beside { publisher, syncer, checkpoint, distrust }: Beside,
        options: &SqliteOptions,
    ) -> rusqlite::Result<Self> {
        let Loaded { keys, dead, event_ids, attempt_ids, chunks, .. } = loaded;
        let durability = options.durability;
        let ids = [event_ids, attempt_ids];
        let tables =
            Tables::new(conn, &directory.database, keys, dead, ids.clone(), options.dead_letters)?;
        let retention = Retention::new(conn, ids, chunks, options)?;
        conn.pragma_update(None, "synchronous", "normal")?;
        if let Some(bytes) = options.max_file_bytes {
            let pages = i64::try_from(bytes / PAGE).unwrap_or(i64::MAX);
            conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        }
        Ok(Self {
            conn,
            file: directory.file.clone(),
            backlog: Arc::clone(&publisher.backlog),
            queue: Arc::clone(&publisher.queue),
            last: publisher.backlog.with(|state| state.last()),
            publisher,
            syncer,
            tables,
            retention,
            durability,
            syncs: false,
            unsynced_since: None,
            left: Left::default(),
            tried: Instant::now(),
            checkpoint,
            callers: Callers::default(),
            distrust,
            presence: Presence::of(&directory.file),
            safe: false,
        })
    }

    /// Writes until the store is closed.
    pub(super) fn run(mut self) {
        while let Some(work) = self.queue.take(self.deadline(), self.callers.expected()) {
            if let Some(lost) = self.presence.find_lost(work.waits()) {
                self.distrust.lost(&lost);
            }
            if work.is_empty() && self.left.is_empty() {
                self.rest();
            } else {
                self.write(work);
            }
            self.tidy();
        }
        self.syncer.stop();
        if let Some(passed_over) = self.queue.take(None, 0) {
            self.write(passed_over);
        }
        if !self.left.is_empty() {
            self.write(Work::default());
        }
        if self.left.is_empty() && self.distrust.why().is_none() {
            self.queue.remove_settled();
        }
        self.checkpoint.stop();
        pass(Point::CloseBefore, true);
        if self.distrust.why().is_some() {
            // The log stays as it is, for who opens it next.
            schema::keep_log(self.conn, true);
        }
        self.checkpoint();
        pass(Point::CloseAfter, true);
    }

    /// Until when it waits for work.
    fn deadline(&self) -> Option<Instant> {
        let sync = self.unsynced_since.map(|since| since + SYNC_WITHIN);
        let retry = (!self.left.is_empty()).then(|| Instant::now() + RETRY_AFTER);
        [sync, retry, self.presence.due(), self.retention.due()].into_iter().flatten().min()
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
        let apart = self.is_synced_apart(&work);
        let publishes = !work.appends.is_empty() || !work.replays.is_empty();
        if (publishes || work.waits()) && !apart || !work.returned.is_empty() {
            // Events are published in their order, positions are what was published, and who waits
            // for a sync waits for those that are on their way.
            self.syncer.wait();
        }
        let mut written = self.commit(&mut work, apart);
        if written.as_ref().is_err_and(|it| it.is_full) && self.checkpoint.make_room(self.conn) {
            written = self.commit(&mut work, apart);
        }
        match written {
            Ok(()) => self.written(work, apart),
            Err(trouble) => self.write_less(work, &trouble),
        }
    }

    /// Whether a transaction is synced while the next one is written. Not where it is all that is
    /// asked for, and not what could not be taken back if it can't be synced.
    fn is_synced_apart(&self, work: &Work) -> bool {
        let reversible = work.replays.is_empty() && work.discards.is_empty() && !work.waits();
        reversible
            && !work.appends.is_empty()
            && self.callers.are_several()
            && self.durability == Durability::Fsync
            && self.syncer.is_ready()
    }

    /// All of it is written.
    fn written(&mut self, mut work: Work, apart: bool) {
        work.confirmed = self.safe.then(|| self.tables.promises.confirmed());
        if work.settled {
            self.queue.settled_is_written();
        }
        if !work.appends.is_empty() {
            let waiting = self.syncer.appends() + self.queue.appends();
            self.callers.count(work.appends.len() + waiting);
        }
        if apart {
            self.syncer.hand_over(work);
        } else {
            self.publisher.publish(work, &self.tables.discarded);
        }
    }

    /// Something could not be written. Without what is asked for, or without the sync, the rest may
    /// be possible: it needs less, or no space.
    fn write_less(&mut self, mut work: Work, trouble: &Trouble) {
        if self.refuse_if_in_distrust(&mut work) {
            self.bury();
        }
        if work.asks() {
            self.publisher.refuse(&mut work, trouble);
        } else if self.distrust.why().is_none() {
            return self.fail(work, trouble);
        }
        match self.commit(&mut work, false) {
            Ok(()) => self.written(work, false),
            Err(trouble) => self.fail(work, &trouble),
        }
    }

    /// Appends that nobody waits for any more are not made.
    fn withdraw_cancelled(&mut self, Work { appends, replays, .. }: &mut Work) {
        for cancelled in replays.extract_if(.., |replay| replay.answer.is_gone()) {
            self.backlog.with(|state| cancelled.withdraw(state));
        }
        if appends.iter().any(|append| append.answer.is_gone()) {
            let cancelled = appends.extract_if(.., |append| append.answer.is_gone());
            let cancelled: Vec<Append> = cancelled.collect();
            self.backlog.with(|state| {
                let reserved = cancelled.iter().flat_map(|append| &append.reserved);
                reserved.for_each(|reserved| state.withdraw(reserved));
            });
        }
    }

    /// One transaction; its sync is left to another thread if it is synced apart.
    fn commit(&mut self, work: &mut Work, apart: bool) -> Result<(), Trouble> {
        let (places, returned) = self.backlog.with(|state| {
            // These places may be past what was given up since the work was taken.
            self.queue.take_letters(work);
            let position = |source: &SourceId| (source.clone(), state.positions.get(source));
            let returned: Vec<_> = work.returned.iter().map(position).collect();
            let place = |(emitter, whole): (&EmitterId, &bool)| {
                (emitter.clone(), *whole, state.snapshot(emitter, *whole))
            };
            (work.moved.iter().map(place).collect::<Vec<_>>(), returned)
        });
        let batch = Batch {
            first: Sequence(self.last.0 + 1),
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
        let wanted =
            work.asks() || work.waits() || !places.is_empty() && work.settled || self.is_sync_due();
        let trusted = self.distrust.why().is_none();
        let sync = self.durability == Durability::Fsync && wanted && trusted;
        let mut written = self.set_sync(sync && !apart).and_then(|()| self.tables.write(&batch));
        if written.is_ok() && sync && self.unsynced_since.is_some() && batch.is_empty() {
            // Nothing was written, so nothing was synced; what was written before is to be.
            written = schema::touch(self.conn);
        }
        written.map_err(|error| self.trouble(&error))?;
        let appended = work.appends.iter().map(|append| append.events.len());
        let again = work.replays.iter().map(|replay| replay.events.len());
        let count = appended.chain(again).sum();
        if count > 0 {
            self.last.0 += count as u64;
            self.retention.appended(self.last, count);
        }
        self.checkpoint.grown(batch.pages());
        self.safe = sync || self.durability == Durability::Os;
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
        self.publisher.refuse(work, &trouble);
        tell(work.take_waiting(), &Err(JournalError::new(&trouble.message)));
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

    /// The rest could not be written either: it is kept for the next transaction.
    ///
    /// When the disk is full, deliveries go on nevertheless: what is settled is not delivered again,
    /// and what is given up not tried again, unless the process ends before there is space.
    fn fail(&mut self, mut work: Work, trouble: &Trouble) {
        let error = Err(JournalError::new(&trouble.message));
        for (emitter, waiter) in std::mem::take(&mut work.kept) {
            let place = self.backlog.with(|state| state.snapshot(&emitter, false));
            let keeps = self.tables.keeps(&emitter, place.as_ref(), work.specs.get(&emitter));
            let is_kept = trouble.is_full && keeps.unwrap_or(false);
            tell([waiter], if is_kept { &Ok(()) } else { &error });
        }
        self.left = Left::of(&mut work);
        self.queue.lose_attempts(work.attempts.len());
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

fn tell(waiters: impl IntoIterator<Item = Waiter>, what: &Result<(), JournalError>) {
    for waiter in waiters {
        waiter.tell(what.clone());
    }
}
