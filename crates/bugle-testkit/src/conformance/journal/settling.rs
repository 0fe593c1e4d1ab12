//! What is settled is never read again, and goes when all have settled it.

use std::sync::Arc;

use bugle_core::{AttemptCode, Backlog, DeadLetterQuery, EmitterId, Entry, Fate, Sequence};

use super::super::{MakeStore, StoreLimits, event_of, eventually, under_test};
use super::{append, cursor, deliver, depth, fate, forget, give_up, pause, read, reader, resume};

/// Settled out of order, the cursor stays below the first that waits; what is settled above it is
/// not read again.
pub async fn the_cursor_is_below_the_first_unsettled(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let mut all = Vec::new();
    for _ in 0..6 {
        all.push(append(&journal, "a").await);
    }
    let mut settled = Vec::new();
    for number in [3, 1, 5, 2] {
        deliver(&one, all[number]).await;
        settled.push(all[number]);
        assert!(cursor(&one).await < all[0]);
        let left: Vec<_> = all.iter().copied().filter(|it| !settled.contains(it)).collect();
        assert_eq!(read(&one).await, left);
        assert_eq!(depth(&one).await, left.len() as u64);
    }
    deliver(&one, all[0]).await;
    assert!(cursor(&one).await >= all[3] && cursor(&one).await < all[4]);
    deliver(&one, all[4]).await;
    assert!(cursor(&one).await >= all[5]);
    assert_eq!(read(&one).await, []);
}

/// Settling what is settled, or what never waited, does nothing.
pub async fn settling_twice_does_nothing(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let two = reader(&journal, "two", &["a"]).await;
    let foreign = append(&journal, "b").await;
    let first = append(&journal, "a").await;
    let second = append(&journal, "a").await;
    for sequence in [second, second, first, first, second, foreign, Sequence(u64::MAX)] {
        deliver(&one, sequence).await;
    }
    let entry = Entry::new(first, event_of("a", 16));
    give_up("one", &one, &entry).await;
    assert_eq!(fate(&one, first).await, Some(Fate::Delivered));
    assert_eq!(journal.letters.count(&DeadLetterQuery::new()).await.unwrap(), 0);
    assert_eq!((depth(&one).await, depth(&two).await), (0, 2));
    assert_eq!(read(&two).await, [first, second]);
    let third = append(&journal, "a").await;
    assert_eq!(read(&one).await, [third]);
}

/// Reading settles nothing: what was read and not settled is read again.
pub async fn what_is_not_settled_is_read_again(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    let second = append(&journal, "a").await;
    for _ in 0..3 {
        assert_eq!(read(&one).await, [first, second]);
    }
    deliver(&one, first).await;
    assert_eq!(read(&one).await, [second]);
}

/// What became of an entry can be asked, and is nothing while it waits.
pub async fn every_entry_has_a_fate(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    for _ in 0..4 {
        append(&journal, "a").await;
    }
    let all = one.read(Sequence::START, 4).await.unwrap();
    let fates = async || {
        let mut fates = Vec::new();
        for entry in &all {
            fates.push(fate(&one, entry.sequence).await);
        }
        fates
    };
    let (delivered, dead) = (Some(Fate::Delivered), Some(Fate::DeadLettered));
    assert_eq!(fates().await, [None; 4]);
    give_up("one", &one, &all[1]).await;
    deliver(&one, all[2].sequence).await;
    assert_eq!(fates().await, [None, dead, delivered, None]);
    deliver(&one, all[0].sequence).await;
    assert_eq!(fates().await, [delivered, dead, delivered, None]);
    pause(&one, Backlog::Discard).await;
    assert_eq!(fates().await, [delivered, dead, delivered, Some(Fate::Dropped)]);
    resume(&one).await;
    assert_eq!(fates().await, [delivered, dead, delivered, Some(Fate::Dropped)]);
}

/// Dead letters are listed newest first, of one emitter or of all, as many as asked for.
pub async fn dead_letters_are_kept_newest_first(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let two = reader(&journal, "two", &["a"]).await;
    for _ in 0..3 {
        append(&journal, "a").await;
    }
    let all = one.read(Sequence::START, 3).await.unwrap();
    give_up("one", &one, &all[0]).await;
    give_up("two", &two, &all[0]).await;
    give_up("one", &one, &all[1]).await;
    let listed = async |emitter: Option<&str>, limit| {
        let emitter = emitter.map(|emitter| EmitterId::new(emitter).unwrap());
        let query = DeadLetterQuery::new().emitter_ids(emitter).limit(limit);
        let page = journal.letters.page(&query, None).await.unwrap();
        page.items.iter().map(|it| (it.emitter.to_string(), it.sequence)).collect::<Vec<_>>()
    };
    let expected = [("one", 1), ("two", 0), ("one", 0)]
        .map(|(emitter, number): (&str, usize)| (emitter.to_owned(), all[number].sequence));
    assert_eq!(listed(None, 10).await, expected);
    assert_eq!(listed(None, 2).await, expected[..2]);
    assert_eq!(listed(Some("one"), 10).await, [expected[0].clone(), expected[2].clone()]);
    assert_eq!(listed(Some("nobody"), 10).await, []);
    let letters = journal.letters.page(&DeadLetterQuery::new(), None).await.unwrap().items;
    assert_eq!(letters[0].event, all[1].event);
    assert_eq!((letters[0].code, letters[0].attempts), (AttemptCode::Timeout, 3));
    assert_eq!(letters[0].message, "the deadline passed");
}

/// The depth is what waits for one emitter, whatever waits for others.
pub async fn depth_counts_what_waits(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let both = reader(&journal, "both", &["a", "b"]).await;
    let mut all = Vec::new();
    for number in 0..10_u64 {
        all.push(append(&journal, if number % 2 == 0 { "a" } else { "b" }).await);
        assert_eq!((depth(&one).await, depth(&both).await), (number / 2 + 1, number + 1));
    }
    for (number, sequence) in all.iter().enumerate() {
        deliver(&both, *sequence).await;
        assert_eq!((depth(&one).await, depth(&both).await), (5, 9 - number as u64));
    }
}

/// An event that all have settled is kept no longer.
pub async fn settled_events_go(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let two = reader(&journal, "two", &["a", "b"]).await;
    append(&journal, "nobody.wants.this").await;
    let mut all = Vec::new();
    for _ in 0..10 {
        all.push(append(&journal, "a").await);
    }
    for sequence in all.iter().rev() {
        deliver(&one, *sequence).await;
    }
    assert!(journal.store.stats().events >= 10);
    for sequence in &all {
        deliver(&two, *sequence).await;
    }
    eventually("an empty journal", async || {
        let stats = journal.store.stats();
        (stats.events, stats.bytes) == (0, 0)
    })
    .await;
    assert_eq!(journal.store.stats().appended, 11);
}

/// However many emitters wait for an event, it is held once.
pub async fn an_event_is_kept_once_for_all(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let mut readers = Vec::new();
    for number in 0..50 {
        let names: &[&str] = if number % 2 == 0 { &["a"] } else { &["a", "b"] };
        readers.push(reader(&journal, &format!("emitter-{number}"), names).await);
    }
    journal.append(event_of("a", 10_000)).await.unwrap();
    let stats = journal.store.stats();
    assert_eq!((stats.events, stats.bytes), (1, 10_000));
    for reader in &readers {
        assert_eq!(depth(reader).await, 1);
    }
}

/// A wide fan-out: every one of many emitters reads every event, at its own pace.
pub async fn many_emitters_share_an_event(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let mut readers = Vec::new();
    for number in 0..500 {
        readers.push(reader(&journal, &format!("emitter-{number}"), &["a"]).await);
    }
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(append(&journal, "a").await);
    }
    for (number, reader) in readers.iter().enumerate() {
        for sequence in &all[..number % 21] {
            deliver(reader, *sequence).await;
        }
    }
    for (number, reader) in readers.iter().enumerate() {
        assert_eq!(read(reader).await, all[number % 21..]);
        for sequence in &all[number % 21..] {
            deliver(reader, *sequence).await;
        }
    }
    eventually("an empty journal", async || journal.store.stats().events == 0).await;
}

/// Several tasks settle one reader's entries at once, others come and go meanwhile.
pub async fn concurrent_settling_loses_nothing(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let mut all = Vec::new();
    for _ in 0..400 {
        all.push(append(&journal, "a").await);
    }
    let mut tasks = Vec::new();
    for part in 0..4 {
        let (one, all) = (Arc::clone(&one), all.clone());
        tasks.push(tokio::spawn(async move {
            for sequence in all.iter().skip(part).step_by(4).take(99) {
                deliver(&one, *sequence).await;
                tokio::task::yield_now().await;
            }
        }));
    }
    let others = journal.clone();
    tasks.push(tokio::spawn(async move {
        for _ in 0..50 {
            let other = reader(&others, "other", &["a"]).await;
            append(&others, "a").await;
            pause(&other, Backlog::Keep).await;
            resume(&other).await;
            forget(&others, "other").await;
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(depth(&one).await, 4 + 50);
    assert_eq!(read(&one).await[..4], all[396..]);
    assert!(cursor(&one).await >= all[395] && cursor(&one).await < all[396]);
}
