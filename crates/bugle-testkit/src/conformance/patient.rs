//! A caller's patience: a call that failed for a while is made again, as the error's kind says,
//! under the same id. So each check stands there without a word of failures, and a store that fails
//! passes it.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Answer, AppendError, Appended, Attempt, AttemptId, AttemptLog, AttemptLogPolicy, AttemptQuery,
    Backlog, Batch, DeadLetter, DeadLetterId, DeadLetterQuery, DeadLetters, EmitterId, EmitterSpec,
    EmitterSpecs, Entry, ErrorKind, Event, EventLog, EventQuery, Fate, Forgive, Journal,
    JournalError, JournalStats, LogError, LoggedEvent, NewAttempt, Page, PageCursor, Position,
    Positions, Reader, ReaderInfo, Replay, ReplayError, Replayed, RequestId, Sequence, Setback,
    Setbacks, Settlement, SourceId, SpecError, Store, StoreInfo, Subscription,
};
use jiff::Timestamp;

/// The time before a call is made again.
const PAUSE: Duration = Duration::from_millis(1);

/// Asks a store as often as it takes.
pub(super) fn ask(store: Arc<dyn Store>) -> Arc<dyn Store> {
    Arc::new(Patient(store))
}

/// An error that says of which kind it is.
trait Kind {
    fn kind(&self) -> ErrorKind;
}

macro_rules! kinds {
    ($($error:ty)*) => {
        $(impl Kind for $error {
            fn kind(&self) -> ErrorKind {
                <$error>::kind(self)
            }
        })*
    };
}

kinds! { AppendError LogError ReplayError SpecError }

impl Kind for JournalError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

fn may_work<T, E: Kind>(answer: &Result<T, E>) -> bool {
    let kind = answer.as_ref().err().map(Kind::kind);
    matches!(kind, Some(ErrorKind::Transient | ErrorKind::Unavailable))
}

/// Asks again while it may work, with a pause between.
fn patiently<'a, T, E>(
    first: Answer<'a, Result<T, E>>,
    again: impl Fn() -> Answer<'a, Result<T, E>> + Send + Sync + 'a,
) -> Answer<'a, Result<T, E>>
where
    T: Unpin + Send + 'a,
    E: Kind + Unpin + Send + 'a,
{
    match first {
        Answer::Now(Some(answer)) if !may_work(&answer) => Answer::now(answer),
        first => Answer::later(async move {
            let mut answer = first.await;
            while may_work(&answer) {
                drop(answer);
                tokio::time::sleep(PAUSE).await;
                answer = again().await;
            }
            answer
        }),
    }
}

#[derive(Debug)]
struct Patient<T: ?Sized>(Arc<T>);

impl Store for Patient<dyn Store> {
    fn info(&self) -> StoreInfo {
        self.0.info()
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(Patient(self.0.journal()))
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(Patient(self.0.dead_letters()))
    }

    fn positions(&self) -> Arc<dyn Positions> {
        Arc::new(Patient(self.0.positions()))
    }

    fn attempts(&self) -> Arc<dyn AttemptLog> {
        Arc::new(Patient(self.0.attempts()))
    }

    fn events(&self) -> Option<Arc<dyn EventLog>> {
        Some(Arc::new(Patient(self.0.events()?)))
    }

    fn specs(&self) -> Option<Arc<dyn EmitterSpecs>> {
        Some(Arc::new(Patient(self.0.specs()?)))
    }

    fn stats(&self) -> JournalStats {
        self.0.stats()
    }

    fn trouble(&self) -> Option<JournalError> {
        self.0.trouble()
    }
}

type Opening = Answer<'static, Result<Arc<dyn Reader>, JournalError>>;

/// A reader that is opened, however often that takes, is asked patiently too.
fn opened(opening: Opening) -> Opening {
    let patient = |reader| Arc::new(Patient(reader)) as Arc<dyn Reader>;
    match opening {
        Answer::Now(answer) => Answer::Now(answer.map(|answer| answer.map(patient))),
        later => Answer::later(async move { later.await.map(patient) }),
    }
}

impl Journal for Patient<dyn Journal> {
    fn append(&self, event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>> {
        patiently(self.0.append(Arc::clone(&event)), move || self.0.append(Arc::clone(&event)))
    }

    fn append_all(&self, batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>> {
        patiently(self.0.append_all(batch.clone()), move || self.0.append_all(batch.clone()))
    }

    fn reader(&self, emitter: &EmitterId, subscription: &Subscription) -> Opening {
        let (journal, emitter, wanted) =
            (Arc::clone(&self.0), emitter.clone(), subscription.clone());
        let first = journal.reader(&emitter, &wanted);
        opened(patiently(first, move || journal.reader(&emitter, &wanted)))
    }

    fn reader_if_free(&self, emitter: &EmitterId, subscription: &Subscription) -> Opening {
        let (journal, emitter, wanted) =
            (Arc::clone(&self.0), emitter.clone(), subscription.clone());
        let first = journal.reader_if_free(&emitter, &wanted);
        opened(patiently(first, move || journal.reader_if_free(&emitter, &wanted)))
    }

    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        let (journal, emitter) = (Arc::clone(&self.0), emitter.clone());
        patiently(journal.forget(&emitter), move || journal.forget(&emitter))
    }

    fn replay(
        &self,
        emitter: &EmitterId,
        events: Vec<Replay>,
    ) -> Answer<'_, Result<Vec<Replayed>, ReplayError>> {
        let emitter = emitter.clone();
        let first = self.0.replay(&emitter, events.clone());
        patiently(first, move || self.0.replay(&emitter, events.clone()))
    }

    fn appended(&self) -> Appended {
        self.0.appended()
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        patiently(self.0.flush(), || self.0.flush())
    }
}

impl Reader for Patient<dyn Reader> {
    fn read(&self, after: Sequence, limit: usize) -> Answer<'_, Result<Vec<Entry>, JournalError>> {
        patiently(self.0.read(after, limit), move || self.0.read(after, limit))
    }

    fn settle(
        &self,
        sequence: Sequence,
        settlement: Settlement,
    ) -> Answer<'static, Result<(), JournalError>> {
        let reader = Arc::clone(&self.0);
        let first = reader.settle(sequence, settlement.clone());
        patiently(first, move || reader.settle(sequence, settlement.clone()))
    }

    fn set_back(
        &self,
        setback: &Setback,
        at: Timestamp,
    ) -> Answer<'static, Result<(), JournalError>> {
        let (reader, setback) = (Arc::clone(&self.0), *setback);
        patiently(reader.set_back(&setback, at), move || reader.set_back(&setback, at))
    }

    fn setbacks(&self, now: Timestamp) -> Setbacks {
        self.0.setbacks(now)
    }

    fn forgive(&self, what: Forgive) -> Answer<'static, Result<(), JournalError>> {
        let reader = Arc::clone(&self.0);
        patiently(reader.forgive(what), move || reader.forgive(what))
    }

    fn info(&self) -> ReaderInfo {
        self.0.info()
    }

    fn fate(&self, sequence: Sequence) -> Answer<'_, Result<Option<Fate>, JournalError>> {
        patiently(self.0.fate(sequence), move || self.0.fate(sequence))
    }

    fn pause(&self, backlog: Backlog) -> Answer<'static, Result<(), JournalError>> {
        let reader = Arc::clone(&self.0);
        patiently(reader.pause(backlog), move || reader.pause(backlog))
    }

    fn resume(&self) -> Answer<'static, Result<(), JournalError>> {
        let reader = Arc::clone(&self.0);
        patiently(reader.resume(), move || reader.resume())
    }
}

impl DeadLetters for Patient<dyn DeadLetters> {
    fn get(&self, id: DeadLetterId) -> Answer<'_, Result<Option<DeadLetter>, LogError>> {
        patiently(self.0.get(id), move || self.0.get(id))
    }

    fn page(
        &self,
        query: &DeadLetterQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<DeadLetter>, LogError>> {
        let query = query.clone();
        let first = self.0.page(&query, cursor.clone());
        patiently(first, move || self.0.page(&query, cursor.clone()))
    }

    fn count(&self, query: &DeadLetterQuery) -> Answer<'_, Result<u64, JournalError>> {
        let query = query.clone();
        patiently(self.0.count(&query), move || self.0.count(&query))
    }

    fn after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        let (emitter, query) = (emitter.clone(), query.clone());
        let first = self.0.after(&emitter, origin, &query);
        patiently(first, move || self.0.after(&emitter, origin, &query))
    }

    fn discard(&self, ids: Vec<DeadLetterId>) -> Answer<'_, Result<u64, JournalError>> {
        patiently(self.0.discard(ids.clone()), move || self.0.discard(ids.clone()))
    }
}

impl Positions for Patient<dyn Positions> {
    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>> {
        let source = source.clone();
        patiently(self.0.position(&source), move || self.0.position(&source))
    }
}

impl AttemptLog for Patient<dyn AttemptLog> {
    fn policy(&self) -> AttemptLogPolicy {
        self.0.policy()
    }

    fn record(&self, attempt: NewAttempt) {
        self.0.record(attempt);
    }

    fn lost(&self) -> u64 {
        self.0.lost()
    }

    fn get(&self, id: AttemptId) -> Answer<'_, Result<Option<Attempt>, LogError>> {
        patiently(self.0.get(id), move || self.0.get(id))
    }

    fn page(
        &self,
        query: &AttemptQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<Attempt>, LogError>> {
        let query = query.clone();
        let first = self.0.page(&query, cursor.clone());
        patiently(first, move || self.0.page(&query, cursor.clone()))
    }
}

impl EventLog for Patient<dyn EventLog> {
    fn get(&self, id: &RequestId) -> Answer<'_, Result<Option<LoggedEvent>, LogError>> {
        let id = id.clone();
        patiently(self.0.get(&id), move || self.0.get(&id))
    }

    fn page(
        &self,
        query: &EventQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<LoggedEvent>, LogError>> {
        let query = query.clone();
        let first = self.0.page(&query, cursor.clone());
        patiently(first, move || self.0.page(&query, cursor.clone()))
    }

    fn entry(&self, id: &RequestId) -> Answer<'_, Result<Option<Entry>, LogError>> {
        let id = id.clone();
        patiently(self.0.entry(&id), move || self.0.entry(&id))
    }

    fn entries_after(
        &self,
        after: Sequence,
        query: &EventQuery,
    ) -> Answer<'_, Result<Vec<Entry>, LogError>> {
        let query = query.clone();
        let first = self.0.entries_after(after, &query);
        patiently(first, move || self.0.entries_after(after, &query))
    }

    fn mark_delivered(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        let id = id.clone();
        patiently(self.0.mark_delivered(&id), move || self.0.mark_delivered(&id))
    }

    fn delete(&self, id: &RequestId) -> Answer<'_, Result<bool, LogError>> {
        let id = id.clone();
        patiently(self.0.delete(&id), move || self.0.delete(&id))
    }
}

impl EmitterSpecs for Patient<dyn EmitterSpecs> {
    fn all(&self) -> Answer<'static, Result<Vec<EmitterSpec>, SpecError>> {
        let specs = Arc::clone(&self.0);
        patiently(specs.all(), move || specs.all())
    }

    fn put(&self, spec: EmitterSpec) -> Answer<'static, Result<(), JournalError>> {
        let specs = Arc::clone(&self.0);
        patiently(specs.put(spec.clone()), move || specs.put(spec.clone()))
    }

    fn remove(&self, id: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        let (specs, id) = (Arc::clone(&self.0), id.clone());
        patiently(specs.remove(&id), move || specs.remove(&id))
    }
}
