//! Events are found again, and go when nobody needs them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{Event, EventName, EventQuery, Replay, RequestId, Sequence, Settlement};
use bugle_store::{Durability, SqliteOptions, Store};
use bugle_testkit::conformance::run;
use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::{append, database, deliver, event, id, open, read, segment_bytes};

/// A second of the year 2100: no event is too old then.
fn at(second: usize) -> Timestamp {
    Timestamp::from_second(4_102_444_800 + second as i64).unwrap()
}

fn numbered(number: usize) -> Event {
    Event::new(
        EventName::new(if number % 10 == 3 { "b" } else { "a" }).unwrap(),
        RequestId::new(format!("event-{number}")).unwrap(),
        Bytes::from_static(b"{}"),
        at(number),
    )
}

/// Appends many at once, so that they share a transaction.
async fn append_all(store: &Store, numbers: std::ops::Range<usize>) {
    let journal = store.journal();
    let appends = numbers.map(|number| {
        let journal = Arc::clone(&journal);
        async move { journal.append(Arc::new(numbered(number))).await.unwrap() }
    });
    futures_util::future::join_all(appends).await;
}

/// Events are found by their ids and by time, whether they are in a block, a run, or neither, also
/// after a restart that interrupted the indexing.
#[test]
fn events_are_found_by_their_ids() {
    const COUNT: usize = 68_000;
    run(async {
        let directory = TempDir::new().unwrap();
        let options = SqliteOptions::new().durability(Durability::Os);
        for round in 0..3 {
            let store = Store::open_with(directory.path(), options.clone()).unwrap();
            if round < 2 {
                append_all(&store, round * COUNT / 2..(round + 1) * COUNT / 2).await;
            }
            let count = COUNT * (round + 1).min(2) / 2;
            let log = store.events().unwrap();
            for number in [0, 1, 1_023, 1_024, 33_333, 65_535, 65_536, 66_000, COUNT - 1] {
                let found = log.get(&RequestId::new(format!("event-{number}")).unwrap()).await;
                let found = found.unwrap().map(|row| row.sequence.0 as usize);
                assert_eq!(found, (number < count).then_some(number + 1), "{number}");
            }
            let query = EventQuery::new().after(at(20_000)).before(at(20_070));
            let page = log.page(&query, None).await.unwrap();
            let found: Vec<_> = page.items.iter().map(|row| row.sequence.0 as usize - 1).collect();
            assert_eq!(found, (20_000..20_070).rev().collect::<Vec<_>>());
        }
        let store = Store::open_with(directory.path(), options).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let blocks = || -> i64 {
            let sql = "SELECT count(*) FROM event_blocks";
            database(directory.path()).query_row(sql, [], |row| row.get(0)).unwrap()
        };
        while blocks() == 0 {
            assert!(Instant::now() < deadline, "a block is written though nothing comes");
            std::thread::yield_now();
        }
        drop(store);
    });
}

/// Under a steady load there are never more events than are to be kept, and those of a few segments;
/// so the log has its size early, however fast they come.
#[test]
fn the_log_stops_growing() {
    const KEPT: u64 = 4_000;
    const SEGMENT: u64 = 1 << 20;
    run(async {
        let directory = TempDir::new().unwrap();
        let options = SqliteOptions::new()
            .durability(Durability::Os)
            .settled_events(KEPT)
            .segment_bytes(SEGMENT);
        let store = Store::open_with(directory.path(), options).unwrap();
        let one = open(&store, "one", &["a"]).await;
        let journal = store.journal();
        for round in 0..12 {
            for _ in 0..40 {
                let events: Vec<_> = (0..128).map(|_| event("a", 1_000)).collect();
                let appends = events.into_iter().map(|event| journal.append(event));
                for sequence in futures_util::future::join_all(appends).await {
                    drop(one.settle(sequence.unwrap(), Settlement::Delivered));
                }
            }
            journal.flush().await.unwrap();
            // Files go one after the other, a moment later.
            let bytes = || segment_bytes(directory.path());
            let deadline = Instant::now() + Duration::from_secs(10);
            while bytes() > KEPT * 1_200 + 4 * SEGMENT {
                assert!(Instant::now() < deadline, "{} in round {round}", bytes());
                journal.flush().await.unwrap();
            }
            let pages: i64 = database(directory.path())
                .pragma_query_value(None, "page_count", |row| row.get(0))
                .unwrap();
            assert!(pages < 400, "{pages} pages in round {round}");
        }
    });
}

/// Whether the first segment is there.
fn has_first_segment(directory: &TempDir) -> bool {
    directory.path().join(format!("segments/{:020}.log", 1)).exists()
}

/// Looks until something is so; an append now and then lets the store look too.
async fn until(store: &Store, what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(40);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        append(store, "other").await;
    }
}

fn aged(name: &str) -> Arc<Event> {
    let hours = jiff::SignedDuration::from_hours(2);
    let mut old = Event::clone(&event(name, 10));
    old.emitted_at = Timestamp::now().checked_sub(hours).unwrap();
    Arc::new(old)
}

/// Settled events go when they are too old, and those that wait do not.
#[test]
fn settled_events_grow_too_old() {
    run(async {
        let directory = TempDir::new().unwrap();
        let options = SqliteOptions::new().settled_for(Duration::from_secs(3_600));
        let store = Store::open_with(directory.path(), options).unwrap();
        let one = open(&store, "one", &["a"]).await;
        let stuck = store.journal().append(aged("a")).await.unwrap();
        for _ in 0..600 {
            store.journal().append(aged("b")).await.unwrap();
        }
        let deadline = Instant::now() + Duration::from_secs(40);
        let made = segment_bytes(directory.path());
        while segment_bytes(directory.path()) == made {
            assert!(Instant::now() < deadline, "the segment of old events ends");
            store.journal().flush().await.unwrap();
        }
        let young = append(&store, "a").await;
        let segments = || std::fs::read_dir(directory.path().join("segments")).unwrap().count();
        while segments() > 1 {
            assert!(Instant::now() < deadline, "the old ones go");
            store.journal().flush().await.unwrap();
        }
        assert_eq!(read(&one).await, [stuck, young]);
        let page = store.events().unwrap().page(&EventQuery::new(), None).await.unwrap();
        let left: Vec<_> = page.items.iter().map(|it| it.sequence).collect();
        assert_eq!(left, [young, stuck]);
        drop((one, store));
        let store = Store::open(directory.path()).unwrap();
        let one = open(&store, "one", &["a"]).await;
        assert_eq!(read(&one).await, [stuck, young]);
        deliver(&one, stuck).await;
        let id = one.read(Sequence::START, 1).await.unwrap()[0].event.request_id.clone();
        assert_eq!(store.events().unwrap().get(&id).await.unwrap().unwrap().sequence, young);
    });
}

/// What has waited too long is dropped where it waits, and counted; also what is on disk only.
#[test]
fn what_waits_too_long_is_dropped() {
    run(async {
        let directory = TempDir::new().unwrap();
        let options = SqliteOptions::new().cached_bytes(50);
        let old: Vec<Sequence>;
        {
            let store = Store::open_with(directory.path(), options.clone()).unwrap();
            let one = open(&store, "one", &["a"]).await;
            old = crate::support::fill(&store, "a", 5).await;
            deliver(&one, old[1]).await;
        }
        let age = Duration::from_millis(1);
        let store = Store::open_with(directory.path(), options.undelivered_for(age)).unwrap();
        let one = open(&store, "one", &["a"]).await;
        until(&store, "they are dropped", || one.info().depth == 0).await;
        assert_eq!((one.info().dropped, store.stats().expired), (4, 4));
    });
}

/// A replay has waited since it was queued, and holds up nothing behind it for longer than that.
#[test]
fn a_replay_has_an_age_of_its_own() {
    run(async {
        let directory = TempDir::new().unwrap();
        let options = SqliteOptions::new().cached_bytes(50);
        {
            let store = Store::open_with(directory.path(), options.clone()).unwrap();
            let one = open(&store, "one", &["a"]).await;
            store.journal().append(aged("a")).await.unwrap();
            let entry = one.read(Sequence::START, 1).await.unwrap().remove(0);
            deliver(&one, entry.sequence).await;
            store.journal().append(aged("a")).await.unwrap();
            let replays = vec![Replay::new(entry.event, entry.sequence)];
            store.journal().replay(&id("one"), replays).await.unwrap();
            append(&store, "a").await;
            assert_eq!(read(&one).await, [2, 3, 4].map(Sequence));
        }
        let options = options.undelivered_for(Duration::from_secs(3_600));
        {
            let store = Store::open_with(directory.path(), options.clone()).unwrap();
            let one = open(&store, "one", &["a"]).await;
            until(&store, "the old one is dropped", || one.info().depth == 2).await;
            until(&store, "another look", || store.stats().expired == 1).await;
            assert_eq!(read(&one).await, [3, 4].map(Sequence), "the replay is young");
        }
        let options = options.undelivered_for(Duration::from_millis(1));
        let store = Store::open_with(directory.path(), options).unwrap();
        let one = open(&store, "one", &["a"]).await;
        until(&store, "both are dropped", || one.info().depth == 0).await;
        assert_eq!(one.info().dropped, 2);
    });
}

/// Also when all of them have gone, the next event has a number of its own, and is delivered.
#[test]
fn numbers_go_on_when_all_have_gone() {
    run(async {
        let directory = TempDir::new().unwrap();
        let aging = SqliteOptions::new().settled_for(Duration::ZERO);
        let last = {
            let store = Store::open_with(directory.path(), aging).unwrap();
            let one = open(&store, "one", &["a"]).await;
            for _ in 0..300 {
                deliver(&one, append(&store, "a").await).await;
            }
            until(&store, "they go", || !has_first_segment(&directory)).await;
            // The newest stays; but it may be deleted by hand.
            let newest = event("a", 100);
            let id = newest.request_id.clone();
            deliver(&one, store.journal().append(newest).await.unwrap()).await;
            assert!(store.events().unwrap().delete(&id).await.unwrap());
            one.info().cursor
        };
        let store = Store::open(directory.path()).unwrap();
        let one = open(&store, "one", &["a"]).await;
        let next = append(&store, "a").await;
        assert!(next > last, "{next} follows {last}");
        assert_eq!(read(&one).await, [next]);
    });
}
