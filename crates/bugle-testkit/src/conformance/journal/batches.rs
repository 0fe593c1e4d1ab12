//! Batches, and how far their source was read.

use std::sync::Arc;

use bugle_core::{Batch, Event, Position, Sequence, SourceId, SourcePosition};

use super::super::{MakeStore, StoreLimits, UnderTest, event_of, under_test};
use super::{append, read, reader};

/// Events of these names, and the source's position behind them.
pub(in crate::conformance) fn batch(names: &[&str], position: Option<&str>) -> Batch {
    let events: Vec<Arc<Event>> = names.iter().map(|name| event_of(name, 16)).collect();
    let position = position.map(|position| SourcePosition::new("file", position).unwrap());
    Batch::new(events).position(position)
}

/// Where the source of [`batch`] is.
pub(in crate::conformance) async fn position(journal: &UnderTest) -> Option<String> {
    let position = journal.positions.position(&SourceId::new("file").unwrap()).await.unwrap();
    position.as_ref().map(Position::to_string)
}

/// All events of a batch are appended in their order, each with a place of its own.
pub async fn a_batch_is_appended_in_order(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let all = reader(&journal, "all", &[">"]).await;
    let some = reader(&journal, "some", &["b"]).await;
    let first = append(&journal, "b").await;
    let events = batch(&["a", "b", "c", "b"], None);
    let places = journal.append_all(events.clone()).await.unwrap();
    let last = append(&journal, "a").await;
    assert_eq!(places.len(), 4);
    assert!(first < places[0] && places.is_sorted() && places[3] < last);
    assert_eq!(read(&all).await, [&[first], &*places, &[last]].concat());
    assert_eq!(read(&some).await, [first, places[1], places[3]]);
    let entries = all.read(first, 4).await.unwrap();
    let read: Vec<_> = entries.iter().map(|entry| Arc::clone(&entry.event)).collect();
    assert_eq!(read, events.events);
    assert_eq!(position(&journal).await, None);
    assert_eq!(journal.store.stats().appended, 6);
}

/// A source's position is that of its last batch, whether this had events or not; other sources
/// have their own.
pub async fn a_source_is_where_its_last_batch_was(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    assert_eq!(position(&journal).await, None);
    journal.append_all(batch(&["a", "a"], Some("2"))).await.unwrap();
    assert_eq!(position(&journal).await.as_deref(), Some("2"));
    assert_eq!(journal.append_all(batch(&[], Some(""))).await, Ok(vec![]));
    assert_eq!(position(&journal).await.as_deref(), Some(""));
    let other = Batch::new(vec![event_of("a", 1)])
        .position(Some(SourcePosition::new("table", "x").unwrap()));
    journal.append_all(other).await.unwrap();
    journal.append_all(batch(&["a"], None)).await.unwrap();
    append(&journal, "a").await;
    assert_eq!(position(&journal).await.as_deref(), Some(""));
    let table = journal.positions.position(&SourceId::new("table").unwrap()).await.unwrap();
    assert_eq!(table, Some(Position::new("x").unwrap()));
    journal.append_all(batch(&["a"], Some("3"))).await.unwrap();
    assert_eq!(position(&journal).await.as_deref(), Some("3"));
    assert_eq!(journal.append_all(Batch::default()).await, Ok(vec![]));
    assert_eq!(journal.store.stats().appended, 6);
}

/// Batches of several sources and single events at once: each batch stays together.
pub async fn concurrent_batches_stay_together(make: &MakeStore) {
    const SOURCES: usize = 8;
    const EACH: usize = 20;
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let mut tasks = Vec::new();
    for source in 0..SOURCES {
        let journal = journal.clone();
        tasks.push(tokio::spawn(async move {
            let source = source.to_string();
            let (mut all, mut batches) = (Vec::new(), Vec::new());
            for round in 0..EACH {
                append(&journal, "a").await;
                let position = SourcePosition::new(&source, round.to_string()).unwrap();
                let batch = batch(&["a", "a", "a"], None).position(Some(position));
                let places = journal.append_all(batch).await.unwrap();
                assert!(places.is_sorted());
                batches.push(places.clone());
                all.extend(places);
                let now =
                    journal.positions.position(&SourceId::new(&source).unwrap()).await.unwrap();
                assert_eq!(now, Some(Position::new(round.to_string()).unwrap()));
            }
            (all, batches)
        }));
    }
    let (mut places, mut batches) = (Vec::<Sequence>::new(), Vec::new());
    for task in tasks {
        let (theirs, their_batches) = task.await.unwrap();
        places.extend(theirs);
        batches.extend(their_batches);
    }
    let count = places.len();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places.len(), count, "each event has a place of its own");
    let read = read(&one).await;
    assert_eq!(read.len(), SOURCES * EACH * 4);
    for batch in batches {
        let at = read.iter().position(|it| *it == batch[0]).unwrap();
        assert_eq!(read[at..at + 3], batch, "nothing stands between");
    }
}

/// A caller that stops waiting for a batch, at whatever moment, has appended all of it or nothing,
/// and the position says which.
pub async fn an_abandoned_batch_is_all_or_nothing(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let mut expected = Vec::new();
    let mut at = None;
    for round in 0..200_u32 {
        let wanted = round.to_string();
        let mut task = {
            let (journal, batch) = (journal.clone(), batch(&["a", "a", "a"], Some(&wanted)));
            tokio::spawn(async move { journal.append_all(batch).await })
        };
        for _ in 0..round % 16 {
            tokio::task::yield_now().await;
        }
        task.abort();
        match (&mut task).await {
            Ok(places) => {
                expected.extend(places.unwrap());
                at = Some(wanted);
            }
            Err(error) => {
                assert!(error.is_cancelled());
                if !journal.takes_back() && position(&journal).await.as_ref() == Some(&wanted) {
                    let appended = read(&one).await.split_off(expected.len());
                    assert_eq!(appended.len(), 3, "round {round}");
                    expected.extend(appended);
                    at = Some(wanted);
                }
            }
        }
        assert_eq!(position(&journal).await, at, "round {round}");
        assert_eq!(read(&one).await, expected, "round {round}");
    }
    let last = journal.append_all(batch(&["a"], Some("end"))).await.unwrap();
    expected.extend(last);
    journal.flush().await.unwrap();
    assert_eq!(read(&one).await, expected);
    assert_eq!(position(&journal).await.as_deref(), Some("end"));
}
