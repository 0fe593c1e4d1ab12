//! A process that replays is killed again and again: each event is a dead letter, or it waits.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    AttemptCode, DeadLetter, DeadLetterQuery, EmitterId, Event, EventName, Reader, Replay,
    RequestId, Sequence, Settlement, Subscription,
};
use bugle_store::Store;
use bugle_testkit::ProcessKiller;
use bugle_testkit::conformance::run;
use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

/// Where the child works; only set for it.
const DIRECTORY: &str = "BUGLE_KILL_REPLAYS_DIRECTORY";

const EVENTS: usize = 60;
const KILLS: u64 = 20;

/// What the moments are drawn from.
const SEED: u64 = 53;

fn one() -> EmitterId {
    EmitterId::new("one").unwrap()
}

async fn open(store: &Store) -> Arc<dyn Reader> {
    store.journal().reader(&one(), &Subscription::new(["a"]).unwrap()).await.unwrap()
}

async fn letters(store: &Store) -> Vec<DeadLetter> {
    let query = DeadLetterQuery::new();
    store.dead_letters().after(&one(), Sequence::START, &query).await.unwrap()
}

/// Gives up on the first few that wait.
async fn give_up(reader: &Arc<dyn Reader>, count: usize) {
    for entry in reader.read(Sequence::START, count).await.unwrap() {
        let (code, now) = (AttemptCode::Timeout, Timestamp::now());
        let letter = DeadLetter::new(one(), &entry, code, "too late", 3, now);
        let settlement = Settlement::DeadLettered(Box::new(letter));
        reader.settle(entry.sequence, settlement).await.unwrap();
    }
}

/// The process that is killed: it replays a few at a time, and gives up on as many.
#[test]
#[ignore = "the child of the other test"]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(directory).unwrap();
        let reader = open(&store).await;
        for round in 1.. {
            let again = letters(&store).await.into_iter().take(1 + round % 7);
            let again = again.map(|it| Replay::new(it.event, it.origin).only_dead()).collect();
            store.journal().replay(&one(), again).await.unwrap();
            println!("replayed");
            give_up(&reader, round % 5).await;
        }
    });
}

#[test]
fn an_event_is_a_dead_letter_or_it_waits_however_often_it_is_killed() {
    let directory = TempDir::new().unwrap();
    let mut all = BTreeSet::new();
    run(async {
        let store = Store::open(directory.path()).unwrap();
        let reader = open(&store).await;
        for _ in 0..EVENTS {
            let event = Event::new(
                EventName::new("a").unwrap(),
                RequestId::random(),
                Bytes::from_static(b"{}"),
                Timestamp::now(),
            );
            all.insert(event.request_id.to_string());
            store.journal().append(Arc::new(event)).await.unwrap();
        }
        give_up(&reader, EVENTS).await;
    });
    let mut last = Sequence::START;
    let mut killer =
        ProcessKiller::new(SEED).after(Duration::ZERO..Duration::from_millis(40)).lines(1..100);
    for _ in 0..KILLS {
        let mut child = ProcessKiller::test("child").unwrap();
        killer.live(child.env(DIRECTORY, directory.path()).stderr(Stdio::null())).unwrap();
        run(async {
            let store = Store::open(directory.path()).unwrap();
            let reader = open(&store).await;
            let waiting = reader.read(Sequence::START, 1_000).await.unwrap();
            let dead = letters(&store).await;
            let ids = waiting.iter().map(|entry| &entry.event.request_id);
            let ids: Vec<String> =
                ids.chain(dead.iter().map(|it| it.request_id())).map(ToString::to_string).collect();
            assert_eq!(ids.len(), EVENTS, "each is there once");
            assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), all);
            assert!(waiting.is_sorted_by(|one, other| one.sequence < other.sequence));
            for letter in &dead {
                assert!(letter.origin.0 <= EVENTS as u64, "{letter:?}");
            }
            last = last.max(waiting.last().map_or(last, |entry| entry.sequence));
        });
    }
    assert!(last.0 > 10 * EVENTS as u64, "it has hardly replayed: {last}");
}
