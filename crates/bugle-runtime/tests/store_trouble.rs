//! A store that can't do its part for a while: that is no emitter's fault, and costs none its life.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bugle_core::{
    Answer, AppendError, Backlog, Batch, DeadLetter, DeadLetterId, DeadLetterQuery, EmitterConfig,
    EmitterId, Entry, Event, Fate, Forgive, Journal, JournalError, JournalStats, LogError,
    OnExpired, Order, Page, PageCursor, Position, Reader, Replay, ReplayError, Replayed, Sequence,
    Setback, Setbacks, Settlement, SourceId, Subscription,
};
use bugle_runtime::{Runtime, RuntimeBuilder, RuntimeEvent, Status, WaitKind};
use bugle_store::Store;
use common::{Takes, config, emit, until, wait};
use jiff::Timestamp;

/// Which operations of its readers fail now.
#[derive(Debug, Default)]
struct Faults {
    read: AtomicBool,
    settle: AtomicBool,
}

impl Faults {
    fn set(&self, read: bool, settle: bool) {
        self.read.store(read, Ordering::SeqCst);
        self.settle.store(settle, Ordering::SeqCst);
    }
}

fn failed<T>() -> Result<T, JournalError> {
    Err(JournalError::new("the store can't be reached"))
}

/// A journal whose readers fail on request, and lose nothing.
#[derive(Debug)]
struct Faulty {
    journal: Arc<dyn Journal>,
    faults: Arc<Faults>,
}

#[derive(Debug)]
struct FaultyReader {
    reader: Arc<dyn Reader>,
    faults: Arc<Faults>,
}

impl Journal for Faulty {
    fn append(&self, event: Arc<Event>) -> Answer<'_, Result<Sequence, AppendError>> {
        self.journal.append(event)
    }

    fn append_all(&self, batch: Batch) -> Answer<'_, Result<Vec<Sequence>, AppendError>> {
        self.journal.append_all(batch)
    }

    fn position(&self, source: &SourceId) -> Answer<'_, Result<Option<Position>, JournalError>> {
        self.journal.position(source)
    }

    fn reader(
        &self,
        emitter: &EmitterId,
        subscription: &Subscription,
    ) -> Answer<'static, Result<Arc<dyn Reader>, JournalError>> {
        let (opening, faults) =
            (self.journal.reader(emitter, subscription), Arc::clone(&self.faults));
        Answer::later(async move {
            let reader = opening.await?;
            Ok(Arc::new(FaultyReader { reader, faults }) as Arc<dyn Reader>)
        })
    }

    fn forget(&self, emitter: &EmitterId) -> Answer<'static, Result<(), JournalError>> {
        self.journal.forget(emitter)
    }

    fn on_expired(&self, told: OnExpired) {
        self.journal.on_expired(told);
    }

    fn default_backlog(&self) -> Backlog {
        self.journal.default_backlog()
    }

    fn dead_letters(
        &self,
        query: &DeadLetterQuery,
        cursor: Option<PageCursor>,
    ) -> Answer<'_, Result<Page<DeadLetter>, LogError>> {
        self.journal.dead_letters(query, cursor)
    }

    fn count_dead_letters(&self, query: &DeadLetterQuery) -> Answer<'_, Result<u64, JournalError>> {
        self.journal.count_dead_letters(query)
    }

    fn dead_letters_after(
        &self,
        emitter: &EmitterId,
        origin: Sequence,
        query: &DeadLetterQuery,
    ) -> Answer<'_, Result<Vec<DeadLetter>, JournalError>> {
        self.journal.dead_letters_after(emitter, origin, query)
    }

    fn discard_dead_letters(
        &self,
        ids: Vec<DeadLetterId>,
    ) -> Answer<'_, Result<u64, JournalError>> {
        self.journal.discard_dead_letters(ids)
    }

    fn replay(
        &self,
        emitter: &EmitterId,
        events: Vec<Replay>,
    ) -> Answer<'_, Result<Vec<Replayed>, ReplayError>> {
        self.journal.replay(emitter, events)
    }

    fn stats(&self) -> JournalStats {
        self.journal.stats()
    }

    fn flush(&self) -> Answer<'_, Result<(), JournalError>> {
        self.journal.flush()
    }
}

impl Reader for FaultyReader {
    fn read(&self, after: Sequence, limit: usize) -> Answer<'_, Result<Vec<Entry>, JournalError>> {
        if self.faults.read.load(Ordering::SeqCst) {
            return Answer::now(failed());
        }
        self.reader.read(after, limit)
    }

    fn settle(
        &self,
        sequence: Sequence,
        settlement: Settlement,
    ) -> Answer<'static, Result<(), JournalError>> {
        // As a store does: it has it in hand, and says that it is not safe yet.
        let settled = self.reader.settle(sequence, settlement);
        if self.faults.settle.load(Ordering::SeqCst) {
            return Answer::now(failed());
        }
        settled
    }

    fn set_back(
        &self,
        setback: &Setback,
        at: Timestamp,
    ) -> Answer<'static, Result<(), JournalError>> {
        self.reader.set_back(setback, at)
    }

    fn setbacks(&self, now: Timestamp) -> Setbacks {
        self.reader.setbacks(now)
    }

    fn forgive(&self, what: Forgive) {
        self.reader.forgive(what);
    }

    fn dead_letters(&self) -> u64 {
        self.reader.dead_letters()
    }

    fn since(&self) -> Sequence {
        self.reader.since()
    }

    fn cursor(&self) -> Sequence {
        self.reader.cursor()
    }

    fn depth(&self) -> u64 {
        self.reader.depth()
    }

    fn dropped(&self) -> u64 {
        self.reader.dropped()
    }

    fn taken(&self) -> u64 {
        self.reader.taken()
    }

    fn fate(&self, sequence: Sequence) -> Option<Fate> {
        self.reader.fate(sequence)
    }

    fn pause(&self, backlog: Backlog) {
        self.reader.pause(backlog);
    }

    fn resume(&self) {
        self.reader.resume();
    }
}

async fn runtime() -> (Runtime, Arc<Faults>) {
    let store = Store::memory();
    let faults = Arc::new(Faults::default());
    let journal = Arc::new(Faulty { journal: store.journal(), faults: Arc::clone(&faults) });
    let builder = RuntimeBuilder::new(journal, store.attempts(), store.events(), Arc::new(Takes));
    (builder.start().await.unwrap(), faults)
}

fn orders() -> [EmitterConfig; 2] {
    [config(), config().order(Order::Unordered { window: 16 })]
}

#[tokio::test(start_paused = true)]
async fn an_emitter_outlives_a_store_that_cannot_be_read_and_says_what_it_waits_for() {
    for (outage, config) in [100, 5_000, 600_000]
        .into_iter()
        .flat_map(|outage| orders().map(|config| (Duration::from_millis(outage), config)))
    {
        let (runtime, faults) = runtime().await;
        runtime.attach("billing", "a", config).await.unwrap();
        let mut watch = runtime.watch();
        faults.set(true, false);
        for id in 1..=20 {
            emit(&runtime, "a", &id.to_string()).await;
        }
        wait(&mut watch, |event| matches!(event, RuntimeEvent::StoreUnavailable { .. })).await;
        let waits = runtime.describe("billing").unwrap();
        assert_eq!(waits.waiting_for.unwrap().kind, WaitKind::Store);
        tokio::time::sleep(outage).await;
        faults.set(false, false);
        wait(&mut watch, |event| matches!(event, RuntimeEvent::StoreAvailable { .. })).await;
        until(&mut watch, || runtime.describe("billing").unwrap().depth == 0).await;
        let after = runtime.describe("billing").unwrap();
        assert_eq!((after.status, after.restarts_since_start), (Status::Running, 0));
        assert_eq!((after.delivered_since_start, after.dead_letters), (20, 0));
        assert!(after.waiting_for.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_emitter_outlives_a_store_that_cannot_be_written() {
    for config in orders() {
        let (runtime, faults) = runtime().await;
        runtime.attach("billing", "a", config).await.unwrap();
        let mut watch = runtime.watch();
        faults.set(false, true);
        for id in 1..=20 {
            emit(&runtime, "a", &id.to_string()).await;
        }
        wait(&mut watch, |event| matches!(event, RuntimeEvent::StoreUnavailable { .. })).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        faults.set(false, false);
        until(&mut watch, || runtime.describe("billing").unwrap().depth == 0).await;
        let after = runtime.describe("billing").unwrap();
        assert_eq!((after.status, after.restarts_since_start), (Status::Running, 0));
        assert_eq!((after.delivered_since_start, after.dead_letters), (20, 0));
    }
}
