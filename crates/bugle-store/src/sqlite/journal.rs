//! The port `Journal`, on disk.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;

use bugle_core::{
    Answer, AppendError, Backlog as Keep, BoxFuture, DeadLetter, EmitterId, Event, Journal,
    JournalError, JournalStats, Reader, Sequence, Subscription,
};
use futures_channel::oneshot;

use super::dead_letters::{DeadIndex, newest};
use super::epochs::Epochs;
use super::error::Trouble;
use super::lookup::Lookup;
use super::queue::{Append, Queue};
use super::reader::SqliteReader;
use super::writer::retract;
use crate::backlog::{Backlog, State};

/// A larger payload fits no row.
const MAX_PAYLOAD: u64 = 512 << 20;

/// The journal on disk. Who waits for what is in memory; the writer makes it safe.
#[derive(Clone)]
pub(crate) struct SqliteJournal {
    shared: Arc<Shared>,
}

/// What the journal, its readers and the attempt log share. The store is closed when the last of
/// them is gone.
pub(super) struct Shared {
    pub(super) backlog: Arc<Backlog>,
    pub(super) queue: Arc<Queue>,
    pub(super) dead: Arc<DeadIndex>,
    pub(super) epochs: Arc<Epochs>,
    pub(super) lookup: Lookup,
    pub(super) file: PathBuf,
    /// The writer; there until the end.
    pub(super) writer: Option<JoinHandle<()>>,
}

impl Shared {
    /// What the port says when the writer is gone.
    pub(super) fn closed() -> JournalError {
        JournalError::new(Trouble::closed().message)
    }
}

impl Drop for Shared {
    /// Waits until all that was handed over is written: a few milliseconds.
    fn drop(&mut self) {
        // The last connection that is closed leaves one file only, so it has to be the writer's.
        self.lookup.stop();
        self.queue.close();
        if let Some(writer) = self.writer.take()
            && writer.thread().id() != std::thread::current().id()
        {
            let _ = writer.join();
        }
    }
}

impl SqliteJournal {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Hands over something that is to be made as safe as an accepted event, and waits for that.
    fn synced<T: Send + 'static>(
        &self,
        emitter: Option<&EmitterId>,
        change: impl FnOnce(&mut State) -> T,
    ) -> BoxFuture<'static, Result<T, JournalError>> {
        let (done, is_done) = oneshot::channel();
        let changed = self.shared.backlog.with(|state| {
            let changed = change(state);
            self.shared.queue.put(|work| {
                if let Some(emitter) = emitter {
                    work.mark(emitter, true);
                }
                work.synced.push(done);
            });
            changed
        });
        Box::pin(async move {
            is_done.await.unwrap_or_else(|_| Err(Shared::closed()))?;
            Ok(changed)
        })
    }
}

impl Journal for SqliteJournal {
    fn append(&self, event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>> {
        let Shared { backlog, queue, .. } = &*self.shared;
        let payload = event.payload.len() as u64;
        if payload > MAX_PAYLOAD {
            let error = AppendError::TooLarge { bytes: payload, limit: MAX_PAYLOAD };
            return Answer::now(Err(error));
        }
        Answer::later(async move {
            let hand_over = |state: &mut State| {
                let reserved = state.reserve(&event)?;
                let (answer, answered) = oneshot::channel();
                let event = Arc::clone(&event);
                queue.put(|work| work.appends.push(Append { event, reserved, answer }));
                Ok(answered)
            };
            let answered = backlog.when_there_is_room(payload, hand_over).await?;
            HandedOver { shared: &self.shared, event: &event, answered }.await
        })
    }

    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        let opened = self.synced(Some(emitter), |state| state.open(emitter, subscription));
        let (shared, emitter) = (Arc::clone(&self.shared), emitter.clone());
        Answer::later(async move {
            let reader: Arc<dyn Reader> =
                Arc::new(SqliteReader::new(shared, emitter, opened.await?));
            Ok(reader)
        })
    }

    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        Answer::Later(self.synced(Some(emitter), |state| state.forget(emitter)))
    }

    fn default_backlog(&self) -> Keep {
        Keep::Keep
    }

    fn dead_letters(
        &self,
        emitter: Option<&EmitterId>,
        limit: usize,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        let emitter = emitter.cloned();
        let found = self.shared.lookup.ask(move |conn| newest(conn, emitter.as_ref(), limit));
        Answer::later(
            async move { found.await.map_err(|trouble| JournalError::new(trouble.message)) },
        )
    }

    fn stats(&self) -> JournalStats {
        self.shared.backlog.stats()
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        Answer::Later(self.synced(None, |_| ()))
    }
}

/// An event that the writer has. Dropping it takes the event back, wherever it is by then.
struct HandedOver<'a> {
    shared: &'a Shared,
    event: &'a Event,
    answered: oneshot::Receiver<Result<Sequence, AppendError>>,
}

impl Future for HandedOver<'_> {
    type Output = Result<Sequence, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = Pin::new(&mut self.answered).poll(context);
        answered.map(|answer| answer.unwrap_or_else(|_| Err(Shared::closed().into())))
    }
}

impl Drop for HandedOver<'_> {
    fn drop(&mut self) {
        // Once it is closed the writer passes the event over; it may have told us just before.
        self.answered.close();
        if let Ok(Some(Ok(sequence))) = self.answered.try_recv() {
            retract(&self.shared.backlog, &self.shared.queue, sequence, self.event);
        }
    }
}

impl fmt::Debug for SqliteJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteJournal")
            .field("file", &self.shared.file)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
