//! The port `Journal`, in memory.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    Answer, AppendError, Appended, Batch, DeadLetter, DeadLetterId, DeadLetterQuery, DeadLetters,
    EmitterId, Event, Journal, JournalError, LogError, Page, PageCursor, Position, Positions,
    Reader, Replay, ReplayError, Replayed, Sequence, SourceId, Subscription,
};
use parking_lot::Mutex;

use super::dead_letters::LetterMap;
use super::options::MemoryOptions;
use super::reader::MemoryReader;
use crate::backlog::{Backlog, HistoryLimits, Kept, Limits, NoRoom, Opened, State};

/// The journal in memory: safe as long as the process lives. All it does, it does at once; only an
/// append that waits for room answers later.
#[derive(Debug, Clone)]
pub(super) struct MemoryJournal {
    shared: Arc<Shared>,
}

/// What the ports and the readers share.
pub(super) struct Shared {
    pub(super) backlog: Backlog,
    /// Locked after the backlog, where both are.
    pub(super) dead_letters: Mutex<LetterMap>,
}

impl Shared {
    pub(super) fn new(options: &MemoryOptions) -> Self {
        Self {
            backlog: Backlog::new(Limits {
                max_events: options.max_events_per_subscription,
                max_bytes: options.max_bytes,
                overflow: options.overflow,
                max_cached: u64::MAX,
                history: HistoryLimits {
                    events: options.settled_events,
                    bytes: options.settled_bytes,
                },
            }),
            dead_letters: Mutex::new(LetterMap::new(
                options.dead_letters,
                options.dead_letter_bytes,
            )),
        }
    }
}

impl MemoryJournal {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn reader_of(&self, emitter: &EmitterId, opened: Opened) -> Arc<dyn Reader> {
        Arc::new(MemoryReader::new(Arc::clone(&self.shared), emitter.clone(), opened))
    }
}

impl Shared {
    /// Has as many of these events delivered again as there is room for.
    fn replay(
        &self,
        state: &mut State,
        at: &Opened,
        emitter: &EmitterId,
        events: &[Replay],
    ) -> Result<Vec<Replayed>, NoRoom> {
        let mut letters = self.dead_letters.lock();
        let mut replayed = Vec::with_capacity(events.len());
        for replay in events {
            let is_dead = |origin| letters.contains(emitter, origin);
            let reserved = match state.reserve_replay(at, replay, is_dead) {
                Ok(reserved) => reserved,
                Err(limit) if replayed.is_empty() => return Err(limit.into()),
                Err(_) => break,
            };
            replayed.push(match reserved {
                Ok(reserved) => {
                    letters.take(emitter, replay.origin);
                    let kept = Kept::Here(Arc::clone(&replay.event));
                    Replayed::Queued(state.publish_replay(emitter, at, &reserved, kept))
                }
                Err(why) => why,
            });
        }
        Ok(replayed)
    }
}

impl Journal for MemoryJournal {
    fn append(&self, event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>> {
        let payload = event.payload.len() as u64;
        self.shared.backlog.when_there_is_room(payload, move |state| state.append(&event))
    }

    fn append_all(&self, batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>> {
        let largest = batch.events.iter().map(|it| it.payload.len() as u64).max().unwrap_or(0);
        self.shared.backlog.when_there_is_room(largest, move |state| state.append_all(&batch))
    }

    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        let opened = self.shared.backlog.open(emitter, subscription);
        Answer::now(Ok(self.reader_of(emitter, opened)))
    }

    fn reader_if_free(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        let opened = self.shared.backlog.open_if_free(emitter, subscription);
        Answer::now(opened.map(|opened| self.reader_of(emitter, opened)))
    }

    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        self.shared.backlog.with(|state| state.forget(emitter));
        Answer::now(Ok(()))
    }

    fn replay(
        &self,
        emitter: &EmitterId,
        events: Vec<Replay>,
    ) -> Answer<'_, Result<Vec<Replayed>, ReplayError>> {
        let emitter = emitter.clone();
        let step = move |state: &mut State| match state.replays_to(&emitter) {
            Ok(at) => self.shared.replay(state, &at, &emitter, &events).map(Ok),
            Err(error) => Ok(Err(error)),
        };
        match self.shared.backlog.when_there_is_room(0, step) {
            Answer::Now(Some(answer)) => Answer::now(answer.unwrap_or_else(|e| Err(e.into()))),
            waiting => Answer::later(async move { waiting.await? }),
        }
    }

    fn appended(&self) -> Appended {
        self.shared.backlog.appended()
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        Answer::now(Ok(()))
    }
}

impl Positions for Shared {
    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>> {
        Answer::now(Ok(self.backlog.with(|state| state.positions.get(source))))
    }
}

impl DeadLetters for Shared {
    fn get(&self, id: DeadLetterId) -> Answer<'_, Result<Option<DeadLetter>, LogError>> {
        Answer::now(Ok(self.dead_letters.lock().get(id).cloned()))
    }

    fn page(
        &self,
        query: &DeadLetterQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<DeadLetter>, LogError>> {
        let limit = query.page_limit();
        Answer::now(limit.map(|limit| self.dead_letters.lock().page(query, limit, cursor)))
    }

    fn count(&self, query: &DeadLetterQuery) -> Answer<'_, Result<u64, JournalError>> {
        Answer::now(Ok(self.dead_letters.lock().count(query)))
    }

    fn after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        Answer::now(Ok(self.dead_letters.lock().after(emitter, origin, query)))
    }

    fn discard(&self, ids: Vec<DeadLetterId>) -> Answer<'_, Result<u64, JournalError>> {
        let mut letters = self.dead_letters.lock();
        Answer::now(Ok(ids.into_iter().filter(|id| letters.remove(*id)).count() as u64))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("stats", &self.backlog.stats()).finish_non_exhaustive()
    }
}
