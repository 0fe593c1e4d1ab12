//! It does as the memory store does, whenever it is closed and opened again in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use bugle_core::{
    AttemptCode, Backlog, Batch, DeadLetter, DeadLetterQuery, Reader, Replay, ReplayError,
    Replayed, Sequence, Settlement, SourceId, SourcePosition, Subscription,
};
use bugle_store::{Durability, SqliteOptions, Store};
use bugle_testkit::conformance::run;
use jiff::Timestamp;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{event, id};

const NAMES: [&str; 4] = ["a", "b", "c.d", "c.e"];
const SUBSCRIPTIONS: [&[&str]; 5] = [&["a"], &["b", "a"], &["c.*"], &[">"], &["a", "c.d", "c.*"]];

#[derive(Debug, Clone)]
enum Op {
    Append(usize),
    /// Appends several at once, and says how far their source was read.
    AppendAll(Vec<usize>, u32),
    /// Settles the entry that is so far from the emitter's first one.
    Settle(usize, usize, bool),
    Pause(usize, bool),
    Resume(usize),
    Forget(usize),
    Open(usize, usize),
    /// Delivers again what an emitter gave up on: so many, from the nth on.
    Replay(usize, usize, usize),
    /// Deletes the nth dead letter.
    Discard(usize),
    Reopen,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let emitter = 0..4_usize;
    let op = prop_oneof![
        12 => (0..NAMES.len()).prop_map(Op::Append),
        // Without events a batch takes a number on disk, and in memory none.
        3 => (prop::collection::vec(0..NAMES.len(), 1..5), 0..9_u32)
            .prop_map(|(names, position)| Op::AppendAll(names, position)),
        8 => (emitter.clone(), 0..5_usize, any::<bool>())
            .prop_map(|(emitter, nth, dead)| Op::Settle(emitter, nth, dead)),
        1 => (emitter.clone(), any::<bool>()).prop_map(|(emitter, keep)| Op::Pause(emitter, keep)),
        1 => emitter.clone().prop_map(Op::Resume),
        1 => emitter.clone().prop_map(Op::Forget),
        2 => (emitter.clone(), 0..SUBSCRIPTIONS.len())
            .prop_map(|(emitter, subscription)| Op::Open(emitter, subscription)),
        5 => (emitter, 0..3_usize, 1..4_usize)
            .prop_map(|(emitter, nth, count)| Op::Replay(emitter, nth, count)),
        1 => (0..3_usize).prop_map(Op::Discard),
        3 => Just(Op::Reopen),
    ];
    prop::collection::vec(op, 1..80)
}

/// A store, and the readers that are open in it.
struct Side {
    store: Store,
    readers: BTreeMap<usize, Arc<dyn Reader>>,
}

fn options() -> SqliteOptions {
    SqliteOptions::new().durability(Durability::Os).cached_bytes(400).settled_events(0)
}

impl Side {
    async fn open(&mut self, emitter: usize, subscription: usize) {
        let subscription = Subscription::new(SUBSCRIPTIONS[subscription]).unwrap();
        let reader = self.store.journal().reader(&id(&format!("e{emitter}")), &subscription);
        self.readers.insert(emitter, reader.await.unwrap());
    }

    /// What an emitter can read, and how much waits.
    async fn state(&self, emitter: usize) -> (Vec<(Sequence, String)>, u64) {
        let Some(reader) = self.readers.get(&emitter) else { return (Vec::new(), 0) };
        let entries = reader.read(Sequence::START, 1_000).await.unwrap();
        if let Some(first) = entries.first() {
            assert!(reader.info().cursor < first.sequence);
        }
        let entries = entries.iter().map(|it| (it.sequence, it.event.request_id.to_string()));
        (entries.collect(), reader.info().depth)
    }

    async fn settle(&self, emitter: usize, nth: usize, dead: bool) {
        let Some(reader) = self.readers.get(&emitter) else { return };
        let entries = reader.read(Sequence::START, nth + 1).await.unwrap();
        let Some(entry) = entries.get(nth) else { return };
        let settlement = match dead {
            false => Settlement::Delivered,
            true => Settlement::DeadLettered(Box::new(DeadLetter::new(
                id(&format!("e{emitter}")),
                entry,
                AttemptCode::HandlerError,
                "no",
                1,
                Timestamp::UNIX_EPOCH,
            ))),
        };
        reader.settle(entry.sequence, settlement).await.unwrap();
    }

    async fn replay(
        &self,
        emitter: usize,
        nth: usize,
        count: usize,
    ) -> Result<Vec<Replayed>, ReplayError> {
        let (journal, emitter) = (self.store.journal(), id(&format!("e{emitter}")));
        let query = DeadLetterQuery::new();
        let letters =
            self.store.dead_letters().after(&emitter, Sequence::START, &query).await.unwrap();
        let replays = letters
            .iter()
            .skip(nth)
            .take(count)
            .map(|letter| Replay::new(Arc::clone(&letter.event), letter.origin).only_dead());
        journal.replay(&emitter, replays.collect()).await
    }

    async fn discard(&self, nth: usize) -> u64 {
        let page = self.store.dead_letters().page(&DeadLetterQuery::new(), None).await.unwrap();
        let ids = page.items.iter().skip(nth).take(1).map(|letter| letter.id).collect();
        self.store.dead_letters().discard(ids).await.unwrap()
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Append(_) | Op::AppendAll(..) | Op::Replay(..) | Op::Discard(_) | Op::Reopen => {}
            &Op::Settle(emitter, nth, dead) => self.settle(emitter, nth, dead).await,
            &Op::Pause(emitter, keep) => {
                let backlog = if keep { Backlog::Keep } else { Backlog::Discard };
                if let Some(reader) = self.readers.get(&emitter) {
                    reader.pause(backlog).await.unwrap();
                }
            }
            &Op::Resume(emitter) => {
                if let Some(reader) = self.readers.get(&emitter) {
                    reader.resume().await.unwrap();
                }
            }
            &Op::Forget(emitter) => {
                self.store.journal().forget(&id(&format!("e{emitter}"))).await.unwrap();
                self.readers.remove(&emitter);
            }
            &Op::Open(emitter, subscription) => self.open(emitter, subscription).await,
        }
    }
}

async fn compare(ops: &[Op]) {
    let directory = TempDir::new().unwrap();
    let disk = Store::open_with(directory.path(), options()).unwrap();
    let mut disk = Side { store: disk, readers: BTreeMap::new() };
    let mut memory = Side { store: Store::memory(), readers: BTreeMap::new() };
    let mut subscribed = BTreeMap::new();
    for op in ops {
        match op {
            Op::Append(name) => {
                let event = event(NAMES[*name], 60);
                let here = memory.store.journal().append(Arc::clone(&event)).await.unwrap();
                assert_eq!(disk.store.journal().append(event).await.unwrap(), here);
            }
            Op::AppendAll(names, position) => {
                let events = names.iter().map(|name| event(NAMES[*name], 60)).collect();
                let position = SourcePosition::new("file", position.to_string()).unwrap();
                let batch = Batch::new(events).position(Some(position));
                let here = memory.store.journal().append_all(batch.clone()).await.unwrap();
                assert_eq!(disk.store.journal().append_all(batch).await.unwrap(), here);
            }
            Op::Replay(emitter, nth, count) => {
                let here = memory.replay(*emitter, *nth, *count).await;
                assert_eq!(disk.replay(*emitter, *nth, *count).await, here);
            }
            Op::Discard(nth) => assert_eq!(disk.discard(*nth).await, memory.discard(*nth).await),
            Op::Reopen => {
                disk.readers.clear();
                disk.store = Store::memory();
                disk.store = Store::open_with(directory.path(), options()).unwrap();
                // Who is attached again reads again, there as here.
                for (emitter, subscription) in &subscribed {
                    disk.open(*emitter, *subscription).await;
                    memory.open(*emitter, *subscription).await;
                }
            }
            Op::Open(emitter, subscription) => {
                subscribed.insert(*emitter, *subscription);
            }
            Op::Forget(emitter) => {
                subscribed.remove(emitter);
            }
            _ => {}
        }
        disk.apply(op).await;
        memory.apply(op).await;
        for emitter in 0..4 {
            assert_eq!(disk.state(emitter).await, memory.state(emitter).await, "e{emitter}");
        }
        let (here, there) = (memory.store.stats(), disk.store.stats());
        assert_eq!((here.events, here.bytes), (there.events, there.bytes));
        let source = SourceId::new("file").unwrap();
        let position = memory.store.positions().position(&source).await.unwrap();
        assert_eq!(disk.store.positions().position(&source).await.unwrap(), position);
        let query = DeadLetterQuery::new();
        let letters = memory.store.dead_letters().page(&query, None).await.unwrap();
        assert_eq!(disk.store.dead_letters().page(&query, None).await.unwrap(), letters);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn it_does_as_the_memory_store_does(ops in ops()) {
        run(async move { compare(&ops).await });
    }
}
