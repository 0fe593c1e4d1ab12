//! The port `Journal`, elsewhere.

use std::sync::Arc;

use bugle_core::{
    Answer, AppendError, Appended, Batch, EmitterId, Event, Journal, JournalError, Reader, Replay,
    ReplayError, Replayed, RequestId, Sequence, Subscription,
};

use super::line::{Line, unavailable};
use super::numbers::{outer, replay_in, replayed_out};
use super::reader::RemoteReader;

/// A journal whose answers come late.
#[derive(Debug)]
pub(super) struct RemoteJournal {
    line: Arc<Line>,
    journal: Arc<dyn Journal>,
}

impl RemoteJournal {
    pub(super) fn new(line: &Arc<Line>) -> Self {
        let journal = line.store.journal();
        Self { line: Arc::clone(line), journal }
    }

    /// Appends under an id. Now and then it is done, and the caller does not hear of it.
    async fn append_as<E: From<JournalError>>(
        &self,
        id: Option<RequestId>,
        append: impl Future<Output = Result<Vec<Sequence>, E>>,
    ) -> Result<Vec<Sequence>, E> {
        let known = id.as_ref().and_then(|id| self.line.unknown.lock().remove(id));
        if let Some(known) = known {
            self.line.travel().await;
            return Ok(known);
        }
        let places = self.line.ask(append).await?;
        let places: Vec<Sequence> = places.into_iter().map(outer).collect();
        match id {
            Some(id) if self.line.fails() => {
                self.line.unknown.lock().insert(id, places);
                Err(unavailable().into())
            }
            _ => Ok(places),
        }
    }

    fn open(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
        if_free: bool,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        let (line, journal) = (Arc::clone(&self.line), Arc::clone(&self.journal));
        let (emitter, subscription) = (emitter.clone(), subscription.clone());
        Answer::later(async move {
            let opened = line.ask(async {
                let losses = line.losses(&emitter)?;
                let reader = match if_free && !line.was_lost(&emitter) {
                    true => journal.reader_if_free(&emitter, &subscription).await?,
                    false => journal.reader(&emitter, &subscription).await?,
                };
                line.opened(&emitter, losses);
                Ok((reader, losses))
            });
            let (reader, losses) = opened.await?;
            let line = Arc::clone(&line);
            Ok(Arc::new(RemoteReader::new(line, reader, emitter, losses)) as Arc<dyn Reader>)
        })
    }
}

impl Journal for RemoteJournal {
    fn append(&self, event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>> {
        Answer::later(async move {
            let id = event.request_id.clone();
            let append = async { Ok(vec![self.journal.append(event).await?]) };
            let places: Vec<Sequence> = self.append_as::<AppendError>(Some(id), append).await?;
            // One event has one place.
            Ok(places.first().copied().unwrap_or_default())
        })
    }

    fn append_all(&self, batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>> {
        Answer::later(async move {
            let id = batch.events.first().map(|event| event.request_id.clone());
            self.append_as(id, async { self.journal.append_all(batch).await }).await
        })
    }

    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        self.open(emitter, subscription, false)
    }

    fn reader_if_free(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        self.open(emitter, subscription, true)
    }

    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        let (journal, emitter) = (Arc::clone(&self.journal), emitter.clone());
        self.line.hand_over(move || journal.forget(&emitter))
    }

    fn replay(
        &self,
        emitter: &EmitterId,
        events: Vec<Replay>,
    ) -> Answer<'_, Result<Vec<Replayed>, ReplayError>> {
        let emitter = emitter.clone();
        Answer::later(async move {
            let events = events.iter().map(replay_in).collect();
            let replayed = self.line.ask(async { self.journal.replay(&emitter, events).await });
            Ok(replayed.await?.into_iter().map(replayed_out).collect())
        })
    }

    fn appended(&self) -> Appended {
        self.line.appended()
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        Answer::later(async move { self.line.ask(async { self.journal.flush().await }).await })
    }
}
