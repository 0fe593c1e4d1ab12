//! The port `Journal`, on disk.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;

use bugle_core::{
    Answer, AppendError, Backlog as Keep, Batch, BoxFuture, DeadLetter, DeadLetterId,
    DeadLetterQuery, EmitterId, Event, Journal, JournalError, JournalStats, LogError, OnExpired,
    Page, PageCursor, Position, Reader, Replay, ReplayError, Replayed, Sequence, SourceId,
    SourcePosition, Subscription,
};
use futures_channel::oneshot;
use rusqlite::Connection;
use smallvec::smallvec;

use super::answers::{Asker, Waiter};
use super::dead_letter_search;
use super::dead_letters::DeadIndex;
use super::distrust::Distrust;
use super::error::Trouble;
use super::ids::Ids;
use super::lookup::{Lookup, below};
use super::publish::retract;
use super::queue::{Append, Discard, Queue, Work};
use super::reader::SqliteReader;
use super::replays::hand_over;
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
    pub(super) event_ids: Arc<Ids>,
    pub(super) attempt_ids: Arc<Ids>,
    /// Reads for those who deliver.
    pub(super) lookup: Lookup,
    /// Reads for those who look into the logs, and holds nobody else up.
    pub(super) log_lookup: Lookup,
    pub(super) file: PathBuf,
    pub(super) distrust: Distrust,
    /// The writer; there until the end.
    pub(super) writer: Option<JoinHandle<()>>,
}

impl Shared {
    /// What the port says when the writer is gone.
    pub(super) fn closed() -> JournalError {
        Trouble::closed().into()
    }

    /// Hands over something that is to be made as safe as an accepted event, and waits for that.
    pub(super) fn synced<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut State, &mut Work) -> T,
    ) -> BoxFuture<'static, Result<T, JournalError>> {
        self.wait(change, |work, done| work.synced.push(done))
    }

    /// The same for an emitter's place or spec. Where these are on disk already as they are to be
    /// that needs no space.
    pub(super) fn kept<T: Send + 'static>(
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

    /// Asks for dead letters, once those are written that somebody may have heard of.
    fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, JournalError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            if shared.dead.has_unwritten() {
                let (written, is_written) = Asker::here();
                shared.queue.put(|work| work.written.push(written));
                // What can't be written is not found, and tried again by the writer.
                let _ = is_written.await;
            }
            Ok(shared.lookup.ask(question).await?)
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
                let reserved = smallvec![state.reserve(&event)?];
                let (answer, answered) = Asker::here();
                let events = smallvec![Arc::clone(&event)];
                let published = Arc::<AtomicU64>::default();
                let handed = (Arc::clone(&published), answered);
                let append = Append { events, reserved, position: None, published, answer };
                queue.put(|work| work.appends.push(append));
                Ok(handed)
            };
            let (published, answered) = backlog.when_there_is_room(payload, hand_over).await?;
            let events = std::slice::from_ref(&event);
            let answered = Some(answered);
            HandedOver { shared: &self.shared, events, position: None, published, answered }.await
        })
    }

    fn append_all(&self, batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>> {
        let Shared { backlog, queue, .. } = &*self.shared;
        if batch.is_empty() {
            return Answer::now(Ok(Vec::new()));
        }
        let largest = batch.events.iter().map(|it| it.payload.len() as u64).max().unwrap_or(0);
        if largest > MAX_PAYLOAD {
            let error = AppendError::TooLarge { bytes: largest, limit: MAX_PAYLOAD };
            return Answer::now(Err(error));
        }
        Answer::later(async move {
            let Batch { events, position, .. } = &batch;
            let hand_over = |state: &mut State| {
                let reserved = state.reserve_all(events)?.into();
                let (answer, answered) = Asker::here();
                let published = Arc::<AtomicU64>::default();
                let handed = (Arc::clone(&published), answered);
                let append = Append {
                    events: events.as_slice().into(),
                    reserved,
                    position: position.clone(),
                    published,
                    answer,
                };
                queue.put(|work| work.appends.push(append));
                Ok(handed)
            };
            let (published, answered) = backlog.when_there_is_room(largest, hand_over).await?;
            let position = position.as_ref();
            let answered = Some(answered);
            let first =
                HandedOver { shared: &self.shared, events, position, published, answered }.await?;
            Ok((first.0..).map(Sequence).take(events.len()).collect())
        })
    }

    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>> {
        Answer::now(Ok(self.shared.backlog.with(|state| state.positions.get(source))))
    }

    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        let opened = self.shared.kept(emitter, |state, work| {
            work.mark(emitter, true);
            state.open(emitter, subscription)
        });
        let (shared, emitter) = (Arc::clone(&self.shared), emitter.clone());
        Answer::later(async move {
            let reader: Arc<dyn Reader> =
                Arc::new(SqliteReader::new(shared, emitter, opened.await?));
            Ok(reader)
        })
    }

    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        Answer::Later(self.shared.synced(|state, work| {
            state.forget(emitter);
            work.mark(emitter, true);
            work.specs.insert(emitter.clone(), None);
        }))
    }

    fn on_expired(&self, told: OnExpired) {
        self.shared.backlog.set_on_expired(told);
    }

    fn default_backlog(&self) -> Keep {
        Keep::Keep
    }

    fn dead_letters(
        &self,
        query: &DeadLetterQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<DeadLetter>, LogError>> {
        let limit = match query.page_limit() {
            Ok(limit) => limit,
            Err(error) => return Answer::now(Err(error)),
        };
        let (below, query) = (below(cursor), query.clone());
        let found = self.ask(move |conn| dead_letter_search::page(conn, &query, limit, below));
        Answer::later(async move { Ok(found.await?) })
    }

    fn count_dead_letters(&self, query: &DeadLetterQuery) -> Answer<'_, Result<u64, JournalError>> {
        let query = query.clone();
        Answer::Later(self.ask(move |conn| dead_letter_search::count(conn, &query)))
    }

    fn dead_letters_after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        let (emitter, query) = (emitter.clone(), query.clone());
        Answer::Later(
            self.ask(move |conn| dead_letter_search::after(conn, &emitter, origin, &query)),
        )
    }

    fn discard_dead_letters(
        &self,
        ids: Vec<DeadLetterId>,
    ) -> Answer<'_, Result<u64, JournalError>> {
        let (answer, answered) = Asker::here();
        self.shared.queue.put(|work| work.discards.push(Discard { ids, answer }));
        Answer::later(async move { answered.await.unwrap_or_else(|_| Err(Shared::closed())) })
    }

    fn replay(
        &self,
        emitter: &EmitterId,
        events: Vec<Replay>,
    ) -> Answer<'_, Result<Vec<Replayed>, ReplayError>> {
        let emitter = emitter.clone();
        Answer::later(async move {
            let Shared { backlog, queue, dead, .. } = &*self.shared;
            let step = |state: &mut State| hand_over(state, queue, dead, &emitter, &events);
            let (mut replayed, answered) = backlog.when_there_is_room(0, step).await??;
            let sequences = match answered {
                Some(answered) => {
                    answered.await.unwrap_or_else(|_| Err(Shared::closed().into()))?
                }
                None => Vec::new(),
            };
            let reserved = replayed.iter_mut().filter(|it| it.is_none());
            for (replayed, sequence) in reserved.zip(sequences) {
                *replayed = Some(Replayed::Queued(sequence));
            }
            Ok(replayed.into_iter().flatten().collect())
        })
    }

    fn stats(&self) -> JournalStats {
        self.shared.backlog.stats()
    }

    fn trouble(&self) -> Option<JournalError> {
        self.shared.distrust.why().cloned().map(JournalError::from)
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        Answer::Later(self.shared.synced(|_, _| ()))
    }
}

/// Events that the writer has. Dropping it takes them back, wherever they are by then: when it is
/// gone, either nobody reads them, or their caller was told.
struct HandedOver<'a> {
    shared: &'a Shared,
    events: &'a [Arc<Event>],
    position: Option<&'a SourcePosition>,
    published: Arc<AtomicU64>,
    answered: Option<oneshot::Receiver<Result<Sequence, AppendError>>>,
}

impl Future for HandedOver<'_> {
    type Output = Result<Sequence, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answered) = &mut self.answered else { return Poll::Pending };
        let answer = ready!(Pin::new(answered).poll(context));
        self.answered = None;
        Poll::Ready(answer.unwrap_or_else(|_| Err(Shared::closed().into())))
    }
}

impl Drop for HandedOver<'_> {
    fn drop(&mut self) {
        let Some(mut answered) = self.answered.take() else { return };
        let Shared { backlog, queue, .. } = self.shared;
        // What is not published once it is closed is passed over.
        answered.close();
        let published = backlog.with(|_| self.published.load(Ordering::Relaxed));
        if published > 0 {
            retract(backlog, queue, Sequence(published), self.events, self.position);
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
