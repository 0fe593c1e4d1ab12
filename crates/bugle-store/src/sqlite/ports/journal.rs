//! The port `Journal`, on disk.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bugle_core::{
    Answer, AppendError, Backlog as Keep, Batch, BoxFuture, DeadLetter, DeadLetterId,
    DeadLetterQuery, EmitterId, Event, Journal, JournalError, JournalStats, LogError, OnExpired,
    Page, PageCursor, Position, Reader, Replay, ReplayError, Replayed, Sequence, SourceId,
    SourcePosition, Subscription,
};
use rusqlite::Connection;
use smallvec::smallvec;

use super::reader::SqliteReader;
use super::replay::hand_over;
use super::shared::Shared;
use crate::backlog::State;
use crate::sqlite::search::dead_letters;
use crate::sqlite::search::reader_thread::below;
use crate::sqlite::write::answers::Asker;
use crate::sqlite::write::append_queue::Append;
use crate::sqlite::write::appender::retract;
use crate::sqlite::write::ticket::{Caller, Ticket};
use crate::sqlite::write::work::Discard;

/// A larger payload fits no row, should it become a dead letter.
const MAX_PAYLOAD: u64 = 512 << 20;

/// The journal on disk. Who waits for what is in memory; the writer makes it safe.
#[derive(Clone)]
pub(crate) struct SqliteJournal {
    shared: Arc<Shared>,
}

impl SqliteJournal {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
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
        let Shared { backlog, appends, .. } = &*self.shared;
        let payload = event.payload.len() as u64;
        if payload > MAX_PAYLOAD {
            let error = AppendError::TooLarge { bytes: payload, limit: MAX_PAYLOAD };
            return Answer::now(Err(error));
        }
        Answer::later(async move {
            let hand_over = |state: &mut State| {
                let reserved = smallvec![state.reserve(&event)?];
                let (caller, ticket) = Caller::here();
                let events = smallvec![Arc::clone(&event)];
                let append = Append { events, reserved, position: None, caller };
                appends.put(|group| group.appends.push(append));
                Ok(ticket)
            };
            let ticket = Some(backlog.when_there_is_room(payload, hand_over).await?);
            let events = std::slice::from_ref(&event);
            HandedOver { shared: &self.shared, events, position: None, ticket }.await
        })
    }

    fn append_all(&self, batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>> {
        let Shared { backlog, appends, .. } = &*self.shared;
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
                let (caller, ticket) = Caller::here();
                let (events, position) = (events.as_slice().into(), position.clone());
                let append = Append { events, reserved, position, caller };
                appends.put(|group| group.appends.push(append));
                Ok(ticket)
            };
            let ticket = Some(backlog.when_there_is_room(largest, hand_over).await?);
            let position = position.as_ref();
            let first = HandedOver { shared: &self.shared, events, position, ticket }.await?;
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
        let found = self.ask(move |conn| dead_letters::page(conn, &query, limit, below));
        Answer::later(async move { Ok(found.await?) })
    }

    fn count_dead_letters(&self, query: &DeadLetterQuery) -> Answer<'_, Result<u64, JournalError>> {
        let query = query.clone();
        Answer::Later(self.ask(move |conn| dead_letters::count(conn, &query)))
    }

    fn dead_letters_after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        let (emitter, query) = (emitter.clone(), query.clone());
        Answer::Later(self.ask(move |conn| dead_letters::after(conn, &emitter, origin, &query)))
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
            let Shared { backlog, appends, dead, .. } = &*self.shared;
            let step = |state: &mut State| hand_over(state, appends, dead, &emitter, &events);
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
        self.shared.poison.why().cloned().map(JournalError::from)
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        let (done, is_done) = Asker::here();
        self.shared.appends.put(|group| group.flushes.push(done));
        Answer::later(async move { is_done.await.unwrap_or_else(|_| Err(Shared::closed())) })
    }
}

/// Events that are on their way. Dropping it takes them back, wherever they are by then: when it is
/// gone, either nobody reads them, or their caller was told.
struct HandedOver<'a> {
    shared: &'a Shared,
    events: &'a [Arc<Event>],
    position: Option<&'a SourcePosition>,
    /// There until the caller is told.
    ticket: Option<Arc<Ticket>>,
}

impl Future for HandedOver<'_> {
    type Output = Result<Sequence, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ticket) = &self.ticket else { return Poll::Pending };
        let answer = ready!(ticket.poll(context));
        self.ticket = None;
        Poll::Ready(answer)
    }
}

impl Drop for HandedOver<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let Shared { backlog, queue, .. } = self.shared;
        ticket.leave();
        if let Some(first) = backlog.with(|_| ticket.published()) {
            retract(backlog, queue, first, self.events, self.position);
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
