//! Delivering one event again, to one emitter.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bugle_core::{
    Answer, AttemptCode, DeadLetterQuery, EmitterId, Fate, JournalError, LogError, Replay,
    ReplayError, Replayed, RequestId, Sequence,
};

use crate::api::receipt::until_closed;
use crate::api::runtime::{Inner, Runtime};
use crate::emitter::spec::Spec;
use crate::tree::Specs;
use crate::words::event::RuntimeEvent;

/// The receipt of an event that is delivered again to one emitter.
#[derive(Clone)]
pub struct ReplayReceipt {
    request_id: RequestId,
    sequence: Sequence,
    at: SettledBy,
}

impl ReplayReceipt {
    /// The id that the event is delivered under: the same as before.
    pub fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// Where it waits in the journal, behind all that waited for the emitter before it.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Waits until the emitter has settled it, and returns its fate; `None` when the runtime was
    /// shut down before that, or another owner has the emitter.
    pub async fn settled(&self) -> Option<Fate> {
        self.at.fate(self.sequence).await
    }
}

impl std::fmt::Debug for ReplayReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplayReceipt")
            .field("emitter", &self.at.emitter)
            .field("request_id", &self.request_id)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// The emitter that settles what is waited for.
#[derive(Clone)]
pub(crate) struct SettledBy {
    pub(crate) emitter: EmitterId,
    /// Weak: a receipt that is kept does not keep the runtime's store open.
    specs: Weak<Specs>,
    spec: Weak<Spec>,
    closed: Arc<tokio::sync::watch::Sender<bool>>,
}

impl std::fmt::Debug for SettledBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SettledBy").field("emitter", &self.emitter).finish_non_exhaustive()
    }
}

impl SettledBy {
    pub(crate) fn new(inner: &Inner, spec: &Arc<Spec>) -> Self {
        Self {
            emitter: spec.id.clone(),
            specs: Arc::downgrade(&inner.specs),
            spec: Arc::downgrade(spec),
            closed: Arc::clone(&inner.closed),
        }
    }

    /// Waits for an entry's fate.
    pub(crate) async fn fate(&self, sequence: Sequence) -> Option<Fate> {
        let Some(spec) = self.spec.upgrade() else {
            // Detached, unless the whole runtime is gone.
            return self.specs.upgrade().map(|_| Fate::Dropped);
        };
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            fate = spec.settlements.wait(|| spec.fate(sequence)) => fate,
            () = until_closed(&mut closed) => spec.fate(sequence).await.flatten(),
        }
    }
}

/// Hands events over to the journal to be delivered again. The journal wakes their emitter.
pub(crate) struct Requeue<'a> {
    inner: &'a Inner,
    pub(crate) spec: Arc<Spec>,
}

impl<'a> Requeue<'a> {
    pub(crate) fn new(inner: &'a Inner, emitter: &EmitterId) -> Result<Self, ReplayError> {
        if !inner.accepting.load(Ordering::Acquire) {
            return Err(ReplayError::ShutDown);
        }
        let spec = inner.specs.read().get(emitter).cloned();
        let spec = spec.ok_or_else(|| ReplayError::NoEmitter(emitter.to_string()))?;
        Ok(Self { inner, spec })
    }

    /// Has events delivered again, and says what became of each. Waits for room where there is
    /// none.
    pub(crate) async fn run(&self, mut events: Vec<Replay>) -> Result<Vec<Replayed>, ReplayError> {
        let mut done = Vec::with_capacity(events.len());
        while !events.is_empty() {
            if !self.inner.accepting.load(Ordering::Acquire) {
                return Err(ReplayError::ShutDown);
            }
            let replayed = match self.inner.journal.replay(&self.spec.id, events.clone()) {
                Answer::Now(Some(replayed)) => replayed,
                replaying => {
                    let mut closed = self.inner.closed.subscribe();
                    tokio::select! {
                        biased;
                        replayed = replaying => replayed,
                        // There will be no more room: nobody delivers any longer.
                        _ = closed.wait_for(|closed| *closed) => Err(ReplayError::ShutDown),
                    }
                }
            }?;
            events.drain(..replayed.len().clamp(1, events.len()));
            done.extend(replayed);
        }
        Ok(done)
    }
}

impl Runtime {
    /// Delivers an event again to one emitter: one that it gave up on, or any that the store still
    /// has, whether the emitter's subscription matches it or not. The event is queued behind all
    /// that waits for the emitter, in the same step in which its dead letter goes, and is delivered
    /// as any other is: under its old request id, with the same body, key and trace, and with as
    /// many attempts. A paused emitter delivers it when it runs again. Of several events with the
    /// same request id it is the newest.
    ///
    /// # Errors
    /// [`ReplayError`]; nothing was changed then. An event that waits for the emitter already is an
    /// error too.
    pub async fn replay(
        &self,
        emitter: impl AsRef<str>,
        request_id: impl AsRef<str>,
    ) -> Result<ReplayReceipt, ReplayError> {
        let (emitter, event) = (emitter.as_ref(), request_id.as_ref());
        let no_emitter = |_| ReplayError::NoEmitter(emitter.to_owned());
        let emitter = EmitterId::new(emitter).map_err(no_emitter)?;
        let requeue = Requeue::new(&self.inner, &emitter)?;
        let no_event =
            || ReplayError::NoEvent { emitter: emitter.clone(), event: event.to_owned() };
        let request_id = RequestId::new(event).map_err(|_| no_event())?;
        let replay = self.find(&emitter, &request_id).await?;
        let replay = replay.ok_or_else(no_event)?;
        match requeue.run(vec![replay]).await?.first() {
            Some(Replayed::Queued(sequence)) => {
                self.inner.tools.teller.tell(|| RuntimeEvent::Replaying {
                    emitter: emitter.clone(),
                    found: 1,
                    queued: 1,
                });
                let at = SettledBy::new(&self.inner, &requeue.spec);
                Ok(ReplayReceipt { request_id, sequence: *sequence, at })
            }
            Some(Replayed::Waits) => Err(ReplayError::Waits { emitter, event: request_id }),
            _ => Err(no_event()),
        }
    }
}

/// Puts a log's error in the words of a replay.
pub(crate) fn log_failed(error: LogError) -> ReplayError {
    JournalError::new(error.kind(), error.to_string()).into()
}

impl Runtime {
    /// The event of this id that the emitter gave up on last, or that the store has.
    async fn find(
        &self,
        emitter: &EmitterId,
        request_id: &RequestId,
    ) -> Result<Option<Replay>, ReplayError> {
        let query = DeadLetterQuery::new()
            .emitter_ids([emitter.clone()])
            .event_ids([request_id.clone()])
            .limit(1);
        let page = self.inner.letters.page(&query, None).await.map_err(log_failed)?;
        if let Some(letter) = page.items.into_iter().next() {
            if letter.code == AttemptCode::Damaged {
                let (emitter, event) = (letter.emitter, letter.event.request_id.clone());
                return Err(ReplayError::Damaged { emitter, event });
            }
            return Ok(Some(Replay::new(letter.event, letter.origin)));
        }
        let Some(events) = &self.inner.events else { return Ok(None) };
        let entry = events.entry(request_id).await.map_err(log_failed)?;
        Ok(entry.map(|entry| Replay::new(entry.event, entry.sequence)))
    }
}
