//! The other ports, elsewhere.

use std::sync::Arc;

use bugle_core::{
    Answer, Attempt, AttemptId, AttemptLog, AttemptLogPolicy, AttemptQuery, DeadLetter,
    DeadLetterId, DeadLetterQuery, DeadLetters, EmitterId, EmitterSpec, EmitterSpecs, Entry,
    EventLog, EventQuery, JournalError, LogError, LoggedEvent, NewAttempt, Page, PageCursor,
    Position, Positions, RequestId, Sequence, SourceId, SpecError,
};

use super::line::Line;
use super::numbers::{entry_out, inner, letter_out, row_out};

#[derive(Debug)]
pub(super) struct RemoteLetters {
    line: Arc<Line>,
    letters: Arc<dyn DeadLetters>,
}

impl RemoteLetters {
    pub(super) fn new(line: &Arc<Line>) -> Self {
        Self { line: Arc::clone(line), letters: line.store.dead_letters() }
    }
}

impl DeadLetters for RemoteLetters {
    fn get(&self, id: DeadLetterId) -> Answer<'_, Result<Option<DeadLetter>, LogError>> {
        Answer::later(async move {
            let found = self.line.ask(async { self.letters.get(id).await }).await?;
            Ok(found.map(letter_out))
        })
    }

    fn page(
        &self,
        query: &DeadLetterQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<DeadLetter>, LogError>> {
        let query = query.clone();
        Answer::later(async move {
            let page = self.line.ask(async { self.letters.page(&query, cursor).await }).await?;
            let items = page.items.into_iter().map(letter_out).collect();
            Ok(Page::new(items, page.cursor))
        })
    }

    fn count(&self, query: &DeadLetterQuery) -> Answer<'_, Result<u64, JournalError>> {
        let query = query.clone();
        Answer::later(
            async move { self.line.ask(async { self.letters.count(&query).await }).await },
        )
    }

    fn after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        let (emitter, query) = (emitter.clone(), query.clone());
        Answer::later(async move {
            let after = async { self.letters.after(&emitter, inner(origin), &query).await };
            let found = self.line.ask(after).await?;
            Ok(found.into_iter().map(letter_out).collect())
        })
    }

    fn discard(&self, ids: Vec<DeadLetterId>) -> Answer<'_, Result<u64, JournalError>> {
        Answer::later(async move { self.line.ask(async { self.letters.discard(ids).await }).await })
    }
}

#[derive(Debug)]
pub(super) struct RemotePositions {
    line: Arc<Line>,
    positions: Arc<dyn Positions>,
}

impl RemotePositions {
    pub(super) fn new(line: &Arc<Line>) -> Self {
        Self { line: Arc::clone(line), positions: line.store.positions() }
    }
}

impl Positions for RemotePositions {
    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>> {
        let source = source.clone();
        Answer::later(async move {
            self.line.ask(async { self.positions.position(&source).await }).await
        })
    }
}

#[derive(Debug)]
pub(super) struct RemoteAttempts {
    line: Arc<Line>,
    log: Arc<dyn AttemptLog>,
}

impl RemoteAttempts {
    pub(super) fn new(line: &Arc<Line>) -> Self {
        Self { line: Arc::clone(line), log: line.store.attempts() }
    }
}

impl AttemptLog for RemoteAttempts {
    fn policy(&self) -> AttemptLogPolicy {
        self.log.policy()
    }

    fn record(&self, attempt: NewAttempt) {
        let log = Arc::clone(&self.log);
        // Nobody waits for it.
        drop(self.line.hand_over(move || {
            log.record(attempt);
            Answer::now(Ok(()))
        }));
    }

    fn lost(&self) -> u64 {
        self.log.lost()
    }

    fn get(&self, id: AttemptId) -> Answer<'_, Result<Option<Attempt>, LogError>> {
        Answer::later(async move { self.line.ask(async { self.log.get(id).await }).await })
    }

    fn page(
        &self,
        query: &AttemptQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<Attempt>, LogError>> {
        let query = query.clone();
        Answer::later(
            async move { self.line.ask(async { self.log.page(&query, cursor).await }).await },
        )
    }
}

#[derive(Debug)]
pub(super) struct RemoteEvents {
    line: Arc<Line>,
    log: Arc<dyn EventLog>,
}

impl RemoteEvents {
    pub(super) fn new(line: &Arc<Line>) -> Option<Self> {
        Some(Self { line: Arc::clone(line), log: line.store.events()? })
    }
}

impl EventLog for RemoteEvents {
    fn get(&self, id: &RequestId) -> Answer<'_, Result<Option<LoggedEvent>, LogError>> {
        let id = id.clone();
        Answer::later(async move {
            let found = self.line.ask(async { self.log.get(&id).await }).await?;
            Ok(found.map(row_out))
        })
    }

    fn page(
        &self,
        query: &EventQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<LoggedEvent>, LogError>> {
        let query = query.clone();
        Answer::later(async move {
            let page = self.line.ask(async { self.log.page(&query, cursor).await }).await?;
            Ok(Page::new(page.items.into_iter().map(row_out).collect(), page.cursor))
        })
    }

    fn entry(&self, id: &RequestId) -> Answer<'_, Result<Option<Entry>, LogError>> {
        let id = id.clone();
        Answer::later(async move {
            let found = self.line.ask(async { self.log.entry(&id).await }).await?;
            Ok(found.map(entry_out))
        })
    }

    fn entries_after(
        &self,
        after: Sequence,
        query: &EventQuery,
    ) -> Answer<'_, Result<Vec<Entry>, LogError>> {
        let query = query.clone();
        Answer::later(async move {
            let after = async { self.log.entries_after(inner(after), &query).await };
            let found = self.line.ask(after).await?;
            Ok(found.into_iter().map(entry_out).collect())
        })
    }

    fn mark_delivered(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        let id = id.clone();
        Answer::later(
            async move { self.line.ask(async { self.log.mark_delivered(&id).await }).await },
        )
    }

    fn delete(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        let id = id.clone();
        Answer::later(async move { self.line.ask(async { self.log.delete(&id).await }).await })
    }
}

#[derive(Debug)]
pub(super) struct RemoteSpecs {
    line: Arc<Line>,
    specs: Arc<dyn EmitterSpecs>,
}

impl RemoteSpecs {
    pub(super) fn new(line: &Arc<Line>) -> Option<Self> {
        Some(Self { line: Arc::clone(line), specs: line.store.specs()? })
    }
}

impl EmitterSpecs for RemoteSpecs {
    fn all(&self) -> Answer<'static, Result<Vec<EmitterSpec>, SpecError>> {
        let (line, specs) = (Arc::clone(&self.line), Arc::clone(&self.specs));
        Answer::later(async move { line.ask(async { specs.all().await }).await })
    }

    fn put(&self, spec: EmitterSpec) -> Answer<'static, Result<(), JournalError>> {
        let specs = Arc::clone(&self.specs);
        self.line.hand_over(move || specs.put(spec))
    }

    fn remove(&self, id: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        let (specs, id) = (Arc::clone(&self.specs), id.clone());
        self.line.hand_over(move || specs.remove(&id))
    }
}
