//! The port `Journal`, on disk.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bugle_core::{
    Answer, AppendError, Appended, Batch, EmitterId, Event, Journal, JournalError, Reader, Replay,
    ReplayError, Replayed, Sequence, SourcePosition, Subscription,
};
use smallvec::smallvec;

use super::reader::SqliteReader;
use super::replay::hand_over;
use super::shared::Shared;
use crate::backlog::{Opened, State};
use crate::sqlite::write::answers::Asker;
use crate::sqlite::write::append_queue::Append;
use crate::sqlite::write::appender::retract;
use crate::sqlite::write::ticket::{Caller, Ticket};

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

    /// Opens a reader once `open` has, in the same step in which it is handed over. Whoever stops
    /// waiting has nothing.
    fn reader_by(
        &self,
        emitter: &EmitterId,
        open: impl FnOnce(&mut State) -> Result<Opened, JournalError>,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        let mut opened = Err(Shared::closed());
        let kept = self.shared.kept(emitter, |state, work| {
            opened = open(state);
            if opened.is_ok() {
                work.mark(emitter, true);
            }
        });
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => return Answer::now(Err(error)),
        };
        let reader = SqliteReader::new(Arc::clone(&self.shared), emitter.clone(), opened);
        Answer::later(async move {
            kept.await?;
            let reader: Arc<dyn Reader> = Arc::new(reader);
            Ok(reader)
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

    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        self.reader_by(emitter, |state| Ok(state.open(emitter, subscription)))
    }

    fn reader_if_free(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        self.reader_by(emitter, |state| {
            state.may_have(emitter)?;
            Ok(state.open(emitter, subscription))
        })
    }

    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        Answer::Later(self.shared.synced(|state, work| {
            state.forget(emitter);
            work.mark(emitter, true);
            work.specs.insert(emitter.clone(), None);
        }))
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

    fn appended(&self) -> Appended {
        self.shared.backlog.appended()
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
            .field("stats", &self.shared.backlog.stats())
            .finish_non_exhaustive()
    }
}
