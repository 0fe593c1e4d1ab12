//! What the ports share.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use bugle_core::{BoxFuture, EmitterId, JournalError};

use crate::backlog::{Backlog, State};
use crate::log::LogReader;
use crate::sqlite::behind::Behind;
use crate::sqlite::error::Trouble;
use crate::sqlite::search::ids::Ids;
use crate::sqlite::search::index::LogView;
use crate::sqlite::search::reader_thread::Lookup;
use crate::sqlite::tables::dead_letters::DeadIndex;
use crate::sqlite::write::answers::{Asker, Waiter};
use crate::sqlite::write::append_queue::AppendQueue;
use crate::sqlite::write::poison::Poison;
use crate::sqlite::write::queue::Queue;
use crate::sqlite::write::work::Work;

/// What the journal, its readers and the attempt log share. The store is closed when the last of
/// them is gone.
pub(crate) struct Shared {
    pub(crate) backlog: Arc<Backlog>,
    /// All that waits for the log.
    pub(crate) appends: Arc<AppendQueue>,
    /// All that waits for the database.
    pub(crate) queue: Arc<Queue>,
    /// All that is in the log and not in its index.
    pub(crate) behind: Arc<Behind>,
    pub(crate) log: LogReader,
    pub(crate) dead: Arc<DeadIndex>,
    pub(crate) event_ids: Arc<Ids>,
    pub(crate) attempt_ids: Arc<Ids>,
    /// Reads for those who deliver.
    pub(crate) lookup: Lookup,
    /// Reads for those who look into the logs, and holds nobody else up.
    pub(crate) log_lookup: Lookup,
    pub(crate) file: PathBuf,
    pub(crate) poison: Poison,
    /// The threads that write, in the order in which they end; there until the end.
    pub(crate) writers: Vec<JoinHandle<()>>,
}

impl Shared {
    /// What the port says when the writer is gone.
    pub(crate) fn closed() -> JournalError {
        Trouble::closed().into()
    }

    /// What is in the log, as one sees it who reads the database from now on.
    pub(crate) fn log_view(&self) -> LogView {
        LogView { log: self.log.clone(), tail: self.behind.all() }
    }

    /// Hands over something that is to be made as safe as an accepted event, and waits for that.
    pub(crate) fn synced<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State, &mut Work) -> T,
    ) -> BoxFuture<'static, Result<T, JournalError>> {
        self.wait(change, |work, done| work.synced.push(done))
    }

    /// The same for an emitter's place or spec. Where these are on disk already as they are to be
    /// that needs no space.
    pub(crate) fn kept<T: Send + 'static>(
        &self,
        emitter: &EmitterId,
        change: impl FnOnce(&mut State, &mut Work) -> T,
    ) -> BoxFuture<'static, Result<T, JournalError>> {
        self.wait(change, |work, done| work.kept.push((emitter.clone(), done)))
    }

    fn wait<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State, &mut Work) -> T,
        wait: impl FnOnce(&mut Work, Waiter),
    ) -> BoxFuture<'static, Result<T, JournalError>> {
        let (done, is_done) = Asker::here();
        let changed = self.backlog.with(|state| {
            let mut changed = None;
            self.queue.put(|work| {
                changed = Some(change(state, work));
                wait(work, done);
            });
            changed
        });
        Box::pin(async move {
            is_done.await.unwrap_or_else(|_| Err(Shared::closed()))?;
            changed.ok_or_else(Shared::closed)
        })
    }
}

impl Drop for Shared {
    /// Waits until all that was handed over is written: a few milliseconds.
    fn drop(&mut self) {
        // The last connection that is closed leaves one file only, so it has to be the writer's.
        self.lookup.stop();
        self.log_lookup.stop();
        self.appends.close();
        // The one that writes the log closes the other one's queue as it ends.
        for writer in self.writers.drain(..) {
            if writer.thread().id() != std::thread::current().id() {
                let _ = writer.join();
            }
        }
    }
}
