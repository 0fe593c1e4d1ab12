//! Batches at the limits: the policy holds for a batch as a whole.

use bugle_core::{AppendError, Backlog, Batch, Overflow, Sequence};
use tokio::task::JoinHandle;

use super::super::journal::{
    append, batch, deliver, depth, dropped, pause, position, read, reader, resume,
};
use super::super::{MakeStore, StoreLimits, UnderTest, event_of, eventually, under_test};
use super::{POLICIES, bytes, drain, events, fill};

type AppendingAll = JoinHandle<Result<Vec<Sequence>, AppendError>>;

/// `Overflow::Block`: a batch waits until all of it has room, and nothing of it is there before.
pub async fn a_batch_waits_for_all_its_room(make: &MakeStore) {
    let journal = under_test(make, events(4, Overflow::Block)).await;
    let one = reader(&journal, "one", &["a"]).await;
    let other = reader(&journal, "other", &["b"]).await;
    let all = fill(&journal, 3).await;
    let waiting = {
        let journal = journal.clone();
        let batch = batch(&["b", "a", "a", "a"], Some("4"));
        tokio::spawn(async move { journal.append_all(batch).await })
    };
    eventually("a blocked batch", async || journal.store.stats().blocked == 1).await;
    for sequence in &all[..2] {
        assert_eq!((read(&other).await, position(&journal).await), (vec![], None));
        assert!(!waiting.is_finished());
        deliver(&one, *sequence).await;
    }
    let places = waiting.await.unwrap().unwrap();
    assert_eq!(read(&one).await, [&all[2..], &places[1..]].concat());
    assert_eq!(read(&other).await, places[..1]);
    assert_eq!(position(&journal).await.as_deref(), Some("4"));
    assert_eq!((journal.store.stats().appended, journal.store.stats().dropped), (7, 0));
}

/// `Overflow::Reject`: nothing of a batch is stored when one of its events has no room.
pub async fn a_batch_is_rejected_as_a_whole(make: &MakeStore) {
    let journal = under_test(make, events(4, Overflow::Reject)).await;
    let one = reader(&journal, "one", &["a"]).await;
    let other = reader(&journal, "other", &["b"]).await;
    let all = fill(&journal, 2).await;
    let refused = journal.append_all(batch(&["b", "a", "a", "a"], Some("4"))).await;
    assert!(matches!(refused, Err(AppendError::Full { .. })), "{refused:?}");
    assert_eq!((read(&one).await, read(&other).await), (all.clone(), vec![]));
    assert_eq!(position(&journal).await, None);
    let places = journal.append_all(batch(&["b", "a", "a"], Some("3"))).await.unwrap();
    assert_eq!(read(&one).await, [&all[..], &places[1..]].concat());
    assert_eq!((journal.store.stats().appended, journal.store.stats().rejected), (5, 1));
}

/// `Overflow::DropOldest`: as many make room as the batch has events, none of its own.
pub async fn a_batch_drops_the_oldest(make: &MakeStore) {
    let journal = under_test(make, events(4, Overflow::DropOldest)).await;
    let one = reader(&journal, "one", &["a"]).await;
    let all = fill(&journal, 3).await;
    let places = journal.append_all(batch(&["a", "a", "a"], None)).await.unwrap();
    assert_eq!(read(&one).await, [&all[2..], &places[..]].concat());
    let places = journal.append_all(batch(&["a", "a", "a", "a"], None)).await.unwrap();
    assert_eq!((read(&one).await, dropped(&one).await), (places, 6));
}

/// A batch that is larger than the journal is refused at once, whatever the policy; the largest
/// that fits is taken.
pub async fn a_batch_that_can_never_fit_is_refused(make: &MakeStore) {
    for overflow in POLICIES {
        let journal = under_test(make, events(3, overflow)).await;
        let one = reader(&journal, "one", &["a"]).await;
        let error = journal.append_all(batch(&["a"; 4], Some("4"))).await.unwrap_err();
        assert!(matches!(error, AppendError::BatchTooLarge { events: 4, .. }), "{error}");
        assert!(error.to_string().contains("at most 3") || error.to_string().contains("3 events"));
        // What nobody waits for needs no room in a batch either.
        let places = journal.append_all(batch(&["a", "z", "a", "z", "a"], Some("5"))).await;
        assert_eq!(read(&one).await.len(), 3);
        assert_eq!((places.unwrap().len(), position(&journal).await.as_deref()), (5, Some("5")));

        let journal = under_test(make, bytes(10_000, overflow)).await;
        let one = reader(&journal, "one", &["a"]).await;
        let large = |count: usize| Batch::new((0..count).map(|_| event_of("a", 3_000)).collect());
        let error = journal.append_all(large(4)).await.unwrap_err();
        assert!(matches!(error, AppendError::BatchTooLarge { events: 4, .. }), "{error}");
        journal.append_all(large(3)).await.unwrap();
        assert_eq!(depth(&one).await, 3);
        drain(&one).await;
        eventually("room", async || journal.store.stats().events == 0).await;
        journal.append_all(Batch::new(vec![event_of("a", 10_000)])).await.unwrap();
        assert_eq!(depth(&one).await, 1);
    }
}

/// Appends a batch in a task, and waits until it is blocked.
async fn block_batch(journal: &UnderTest, names: &[&str]) -> AppendingAll {
    let before = journal.store.stats().blocked;
    let (theirs, batch) = (journal.clone(), batch(names, Some("x")));
    let task = tokio::spawn(async move { theirs.append_all(batch).await });
    eventually("a blocked batch", async || journal.store.stats().blocked > before).await;
    task
}

/// A batch that waits is let in by a pause, and one that is given up leaves the room to the next.
pub async fn a_blocked_batch_goes_on_or_leaves(make: &MakeStore) {
    let journal = under_test(make, events(3, Overflow::Block)).await;
    if !journal.takes_back() {
        return;
    }
    let one = reader(&journal, "one", &["a"]).await;
    let all = fill(&journal, 3).await;
    let quitter = block_batch(&journal, &["a", "a", "a"]).await;
    let patient = block_batch(&journal, &["a"]).await;
    deliver(&one, all[0]).await;
    quitter.abort();
    assert!(quitter.await.unwrap_err().is_cancelled());
    let place = patient.await.unwrap().unwrap();
    assert_eq!(read(&one).await, [&all[1..], &place[..]].concat());
    let last = block_batch(&journal, &["a", "a"]).await;
    pause(&one, Backlog::Keep).await;
    let places = last.await.unwrap().unwrap();
    resume(&one).await;
    assert_eq!(read(&one).await, [&place[..], &places[..]].concat());
    assert_eq!((dropped(&one).await, journal.store.stats().appended), (2, 6));
    append_after(&journal).await;
}

async fn append_after(journal: &UnderTest) {
    // Nothing is left reserved: with room for three, three fit.
    let journal = journal.clone();
    let one = reader(&journal, "fresh", &["b"]).await;
    for _ in 0..3 {
        append(&journal, "b").await;
    }
    assert_eq!(depth(&one).await, 3);
}

/// The limits of a batch in bytes are those of its events together.
pub async fn a_batch_waits_for_bytes(make: &MakeStore) {
    let limits = StoreLimits { max_bytes: 100_000, ..StoreLimits::default() };
    let journal = under_test(make, limits).await;
    let one = reader(&journal, "one", &["a", "b"]).await;
    let mut all = Vec::new();
    for _ in 0..9 {
        all.push(journal.append(event_of("a", 10_000)).await.unwrap());
    }
    let waiting = {
        let journal = journal.clone();
        let events = (0..5).map(|_| event_of("b", 10_000)).collect();
        tokio::spawn(async move { journal.append_all(Batch::new(events)).await })
    };
    eventually("a blocked batch", async || journal.store.stats().blocked == 1).await;
    for sequence in &all[..5] {
        assert!(!waiting.is_finished());
        deliver(&one, *sequence).await;
    }
    let places = waiting.await.unwrap().unwrap();
    assert_eq!(read(&one).await, [&all[5..], &places[..]].concat());
    assert!(journal.store.stats().bytes <= 100_000);
}

/// A payload that is larger than the journal is refused with all of its batch.
pub async fn a_batch_with_one_bad_event_is_refused(make: &MakeStore) {
    let journal = under_test(make, bytes(10_000, Overflow::Block)).await;
    let one = reader(&journal, "one", &["a"]).await;
    let mut refused = batch(&["a", "a"], Some("7"));
    refused.events.insert(1, event_of("a", 10_001));
    let error = journal.append_all(refused).await.unwrap_err();
    assert_eq!(error, AppendError::TooLarge { bytes: 10_001, limit: 10_000 });
    assert_eq!((read(&one).await, position(&journal).await), (vec![], None));
    assert_eq!(journal.store.stats().appended, 0);
}
