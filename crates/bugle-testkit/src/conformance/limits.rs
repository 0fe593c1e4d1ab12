//! What a [`Journal`](bugle_core::Journal) that bounds what it holds does at its limits.

mod batches;
mod paused;

use std::sync::Arc;

use bugle_core::{AppendError, Event, Fate, Overflow, Reader, Sequence};
use tokio::task::JoinHandle;

pub use batches::*;
pub use paused::*;

use super::journal::{append, cursor, deliver, depth, dropped, fate, read, reader};
use super::{MakeStore, StoreLimits, UnderTest, event_of, eventually, under_test};

/// Makes a `#[test]` of each check of [`limits`](crate::conformance::limits). It takes an
/// `async fn(StoreLimits) -> Arc<dyn Store>` that makes a new, empty store with these limits.
#[macro_export]
macro_rules! store_limits_conformance {
    ($make:expr) => {
        $crate::__conformance_tests! { limits, $make,
            a_full_journal_blocks
            a_full_journal_rejects
            a_full_journal_drops_its_oldest
            a_subscription_that_is_full_stops_no_other
            what_nobody_waits_for_needs_no_room
            bytes_are_limited
            a_payload_that_can_never_fit_is_refused
            a_blocked_append_that_is_dropped_appended_nothing
            a_blocked_append_that_is_dropped_wakes_the_next
            blocked_appends_all_get_through
            a_paused_emitter_blocks_nobody
            a_paused_emitter_makes_room_for_bytes
            pausing_and_forgetting_unblock
            what_is_dropped_is_missed_only_by_who_waited
            a_batch_waits_for_all_its_room
            a_batch_is_rejected_as_a_whole
            a_batch_drops_the_oldest
            a_batch_that_can_never_fit_is_refused
            a_blocked_batch_goes_on_or_leaves
            a_batch_waits_for_bytes
            a_batch_with_one_bad_event_is_refused
        }
    };
}

const POLICIES: [Overflow; 3] = [Overflow::Block, Overflow::Reject, Overflow::DropOldest];

fn events(max_events_per_subscription: usize, overflow: Overflow) -> StoreLimits {
    StoreLimits { max_events_per_subscription, overflow, ..StoreLimits::default() }
}

fn bytes(max_bytes: u64, overflow: Overflow) -> StoreLimits {
    StoreLimits { max_bytes, overflow, ..StoreLimits::default() }
}

type Appending = JoinHandle<Result<Sequence, AppendError>>;

/// Appends in a task, and waits until it is blocked.
async fn block(journal: &UnderTest, event: Arc<Event>) -> Appending {
    let before = journal.store.stats().blocked;
    let theirs = journal.clone();
    let task = tokio::spawn(async move { theirs.append(event).await });
    eventually("a blocked append", async || journal.store.stats().blocked > before).await;
    task
}

async fn fill(journal: &UnderTest, count: usize) -> Vec<Sequence> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(append(journal, "a").await);
    }
    all
}

async fn drain(reader: &Arc<dyn Reader>) {
    for sequence in read(reader).await {
        deliver(reader, sequence).await;
    }
}

/// `Overflow::Block`: an append waits until there is room.
pub async fn a_full_journal_blocks(make: &MakeStore) {
    let journal = under_test(make, events(3, Overflow::Block)).await;
    let fast = reader(&journal, "fast", &["a"]).await;
    let slow = reader(&journal, "slow", &["a"]).await;
    let all = fill(&journal, 3).await;
    let waiting = block(&journal, event_of("a", 1)).await;
    drain(&fast).await;
    assert!(!waiting.is_finished(), "it waits for the slowest");
    for sequence in &all {
        deliver(&slow, *sequence).await;
    }
    let last = waiting.await.unwrap().unwrap();
    assert!(last > all[2]);
    assert_eq!((read(&fast).await, read(&slow).await), (vec![last], vec![last]));
    let stats = journal.store.stats();
    assert_eq!((stats.blocked, stats.rejected, stats.dropped), (1, 0, 0));
    assert_eq!(stats.appended, 4);
}

/// `Overflow::Reject`: an append is refused, the error says which limit it was, and nothing is
/// stored.
pub async fn a_full_journal_rejects(make: &MakeStore) {
    let journal = under_test(make, events(3, Overflow::Reject)).await;
    let one = reader(&journal, "one", &["a"]).await;
    let all = fill(&journal, 3).await;
    for _ in 0..2 {
        match journal.append(event_of("a", 1)).await {
            Err(AppendError::Full { limit }) => assert!(limit.contains('3'), "{limit}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read(&one).await, all);
    deliver(&one, all[0]).await;
    let last = append(&journal, "a").await;
    assert_eq!(read(&one).await, [all[1], all[2], last]);
    let stats = journal.store.stats();
    assert_eq!((stats.appended, stats.rejected, stats.blocked, stats.dropped), (4, 2, 0, 0));
}

/// `Overflow::DropOldest`: the oldest makes room, and everyone who waited for it counts it.
pub async fn a_full_journal_drops_its_oldest(make: &MakeStore) {
    let journal = under_test(make, events(3, Overflow::DropOldest)).await;
    let one = reader(&journal, "one", &["a"]).await;
    let two = reader(&journal, "two", &["a"]).await;
    let all = fill(&journal, 3).await;
    deliver(&two, all[0]).await;
    let more = fill(&journal, 2).await;
    assert_eq!(read(&one).await, [all[2], more[0], more[1]]);
    assert_eq!(read(&two).await, [all[2], more[0], more[1]]);
    assert_eq!((depth(&one).await, dropped(&one).await), (3, 2));
    assert_eq!((depth(&two).await, dropped(&two).await), (3, 1));
    assert_eq!(fate(&one, all[0]).await, Some(Fate::Dropped));
    assert_eq!(fate(&two, all[0]).await, Some(Fate::Delivered));
    assert_eq!(fate(&two, all[1]).await, Some(Fate::Dropped));
    assert!(cursor(&one).await >= all[1] && cursor(&one).await < all[2]);
    deliver(&one, all[0]).await;
    assert_eq!(
        fate(&one, all[0]).await,
        Some(Fate::Dropped),
        "settling what was dropped does nothing"
    );
    let stats = journal.store.stats();
    assert_eq!((stats.events, stats.dropped, stats.rejected, stats.blocked), (3, 3, 0, 0));
}

/// What waits for one subscription takes no room from others; one that matches both waits.
pub async fn a_subscription_that_is_full_stops_no_other(make: &MakeStore) {
    let journal = under_test(make, events(2, Overflow::Block)).await;
    let stuck = reader(&journal, "stuck", &["a"]).await;
    let fine = reader(&journal, "fine", &["b"]).await;
    let all = fill(&journal, 2).await;
    let waiting = block(&journal, event_of("a", 1)).await;
    for _ in 0..10 {
        append(&journal, "b").await;
        drain(&fine).await;
    }
    assert!(!waiting.is_finished());
    deliver(&stuck, all[0]).await;
    waiting.await.unwrap().unwrap();
    assert_eq!(depth(&stuck).await, 2);
}

/// An event that no emitter waits for is appended whatever is full.
pub async fn what_nobody_waits_for_needs_no_room(make: &MakeStore) {
    for overflow in POLICIES {
        let limits = StoreLimits { max_bytes: 2_000, ..events(1, overflow) };
        let journal = under_test(make, limits).await;
        let one = reader(&journal, "one", &["a"]).await;
        let first = append(&journal, "a").await;
        for _ in 0..50 {
            journal.append(event_of("b", 1_999)).await.unwrap();
        }
        assert_eq!((read(&one).await, dropped(&one).await), (vec![first], 0));
        assert_eq!(journal.store.stats().events, 1);
    }
}

/// The payloads of all subscriptions share one limit; an event counts once.
pub async fn bytes_are_limited(make: &MakeStore) {
    for overflow in POLICIES {
        let journal = under_test(make, bytes(100_000, overflow)).await;
        let one = reader(&journal, "one", &["a", "b"]).await;
        let other = reader(&journal, "other", &["a"]).await;
        let mut all = Vec::new();
        for _ in 0..9 {
            all.push(journal.append(event_of("a", 10_000)).await.unwrap());
        }
        let stats = journal.store.stats();
        assert_eq!((stats.events, stats.bytes), (9, 90_000));
        let large = event_of("b", 50_000);
        match overflow {
            Overflow::Block => {
                let waiting = block(&journal, large).await;
                for sequence in &all[..5] {
                    deliver(&one, *sequence).await;
                    assert!(!waiting.is_finished());
                    deliver(&other, *sequence).await;
                }
                waiting.await.unwrap().unwrap();
                assert_eq!(
                    (depth(&one).await, dropped(&one).await, depth(&other).await),
                    (5, 0, 4)
                );
            }
            Overflow::Reject => {
                let refused = journal.append(large).await;
                assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
                assert_eq!((depth(&one).await, depth(&other).await), (9, 9));
            }
            Overflow::DropOldest => {
                let last = journal.append(large).await.unwrap();
                assert_eq!(read(&one).await, [&all[5..], &[last]].concat());
                assert_eq!(read(&other).await, all[5..]);
                assert_eq!((dropped(&one).await, dropped(&other).await), (5, 5));
            }
        }
        assert!(journal.store.stats().bytes <= 100_000);
    }
}

/// A payload that is larger than the journal is refused at once, whatever the policy. One that
/// just fits is taken when there is nothing else.
pub async fn a_payload_that_can_never_fit_is_refused(make: &MakeStore) {
    for overflow in POLICIES {
        let journal = under_test(make, bytes(1_000, overflow)).await;
        let one = reader(&journal, "one", &["a"]).await;
        let refused = journal.append(event_of("a", 1_001)).await;
        assert_eq!(refused, Err(AppendError::TooLarge { bytes: 1_001, limit: 1_000 }));
        journal.append(event_of("a", 1_000)).await.unwrap();
        assert_eq!(depth(&one).await, 1);
    }
}

/// A caller that stops waiting has appended nothing.
pub async fn a_blocked_append_that_is_dropped_appended_nothing(make: &MakeStore) {
    let journal = under_test(make, events(1, Overflow::Block)).await;
    if !journal.takes_back() {
        return;
    }
    let one = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    let waiting = block(&journal, event_of("a", 7)).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    // One that was never polled either.
    drop(journal.append(event_of("a", 7)));
    deliver(&one, first).await;
    assert_eq!(read(&one).await, []);
    let second = append(&journal, "a").await;
    assert_eq!(read(&one).await, [second]);
    assert_eq!(journal.store.stats().appended, 2);
}

/// Whoever stops waiting, also just when it was woken, leaves the room to the next.
pub async fn a_blocked_append_that_is_dropped_wakes_the_next(make: &MakeStore) {
    let journal = under_test(make, events(1, Overflow::Block)).await;
    if !journal.takes_back() {
        return;
    }
    let one = reader(&journal, "one", &["a"]).await;
    for round in 0..200 {
        let first = append(&journal, "a").await;
        let quitter = block(&journal, event_of("a", 1)).await;
        let patient = block(&journal, event_of("a", 2)).await;
        if round % 2 == 0 {
            deliver(&one, first).await;
            quitter.abort();
        } else {
            quitter.abort();
            deliver(&one, first).await;
        }
        // The quitter may have been in time.
        let appended = usize::from(quitter.await.is_ok());
        for _ in 0..appended {
            drain(&one).await;
        }
        patient.await.unwrap().unwrap();
        drain(&one).await;
        assert_eq!(depth(&one).await, 0);
    }
}

/// Many appends through a narrow journal: all get through, in the order in which they were given
/// their places.
pub async fn blocked_appends_all_get_through(make: &MakeStore) {
    const TASKS: usize = 20;
    const EACH: usize = 25;
    let journal = under_test(make, events(2, Overflow::Block)).await;
    let one = reader(&journal, "one", &["a"]).await;
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        let journal = journal.clone();
        tasks.push(tokio::spawn(async move { fill(&journal, EACH).await }));
    }
    let mut got = Vec::new();
    while got.len() < TASKS * EACH {
        let next = read(&one).await;
        assert!(next.len() <= 2);
        for sequence in next {
            got.push(sequence);
            deliver(&one, sequence).await;
        }
        tokio::task::yield_now().await;
    }
    let mut appended = Vec::new();
    for task in tasks {
        appended.extend(task.await.unwrap());
    }
    appended.sort_unstable();
    assert_eq!(got, appended);
}

/// What is dropped is missed by those who had not settled it, and a window above it stays settled.
pub async fn what_is_dropped_is_missed_only_by_who_waited(make: &MakeStore) {
    let journal = under_test(make, events(4, Overflow::DropOldest)).await;
    let strict = reader(&journal, "strict", &["a"]).await;
    let window = reader(&journal, "window", &["a"]).await;
    let all = fill(&journal, 4).await;
    deliver(&window, all[1]).await;
    deliver(&window, all[2]).await;
    let more = fill(&journal, 2).await;
    assert_eq!(read(&strict).await, [all[2], all[3], more[0], more[1]]);
    assert_eq!(read(&window).await, [all[3], more[0], more[1]]);
    assert_eq!((dropped(&strict).await, depth(&strict).await), (2, 4));
    assert_eq!((dropped(&window).await, depth(&window).await), (1, 3));
    assert_eq!(fate(&window, all[0]).await, Some(Fate::Dropped));
    assert_eq!(fate(&window, all[1]).await, Some(Fate::Delivered));
    assert!(cursor(&window).await >= all[2] && cursor(&window).await < all[3]);
    drain(&window).await;
    drain(&strict).await;
    eventually("an empty journal", async || journal.store.stats().events == 0).await;
}
