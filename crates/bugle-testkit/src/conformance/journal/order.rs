//! What is appended is read: by whom, and in which order.

use std::collections::BTreeMap;
use std::sync::Arc;

use bugle_core::{Reader, Sequence, Subscription};

use super::super::{MakeStore, StoreLimits, event_of, eventually, under_test};
use super::{append, cursor, deliver, depth, read, reader};

/// Of two appends that follow one another the second has the higher place, also when nobody wants
/// the events.
pub async fn appends_are_ordered(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let mut last = Sequence::START;
    for round in 0..20 {
        if round == 10 {
            reader(&journal, "one", &["a"]).await;
        }
        for name in ["a", "b"] {
            let sequence = append(&journal, name).await;
            assert!(sequence > last, "{sequence} follows {last}");
            last = sequence;
        }
    }
    journal.flush().await.unwrap();
    assert_eq!(journal.store.stats().appended, 40);
}

/// An event goes to every emitter whose subscription matches its name, and to no other.
pub async fn an_event_reaches_every_subscription_that_matches(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let names = ["a", "b", "a.b", "a.b.c", "a.c", "x.b"];
    let subscriptions: [&[&str]; 10] = [
        &["a"],
        &["a.b"],
        &["a.*"],
        &["a.>"],
        &[">"],
        &["*.b"],
        &["*"],
        &["a", "b"],
        &["a.*", "x.*"],
        &["none"],
    ];
    let mut readers = Vec::new();
    for (number, wanted) in subscriptions.iter().enumerate() {
        readers.push(reader(&journal, &format!("emitter-{number}"), wanted).await);
    }
    let mut appended = Vec::new();
    for name in names {
        let event = event_of(name, 16);
        appended.push((journal.append(Arc::clone(&event)).await.unwrap(), event));
    }
    for (wanted, reader) in subscriptions.iter().zip(&readers) {
        let subscription = Subscription::new(*wanted).unwrap();
        let expected: Vec<_> =
            appended.iter().filter(|(_, event)| subscription.matches(&event.name)).collect();
        let entries = reader.read(Sequence::START, 100).await.unwrap();
        assert_eq!(entries.len(), expected.len(), "of {wanted:?}");
        for (entry, (sequence, event)) in entries.iter().zip(expected) {
            assert_eq!((entry.sequence, &entry.event), (*sequence, event), "of {wanted:?}");
        }
    }
}

/// Names and patterns of one subscription are read together, in the journal's order.
pub async fn a_reader_of_several_names_reads_them_in_one_order(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["b", "a", "c.*"]).await;
    let mut expected = Vec::new();
    for name in ["a", "b", "z", "c.x", "a", "c.x.y", "b", "c.y"] {
        let sequence = append(&journal, name).await;
        if name != "z" && name != "c.x.y" {
            expected.push(sequence);
        }
    }
    assert_eq!(read(&one).await, expected);
}

/// A name that a subscription matches in two ways is read once.
pub async fn a_subscription_that_matches_twice_reads_once(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a.b", "a.*", ">"]).await;
    let sequence = append(&journal, "a.b").await;
    assert_eq!(read(&one).await, [sequence]);
    assert_eq!(depth(&one).await, 1);
    deliver(&one, sequence).await;
    assert_eq!(depth(&one).await, 0);
}

/// A new reader starts behind everything appended so far, also where others wait for it.
pub async fn a_new_reader_starts_behind_everything(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let early = reader(&journal, "early", &["a"]).await;
    let first = append(&journal, "a").await;
    let late = reader(&journal, "late", &["a"]).await;
    assert_eq!((depth(&late).await, read(&late).await), (0, vec![]));
    let second = append(&journal, "a").await;
    assert_eq!(read(&early).await, [first, second]);
    assert_eq!(read(&late).await, [second]);
    assert!(cursor(&late).await >= first && cursor(&late).await < second);
}

/// `read` gives the first entries behind a place, as many as it is asked for.
pub async fn reading_goes_on_after_a_place_and_stops_at_a_limit(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let mut all = Vec::new();
    for number in 0..300 {
        append(&journal, "b").await;
        all.push(append(&journal, "a").await);
        if number < 5 {
            deliver(&one, all[number]).await;
        }
    }
    let all = &all[5..];
    for (skip, limit) in [(0, 0), (0, 1), (0, 7), (1, 1), (99, 100), (290, 100), (295, 5)] {
        let after = if skip == 0 { Sequence::START } else { all[skip - 1] };
        let entries = one.read(after, limit).await.unwrap();
        let read: Vec<Sequence> = entries.iter().map(|entry| entry.sequence).collect();
        let end = (skip + limit).min(all.len());
        assert_eq!(read, all[skip..end], "{limit} after {after}");
    }
    let between = Sequence(all[9].0 + 1);
    assert_eq!(one.read(between, 1).await.unwrap()[0].sequence, all[10]);
    assert!(one.read(Sequence(u64::MAX), 1).await.unwrap().is_empty());
}

/// Reads and settles until so many entries were read, each in one read-ahead of 16.
async fn drain(reader: Arc<dyn Reader>, count: usize) -> Vec<Sequence> {
    let mut got = Vec::new();
    let mut last = Sequence::START;
    while got.len() < count {
        for entry in reader.read(last, 16).await.unwrap() {
            last = entry.sequence;
            got.push(last);
            deliver(&reader, last).await;
        }
        tokio::task::yield_now().await;
    }
    got
}

/// Many append while many read: every reader gets every entry that it wants once, in order.
pub async fn concurrent_appends_are_read_once_in_order(make: &MakeStore) {
    const EACH: usize = 300;
    let names = ["a", "b", "c.d"];
    let journal = under_test(make, StoreLimits::default()).await;
    let subscriptions: [&[&str]; 5] = [&["a"], &["a"], &["a", "b"], &["c.*", "b"], &[">"]];
    let mut drains = Vec::new();
    for (number, wanted) in subscriptions.iter().enumerate() {
        let reader = reader(&journal, &format!("emitter-{number}"), wanted).await;
        let subscription = Subscription::new(*wanted).unwrap();
        let matching = names.iter().filter(|it| subscription.matches(&event_of(it, 0).name));
        let count = matching.count() * 2 * EACH;
        drains.push((subscription, tokio::spawn(drain(reader, count))));
    }
    let mut appends = Vec::new();
    for name in names.into_iter().chain(names) {
        let journal = journal.clone();
        appends.push((
            name,
            tokio::spawn(async move {
                let mut all = Vec::new();
                for _ in 0..EACH {
                    all.push(append(&journal, name).await);
                }
                assert!(all.is_sorted(), "appends that follow one another");
                all
            }),
        ));
    }
    let mut appended = BTreeMap::new();
    for (name, task) in appends {
        appended.extend(task.await.unwrap().into_iter().map(|sequence| (sequence, name)));
    }
    assert_eq!(appended.len(), 6 * EACH, "sequence numbers are unique");
    for (subscription, task) in drains {
        let wanted = appended.iter().filter(|(_, it)| subscription.matches(&event_of(it, 0).name));
        let wanted: Vec<Sequence> = wanted.map(|(sequence, _)| *sequence).collect();
        assert_eq!(task.await.unwrap(), wanted, "of {subscription}");
    }
    eventually("an empty journal", async || journal.store.stats().events == 0).await;
}
