//! Events that are marked as delivered, or deleted, while others wait.

use bugle_core::{EventQuery, Fate, Overflow, Sequence};

use super::super::journal::{
    cursor, deliver, depth, dropped, fate, give_up, pause, read, reader, resume,
};
use super::super::{MakeStore, StoreLimits, with_events};
use super::{all, append, id, ids, is_delivered};

/// A marked event is settled at every emitter that waits, also at a paused one, and counts as
/// delivered there.
pub async fn marking_settles_an_event_everywhere(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let one = reader(&journal, "one", &["a"]).await;
    let two = reader(&journal, "two", &[">"]).await;
    let paused = reader(&journal, "paused", &["a"]).await;
    let mut all = Vec::new();
    for number in 0..4 {
        all.push(append(&journal, "a", number).await);
    }
    pause(&paused, bugle_core::Backlog::Keep).await;
    deliver(&one, all[0]).await;
    for number in [2, 0] {
        assert!(log.mark_delivered(&id(number)).await.unwrap());
        assert!(is_delivered(&log, number).await);
        for reader in [&one, &two, &paused] {
            assert_eq!(fate(reader, all[number]).await, Some(Fate::Delivered));
            assert_eq!(dropped(reader).await, 0);
        }
    }
    resume(&paused).await;
    for reader in [&one, &two, &paused] {
        assert_eq!(read(reader).await, [all[1], all[3]]);
        assert_eq!((depth(reader).await, cursor(reader).await), (2, all[0]));
    }
    assert!(log.mark_delivered(&id(2)).await.unwrap(), "it can be marked again");
    assert_eq!(journal.store.stats().dropped, 0);
}

/// A marked event is no dead letter any more, and stays in the log.
pub async fn marking_removes_dead_letters(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let one = reader(&journal, "one", &["a"]).await;
    let two = reader(&journal, "two", &["a"]).await;
    for number in 0..3 {
        append(&journal, "a", number).await;
    }
    let entries = one.read(Sequence::START, 3).await.unwrap();
    for entry in &entries {
        give_up("one", &one, entry).await;
        give_up("two", &two, entry).await;
    }
    assert!(log.mark_delivered(&id(1)).await.unwrap());
    for reader in [&one, &two] {
        let (delivered, dead) = (Some(Fate::Delivered), Some(Fate::DeadLettered));
        for (entry, expected) in entries.iter().zip([dead, delivered, dead]) {
            assert_eq!(fate(reader, entry.sequence).await, expected);
        }
    }
    let open = all(&log, &EventQuery::new().is_delivered(false)).await;
    assert_eq!(ids(&open), ["e2", "e0"]);
    assert!(is_delivered(&log, 1).await);
    assert!(log.delete(&id(0)).await.unwrap());
    assert_eq!(log.get(&id(0)).await.unwrap(), None);
    let open = all(&log, &EventQuery::new()).await;
    assert_eq!(ids(&open), ["e2", "e1"]);
}

/// A deleted event is dropped at every emitter that waits, and counted there; it is gone from the
/// log.
pub async fn deleting_drops_an_event_everywhere(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let one = reader(&journal, "one", &["a"]).await;
    let two = reader(&journal, "two", &["a"]).await;
    let mut places = Vec::new();
    for number in 0..4 {
        places.push(append(&journal, "a", number).await);
    }
    deliver(&one, places[1]).await;
    assert!(log.delete(&id(1)).await.unwrap());
    assert!(log.delete(&id(3)).await.unwrap());
    assert_eq!((fate(&one, places[1]).await, dropped(&one).await), (Some(Fate::Delivered), 1));
    assert_eq!((fate(&two, places[1]).await, dropped(&two).await), (Some(Fate::Dropped), 2));
    assert_eq!(journal.store.stats().dropped, 3);
    for reader in [&one, &two] {
        assert_eq!(read(reader).await, [places[0], places[2]]);
    }
    assert_eq!(ids(&all(&log, &EventQuery::new()).await), ["e2", "e0"]);
    assert_eq!(log.get(&id(3)).await.unwrap(), None);
    assert!(!log.delete(&id(3)).await.unwrap());
    // What comes now is not disturbed.
    let next = append(&journal, "a", 9).await;
    assert_eq!(read(&two).await, [places[0], places[2], next]);
}

/// Whatever is taken, what is left is read in order, and each cursor ends behind all.
pub async fn taking_an_event_leaves_the_others_in_order(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let one = reader(&journal, "one", &["a", "b"]).await;
    let mut left = Vec::new();
    for number in 0..60 {
        left.push(append(&journal, if number % 2 == 0 { "a" } else { "b" }, number).await);
    }
    let whole = left.clone();
    let mut takes = (0..60).map(|number| (number * 37) % 60);
    for number in takes.by_ref() {
        let place = whole[number];
        match number % 3 {
            0 => assert!(log.mark_delivered(&id(number)).await.unwrap()),
            1 => assert!(log.delete(&id(number)).await.unwrap()),
            _ => deliver(&one, place).await,
        }
        left.retain(|other| *other != place);
        assert_eq!(read(&one).await, left);
        assert_eq!(depth(&one).await, left.len() as u64);
        if number % 20 == 0 {
            // With another subscription and back again it goes on where it was.
            drop(reader(&journal, "one", &["a", "b", "c"]).await);
            break;
        }
    }
    let one = reader(&journal, "one", &["a", "b"]).await;
    for number in takes {
        let place = whole[number];
        assert!(log.mark_delivered(&id(number)).await.unwrap());
        left.retain(|other| *other != place);
        assert_eq!(read(&one).await, left);
    }
    assert_eq!((depth(&one).await, journal.store.stats().events), (0, 0));
}

/// An append that waits for room goes on when an event is taken.
pub async fn taking_an_event_makes_room(make: &MakeStore) {
    let limits = StoreLimits { max_events_per_subscription: 2, ..StoreLimits::default() };
    assert_eq!(limits.overflow, Overflow::Block);
    let Some((journal, log)) = with_events(make, limits).await else { return };
    let one = reader(&journal, "one", &["a"]).await;
    append(&journal, "a", 0).await;
    let second = append(&journal, "a", 1).await;
    let waiting = {
        let journal = journal.clone();
        tokio::spawn(async move { append(&journal, "a", 2).await })
    };
    super::super::eventually("an append that waits", async || journal.store.stats().blocked == 1)
        .await;
    assert!(log.delete(&id(0)).await.unwrap());
    let third = waiting.await.unwrap();
    assert_eq!(read(&one).await, [second, third]);
}

/// Where several events have one id, all of them are taken.
pub async fn all_events_of_an_id_are_taken(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let one = reader(&journal, "one", &["a"]).await;
    append(&journal, "a", 1).await;
    let other = append(&journal, "a", 2).await;
    append(&journal, "a", 1).await;
    assert!(log.mark_delivered(&id(1)).await.unwrap());
    assert_eq!(read(&one).await, [other]);
    assert!(log.delete(&id(1)).await.unwrap());
    assert_eq!(ids(&all(&log, &EventQuery::new()).await), ["e2"]);
}

/// An attempt that was in flight meanwhile settles nothing, and makes no dead letter.
pub async fn what_was_taken_stays_taken(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let one = reader(&journal, "one", &["a"]).await;
    for number in 0..3 {
        append(&journal, "a", number).await;
    }
    let entries = one.read(Sequence::START, 3).await.unwrap();
    assert!(log.mark_delivered(&id(0)).await.unwrap());
    assert!(log.delete(&id(1)).await.unwrap());
    give_up("one", &one, &entries[0]).await;
    give_up("one", &one, &entries[1]).await;
    assert_eq!(fate(&one, entries[0].sequence).await, Some(Fate::Delivered));
    assert_eq!(fate(&one, entries[1].sequence).await, Some(Fate::Dropped));
    assert!(is_delivered(&log, 0).await);
    assert_eq!(log.get(&id(1)).await.unwrap(), None);
    assert_eq!(read(&one).await, [entries[2].sequence]);
}
