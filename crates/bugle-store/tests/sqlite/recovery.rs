//! It goes on where it was.

use std::sync::Arc;
use std::task::{Context, Waker};

use bugle_core::{
    AttemptCode, Backlog, Batch, DeadLetter, DeadLetterQuery, Entry, Event, Fate, OrderingKey,
    Reader, Sequence, Settlement, SourceId, SourcePosition, TraceContext,
};
use bugle_store::{Store, StoreError};
use bugle_testkit::conformance::run;
use futures_util::FutureExt;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::{append, deliver, event, fill, id, killed, open, read};

async fn give_up(emitter: &str, reader: &Arc<dyn Reader>, entry: &Entry) {
    let letter =
        DeadLetter::new(id(emitter), entry, AttemptCode::Timeout, "too late", 3, Timestamp::now());
    reader.settle(entry.sequence, Settlement::DeadLettered(Box::new(letter))).await.unwrap();
}

#[test]
fn everything_is_as_it_was() {
    run(async {
        let directory = TempDir::new().unwrap();
        let trace =
            TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let whole = Event::clone(&event("a", 5_000))
            .key(Some(OrderingKey::new("customer 7").unwrap()))
            .trace(Some(trace.tracestate("vendor=1").unwrap()));
        let whole = Arc::new(whole);
        let (all, letters);
        {
            let store = Store::open(directory.path()).unwrap();
            let one = open(&store, "one", &["a", "b.*"]).await;
            open(&store, "gone", &[">"]).await;
            let mut appended = fill(&store, "a", 6).await;
            appended.push(store.journal().append(Arc::clone(&whole)).await.unwrap());
            append(&store, "c").await;
            appended.push(append(&store, "b.x").await);
            all = appended;
            deliver(&one, all[0]).await;
            let entries = one.read(Sequence::START, 10).await.unwrap();
            give_up("one", &one, &entries[0]).await;
            for number in [3, 4, 6] {
                deliver(&one, all[number]).await;
            }
            letters = store.dead_letters().page(&DeadLetterQuery::new(), None).await.unwrap().items;
            store.journal().forget(&id("gone")).await.unwrap();
            assert_eq!(store.info().default_backlog, Backlog::Keep);
        }
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.stats().events, 3, "what waits, before anyone is attached");
        let one = open(&store, "one", &["a", "b.*"]).await;
        assert_eq!((read(&one).await, one.info().depth), (vec![all[2], all[5], all[7]], 3));
        assert_eq!(one.info().cursor, all[1]);
        let fates =
            [0, 1, 2, 3].map(|number| one.fate(all[number]).now_or_never().unwrap().unwrap());
        let delivered = Some(Fate::Delivered);
        assert_eq!(fates, [delivered, Some(Fate::DeadLettered), None, delivered]);
        assert_eq!(
            store.dead_letters().page(&DeadLetterQuery::new(), None).await.unwrap().items,
            letters
        );
        let gone = open(&store, "gone", &[">"]).await;
        assert_eq!(read(&gone).await, []);
        let next = append(&store, "a").await;
        assert!(next > all[7]);
        assert_eq!(read(&one).await, [all[2], all[5], all[7], next]);
        assert_eq!(read(&gone).await, [next]);
        // The event with everything in it is as it was, too.
        let two = open(&store, "two", &["z"]).await;
        deliver(&two, next).await;
        assert_eq!(letters[0].event.payload.len(), 100);
    });
}

/// What was read back from disk is what was appended.
#[test]
fn an_event_is_read_back_as_it_was() {
    run(async {
        let directory = TempDir::new().unwrap();
        let trace =
            TraceContext::new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
        let events = [
            Event::clone(&event("a", 0)),
            Event::clone(&event("a", 100_000)),
            Event::clone(&event("a", 10)).key(Some(OrderingKey::new("ä ö").unwrap())),
            Event::clone(&event("a", 10)).trace(Some(trace.clone())),
            Event::clone(&event("a", 10)).trace(Some(trace.tracestate("vendor=1").unwrap())),
        ];
        {
            let store = Store::open(directory.path()).unwrap();
            open(&store, "one", &["a"]).await;
            for event in &events {
                store.journal().append(Arc::new(event.clone())).await.unwrap();
            }
        }
        let store = Store::open(directory.path()).unwrap();
        let one = open(&store, "one", &["a"]).await;
        for _ in 0..2 {
            let entries = one.read(Sequence::START, 10).await.unwrap();
            let read: Vec<&Event> = entries.iter().map(|entry| &*entry.event).collect();
            assert_eq!(read, events.iter().collect::<Vec<_>>());
        }
    });
}

/// A subscription that was changed with a backlog is restored with what waited before.
#[test]
fn another_subscription_is_restored() {
    run(async {
        let directory = TempDir::new().unwrap();
        let mut expected = Vec::new();
        {
            let store = Store::open(directory.path()).unwrap();
            open(&store, "one", &["a", "b"]).await;
            for name in ["a", "b", "c", "b", "a", "b"] {
                let sequence = append(&store, name).await;
                if name != "c" {
                    expected.push(sequence);
                }
            }
            let one = open(&store, "one", &["b", "c"]).await;
            for name in ["a", "b", "c"] {
                let sequence = append(&store, name).await;
                if name != "a" {
                    expected.push(sequence);
                }
            }
            deliver(&one, expected.remove(1)).await;
            deliver(&one, expected.remove(2)).await;
            assert_eq!(read(&one).await, expected);
        }
        for _ in 0..2 {
            let store = Store::open(directory.path()).unwrap();
            let one = open(&store, "one", &["b", "c"]).await;
            assert_eq!(read(&one).await, expected);
            deliver(&one, expected.remove(0)).await;
        }
        let store = Store::open(directory.path()).unwrap();
        let one = open(&store, "one", &["b", "c"]).await;
        assert_eq!(read(&one).await, expected);
        expected.push(append(&store, "c").await);
        assert_eq!(read(&one).await, expected);
    });
}

/// A pause that keeps is kept across a restart; one that discards goes on discarding.
#[test]
fn a_pause_outlives_the_process() {
    run(async {
        let directory = TempDir::new().unwrap();
        let kept;
        {
            let store = Store::open(directory.path()).unwrap();
            open(&store, "keeps", &["a"]).await.pause(Backlog::Keep).await.unwrap();
            open(&store, "discards", &["a"]).await.pause(Backlog::Discard).await.unwrap();
            kept = fill(&store, "a", 3).await;
        }
        let later;
        {
            let store = Store::open(directory.path()).unwrap();
            later = append(&store, "a").await;
        }
        let store = Store::open(directory.path()).unwrap();
        let keeps = open(&store, "keeps", &["a"]).await;
        assert_eq!(read(&keeps).await, [kept, vec![later]].concat());
        let discards = open(&store, "discards", &["a"]).await;
        assert_eq!(read(&discards).await, []);
        let last = append(&store, "a").await;
        assert_eq!(read(&discards).await, [last]);
    });
}

#[test]
fn a_directory_has_one_store_at_a_time() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let refused = Store::open(directory.path()).unwrap_err();
        assert_eq!(refused, StoreError::InUse { directory: directory.path().to_owned() });
        assert!(refused.to_string().contains("is open already"), "{refused}");
        append(&store, "a").await;
        // A reader keeps the store open as well.
        let reader = open(&store, "one", &["a"]).await;
        drop(store);
        assert!(Store::open(directory.path()).is_err());
        drop(reader);
        Store::open(directory.path()).unwrap();
    });
}

/// Who stops waiting for a settlement, as a courier that is paused, leaves that to the next one who
/// reads: what is delivered after it is settled after it, also on disk.
#[test]
fn what_was_settled_is_written_before_the_next_is_read() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let one = open(&store, "one", &["a"]).await;
        let all = fill(&store, "a", 30).await;
        for settled in 0..all.len() {
            drop(one.settle(all[settled], Settlement::Delivered));
            assert_eq!(read(&one).await, all[settled + 1..]);
            // What a process would find that comes after one that was killed now.
            let copy = killed(directory.path());
            let store = Store::open(copy.path()).unwrap();
            assert_eq!(read(&open(&store, "one", &["a"]).await).await, all[settled + 1..]);
        }
    });
}

/// A power cut may take the end of the log and leave what was noted of it, or a backup may. The
/// numbers are given again, and what has them then is not what was settled.
#[test]
fn what_was_noted_of_events_that_are_lost_is_not_believed_of_others() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let one = open(&store, "one", &["a"]).await;
        let kept = fill(&store, "a", 5).await;
        let before = killed(directory.path());
        let lost = fill(&store, "a", 5).await;
        for sequence in kept.iter().chain(&lost) {
            one.settle(*sequence, Settlement::Delivered).await.unwrap();
        }
        let settled = "bugle.settled";
        std::fs::copy(directory.path().join(settled), before.path().join(settled)).unwrap();

        let store = Store::open(before.path()).unwrap();
        let one = open(&store, "one", &["a"]).await;
        assert_eq!(read(&one).await, [], "what was settled and is there");
        let others = fill(&store, "a", 5).await;
        assert_eq!(others, lost, "the numbers are given again");
        let killed = killed(before.path());
        let store = Store::open(killed.path()).unwrap();
        assert_eq!(read(&open(&store, "one", &["a"]).await).await, others);
    });
}

/// A batch is there with its position, and a position that was taken back is the one before.
#[test]
fn a_source_goes_on_where_it_was() {
    run(async {
        let directory = TempDir::new().unwrap();
        let source = SourceId::new("orders.ndjson").unwrap();
        let batch = |count: usize, position: &str| {
            let position = SourcePosition::new(&source, position).unwrap();
            Batch::new((0..count).map(|_| event("a", 100)).collect()).position(Some(position))
        };
        let mut expected = Vec::new();
        for round in 0..20_usize {
            let store = Store::open(directory.path()).unwrap();
            let one = open(&store, "one", &["a"]).await;
            let at = store.positions().position(&source).await.unwrap();
            let at = at.map(|at| at.to_string());
            assert_eq!(at, round.checked_sub(1).map(|before| before.to_string()));
            let places = store.journal().append_all(batch(3, &round.to_string())).await.unwrap();
            expected.extend(places);
            // One that nobody waits for leaves nothing, wherever it was by then.
            let journal = store.journal();
            let mut left = Box::pin(journal.append_all(batch(5, "too far")));
            let mut context = Context::from_waker(Waker::noop());
            assert!(left.as_mut().poll(&mut context).is_pending());
            for _ in 0..round {
                std::thread::yield_now();
            }
            drop(left);
            assert_eq!(read(&one).await, expected);
        }
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(read(&open(&store, "one", &["a"]).await).await, expected);
    });
}
