//! The thread that writes the database.
//!
//! It takes all that waits, and writes it in one transaction, together with the index of what is
//! in the log since the last one. A transaction that nobody waits for needs no sync: it survives
//! the end of the process as soon as it is written, and is synced a little later.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{EmitterId, JournalError, Sequence, SourceId};
use rusqlite::Connection;

use super::answered::Answered;
use super::answers::{Answers, Waiter};
use super::checkpoint::Checkpoint;
use super::commit::{Moment, Tables};
use super::poison::Poison;
use super::presence::Presence;
use super::queue::Queue;
use super::work::Work;
use crate::backlog::Backlog;
use crate::fault::{Point, pass};
use crate::log::LogReader;
use crate::sqlite::behind::Behind;
use crate::sqlite::budget::Budget;
use crate::sqlite::error::Trouble;
use crate::sqlite::options::Durability;
use crate::sqlite::search::index::{Index, LogView};
use crate::sqlite::tables::schema;
use crate::sqlite::upkeep::Retention;

/// Says how long what was settled may be written and not synced.
const SYNC_WITHIN: Duration = Duration::from_millis(100);

/// After how long what could not be written is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Writes the database.
pub(crate) struct Writer<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) file: PathBuf,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) behind: Arc<Behind>,
    pub(crate) log: LogReader,
    pub(crate) answered: Arc<Answered>,
    pub(crate) tables: Tables<'c>,
    pub(crate) retention: Retention<'c>,
    pub(crate) budget: Budget,
    pub(crate) durability: Durability,
    pub(crate) checkpoint: Checkpoint,
    /// Why nothing is accepted any more, if that is so.
    pub(crate) poison: Poison,
    pub(crate) presence: Presence,
    pub(crate) state: WriterState,
}

/// What a writer remembers from one transaction to the next.
pub(crate) struct WriterState {
    /// Tells whether SQLite syncs each transaction now.
    syncs: bool,
    /// Since when something is written that is not synced.
    unsynced_since: Option<Instant>,
    /// What could not be written, and waits for the next transaction.
    left: Work,
    /// When it was last tried to make space.
    tried: Instant,
    /// Tells whether the last transaction is safe.
    safe: bool,
}

impl WriterState {
    pub(crate) fn new() -> Self {
        Self {
            syncs: false,
            unsynced_since: None,
            left: Work::default(),
            tried: Instant::now(),
            safe: false,
        }
    }
}

impl Writer<'_> {
    /// Writes until the store is closed.
    pub(crate) fn run(mut self) {
        while let Some(work) = self.queue.take(self.deadline()) {
            if let Some(lost) = self.presence.find_lost(work.waits()) {
                self.poison.lost(&lost);
            }
            self.write(work);
            self.tidy();
        }
        self.write(Work::default());
        if self.state.left.is_empty() && self.poison.why().is_none() {
            self.queue.remove_settled();
        }
        self.checkpoint.stop();
        pass(Point::CloseBefore, true);
        if self.poison.why().is_some() {
            // SQLite's log stays as it is, for who opens it next.
            schema::keep_log(self.conn, true);
        }
        self.checkpoint();
        pass(Point::CloseAfter, true);
    }

    /// Until when it waits for work.
    fn deadline(&self) -> Option<Instant> {
        let sync = self.state.unsynced_since.map(|since| since + SYNC_WITHIN);
        let retry = (!self.state.left.is_empty()).then(|| Instant::now() + RETRY_AFTER);
        [sync, retry, self.presence.due(), self.retention.due()].into_iter().flatten().min()
    }

    fn is_sync_due(&self) -> bool {
        self.state.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_WITHIN)
    }

    /// Writes what waits, and tells who waited.
    fn write(&mut self, later: Work) {
        let mut work = std::mem::take(&mut self.state.left);
        work.append(later);
        let moment = self.moment(&mut work);
        if work.is_empty() && moment.behind.is_empty() {
            if self.is_sync_due() {
                // Nobody waits: what was written is made safe meanwhile.
                self.checkpoint();
            }
            return;
        }
        self.refuse_if_poisoned(&mut work);
        let mut written = self.commit(&work, &moment);
        if written.as_ref().is_err_and(|it| it.is_full()) && self.checkpoint.make_room(self.conn) {
            written = self.commit(&work, &moment);
        }
        if written.is_err() && self.refuse_if_poisoned(&mut work) {
            self.bury();
            written = self.commit(&work, &moment);
        }
        match written {
            Ok(()) => self.written(work, &moment),
            Err(trouble) => self.fail(work, &trouble),
        }
    }

    /// Says how it is now. What came until now is added to the work: a place that is written
    /// without its dead letter would be a loss if the process ended then.
    fn moment(&self, work: &mut Work) -> Moment {
        self.backlog.with(|state| {
            work.append(self.queue.take_rest());
            let position = |source: &SourceId| (source.clone(), state.positions.get(source));
            let returned = work.returned.iter().map(position).collect();
            let place = |(emitter, whole): (&EmitterId, &bool)| {
                (emitter.clone(), *whole, state.snapshot(emitter, *whole))
            };
            let places = work.moved.iter().map(place).collect();
            // Behind the work: what that is about is in the log.
            Moment { places, returned, behind: self.behind.all() }
        })
    }

    /// One transaction.
    fn commit(&mut self, work: &Work, moment: &Moment) -> Result<(), Trouble> {
        let wanted = work.waits() || self.is_sync_due();
        let trusted = self.poison.why().is_none();
        let sync = self.durability == Durability::Fsync && wanted && trusted;
        let mut written = self.set_sync(sync).and_then(|()| self.tables.write(work, moment));
        let changes_nothing = work.changes_nothing() && moment.behind.is_empty();
        if written.is_ok() && sync && self.state.unsynced_since.is_some() && changes_nothing {
            // Nothing was written, so nothing was synced; what was written before is to be.
            written = schema::touch(self.conn);
        }
        written.map_err(|error| self.trouble(&error))?;
        self.checkpoint.grown(moment.pages(work));
        self.state.safe = sync || self.durability == Durability::Os;
        self.state.unsynced_since = match (sync, self.durability) {
            (false, Durability::Fsync) => {
                self.state.unsynced_since.or_else(|| Some(Instant::now()))
            }
            _ => None,
        };
        Ok(())
    }

    /// All of it is written.
    fn written(&mut self, mut work: Work, moment: &Moment) {
        self.behind.tried(None);
        if let Some(frame) = moment.behind.last() {
            self.behind.indexed(frame.last());
            self.retention.appended(frame);
        }
        if self.state.safe {
            self.retention.synced();
            self.answered.advance(None, Some(self.tables.promises.confirmed()));
        }
        if work.settled {
            self.queue.settled_is_written();
        }
        if !work.deleted.is_empty() {
            // What could not be erased goes with its segment.
            let _ = self.erase(&work.deleted);
        }
        let mut answers = Answers::default();
        for (discard, count) in work.discards.drain(..).zip(&self.tables.discarded) {
            discard.answer.tell(Ok(*count));
        }
        let waiting = work.take_waiting();
        for waiter in std::mem::take(&mut work.written).into_iter().chain(waiting) {
            answers.done(waiter, &Ok(()));
        }
        answers.tell();
    }

    /// Overwrites events that were deleted.
    fn erase(&self, deleted: &[Sequence]) -> rusqlite::Result<()> {
        let view = LogView { log: self.log.clone(), tail: Vec::new() };
        let mut index = Index::new(self.conn, &view)?;
        deleted.iter().try_for_each(|at| index.erase(*at))
    }

    /// What failed, in words.
    fn trouble(&self, error: &rusqlite::Error) -> Trouble {
        self.poison.look_at(error);
        Trouble::of(&self.file, error)
    }

    /// After a failed sync nothing is promised any more. Tells whether that is so.
    fn refuse_if_poisoned(&mut self, work: &mut Work) -> bool {
        let Some(trouble) = self.poison.why().cloned() else { return false };
        let refused = JournalError::from(trouble.clone());
        for discard in work.discards.drain(..) {
            discard.answer.tell(Err(refused.clone()));
        }
        tell(work.take_waiting(), &Err(refused));
        true
    }

    /// Writes over what was refused because it could not be synced: SQLite's log has it, and who
    /// opens it next would find it.
    fn bury(&mut self) {
        let buried = self.set_sync(false).and_then(|()| schema::touch(self.conn));
        if let Err(error) = buried {
            self.trouble(&error);
        }
    }

    /// Has SQLite sync each transaction, or not. In both cases an order that was written is kept.
    fn set_sync(&mut self, sync: bool) -> rusqlite::Result<()> {
        if self.state.syncs != sync {
            let how = if sync { "full" } else { "normal" };
            self.conn.pragma_update(None, "synchronous", how)?;
            self.state.syncs = sync;
        }
        Ok(())
    }

    /// It could not be written: who waits is told, and the rest is kept for the next transaction.
    ///
    /// When the disk is full, deliveries go on nevertheless: what is settled is not delivered again
    /// unless the process ends before there is space.
    fn fail(&mut self, mut work: Work, trouble: &Trouble) {
        self.behind.tried(Some(trouble.clone()));
        let error = Err(JournalError::from(trouble.clone()));
        for discard in work.discards.drain(..) {
            discard.answer.tell(Err(JournalError::from(trouble.clone())));
        }
        for (emitter, waiter) in std::mem::take(&mut work.kept) {
            let place = self.backlog.with(|state| state.snapshot(&emitter, false));
            let keeps = self.tables.keeps(&emitter, place.as_ref(), work.specs.get(&emitter));
            let is_kept = trouble.is_full() && keeps.unwrap_or(false);
            tell([waiter], if is_kept { &Ok(()) } else { &error });
        }
        self.queue.lose_attempts(std::mem::take(&mut work.attempts).len());
        let written = std::mem::take(&mut work.written);
        tell(written, if trouble.is_full() { &Ok(()) } else { &error });
        tell(std::mem::take(&mut work.synced), &error);
        self.state.left = work;
    }

    /// What can be done now that nobody waits for this thread, or hardly anybody.
    fn tidy(&mut self) {
        if !self.state.left.is_empty() {
            // The disk is full, or broken. If it is full there is space in SQLite's log as soon as
            // that is in the database.
            if self.state.tried.elapsed() < RETRY_AFTER {
                return;
            }
            self.checkpoint();
            self.state.tried = Instant::now();
        }
        // Nobody waits for it, so it needs no sync; but to change that takes a while too.
        let due = self.retention.due().is_some_and(|due| due <= Instant::now());
        let ready = if due { self.set_sync(false) } else { Ok(()) };
        let tidied =
            ready.and_then(|()| self.retention.tidy(&self.backlog, &self.queue, &mut self.tables));
        if let Err(error) = &tidied {
            self.poison.look_at(error);
        }
        if self.retention.has_retired() {
            self.state.unsynced_since.get_or_insert_with(Instant::now);
        }
        // What could not be deleted now is deleted later.
        self.checkpoint.grown(tidied.unwrap_or_default());
        self.checkpoint.advance(self.conn);
        self.budget.share(self.conn);
    }

    /// Moves SQLite's log into the database, which syncs both.
    fn checkpoint(&mut self) {
        // If it is being moved, or can't be, that is tried again after the same time.
        self.state.unsynced_since = match self.checkpoint.finish(self.conn) {
            true => None,
            false => self.state.unsynced_since.map(|_| Instant::now()),
        };
        if self.state.unsynced_since.is_none() {
            self.retention.synced();
        }
    }
}

fn tell(waiters: impl IntoIterator<Item = Waiter>, what: &Result<(), JournalError>) {
    for waiter in waiters {
        waiter.tell(what.clone());
    }
}
