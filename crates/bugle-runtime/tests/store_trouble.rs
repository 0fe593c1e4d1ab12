//! A store that can't do its part for a while: that is no emitter's fault, and costs none its life.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bugle_core::{
    Answer, AppendError, Appended, AttemptLog, Backlog, Batch, DeadLetters, EmitterConfig,
    EmitterId, EmitterSpecs, Entry, ErrorKind, Event, EventLog, Fate, Forgive, Journal,
    JournalError, JournalStats, Order, Positions, Reader, ReaderInfo, Replay, ReplayError,
    Replayed, Sequence, Setback, Setbacks, Settlement, Store as Ports, StoreInfo, Subscription,
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
    Err(JournalError::new(ErrorKind::Unavailable, "the store can't be reached"))
}

/// A store whose readers fail on request, and lose nothing.
#[derive(Debug)]
struct FaultyStore {
    store: Store,
    faults: Arc<Faults>,
}

impl Ports for FaultyStore {
    fn info(&self) -> StoreInfo {
        self.store.info()
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(Faulty { journal: self.store.journal(), faults: Arc::clone(&self.faults) })
    }

    fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        self.store.dead_letters()
    }

    fn positions(&self) -> Arc<dyn Positions> {
        self.store.positions()
    }

    fn attempts(&self) -> Arc<dyn AttemptLog> {
        self.store.attempts()
    }

    fn events(&self) -> Option<Arc<dyn EventLog>> {
        self.store.events()
    }

    fn specs(&self) -> Option<Arc<dyn EmitterSpecs>> {
        self.store.specs()
    }

    fn stats(&self) -> JournalStats {
        self.store.stats()
    }
}

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

    fn replay(
        &self,
        emitter: &EmitterId,
        events: Vec<Replay>,
    ) -> Answer<'_, Result<Vec<Replayed>, ReplayError>> {
        self.journal.replay(emitter, events)
    }

    fn appended(&self) -> Appended {
        self.journal.appended()
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

    fn forgive(&self, what: Forgive) -> Answer<'static, Result<(), JournalError>> {
        self.reader.forgive(what)
    }

    fn info(&self) -> ReaderInfo {
        self.reader.info()
    }

    fn fate(&self, sequence: Sequence) -> Answer<'_, Result<Option<Fate>, JournalError>> {
        self.reader.fate(sequence)
    }

    fn pause(&self, backlog: Backlog) -> Answer<'static, Result<(), JournalError>> {
        self.reader.pause(backlog)
    }

    fn resume(&self) -> Answer<'static, Result<(), JournalError>> {
        self.reader.resume()
    }
}

async fn runtime() -> (Runtime, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let store = FaultyStore { store: Store::memory(), faults: Arc::clone(&faults) };
    let builder = RuntimeBuilder::new(Store::of(store), Arc::new(Takes));
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
