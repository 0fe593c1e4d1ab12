//! Emitters that pause, come back, want something else, and are forgotten.

use bugle_core::{Backlog, Fate};

use super::super::{MakeStore, StoreLimits, eventually, under_test};
use super::{
    append, cursor, deliver, depth, dropped, fate, forget, is_fenced, pause, read, reader, resume,
    since,
};

/// A reader that is opened again goes on from its cursor, with what is settled above it.
pub async fn opening_again_goes_on_from_the_cursor(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let before = reader(&journal, "one", &["a"]).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(append(&journal, "a").await);
    }
    deliver(&before, all[0]).await;
    deliver(&before, all[2]).await;
    let after = reader(&journal, "one", &["a"]).await;
    assert_eq!(read(&after).await, [all[1], all[3]]);
    assert_eq!((depth(&after).await, cursor(&after).await), (2, all[0]));
    assert!(is_fenced(&before).await, "the handle of before reads nothing");
    deliver(&after, all[1]).await;
    assert_eq!(read(&after).await, [all[3]]);
}

/// Another subscription decides about what comes; what waits was accepted and stays.
pub async fn another_subscription_keeps_what_waits(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let witness = reader(&journal, "witness", &[">"]).await;
    let before = reader(&journal, "one", &["a", "b"]).await;
    let a1 = append(&journal, "a").await;
    let b1 = append(&journal, "b").await;
    let c1 = append(&journal, "c").await;
    let b2 = append(&journal, "b").await;
    let b3 = append(&journal, "b").await;
    deliver(&before, b2).await;
    assert!(since(&before).await < a1);
    let after = reader(&journal, "one", &["b", "c"]).await;
    assert_eq!(read(&after).await, [a1, b1, b3]);
    assert_eq!((depth(&after).await, dropped(&after).await), (3, 0));
    assert_eq!(fate(&after, b2).await, Some(Fate::Delivered));
    assert_eq!((fate(&after, a1).await, fate(&after, b1).await), (None, None));
    let a2 = append(&journal, "a").await;
    assert!(since(&after).await >= b3 && since(&after).await < a2);
    assert!(since(&after).await > c1, "it was not meant for it");
    let c2 = append(&journal, "c").await;
    let b4 = append(&journal, "b").await;
    assert_eq!(read(&after).await, [a1, b1, b3, c2, b4]);
    deliver(&after, c2).await;
    deliver(&after, b1).await;
    let third = reader(&journal, "one", &["d"]).await;
    assert_eq!(read(&third).await, [a1, b3, b4]);
    for sequence in [a1, b3, b4] {
        assert!(cursor(&third).await < sequence);
        deliver(&third, sequence).await;
    }
    assert_eq!((depth(&third).await, cursor(&third).await >= b4), (0, true));
    let d1 = append(&journal, "d").await;
    assert_eq!(read(&third).await, [d1]);
    assert_eq!(depth(&witness).await, 9, "nobody else noticed");
}

/// With `Backlog::Keep`, what waits and what comes is read after the pause; meanwhile nothing is.
pub async fn pausing_can_keep_the_backlog(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    let second = append(&journal, "a").await;
    pause(&one, Backlog::Keep).await;
    let third = append(&journal, "a").await;
    assert_eq!(read(&one).await, [], "a paused reader reads nothing");
    assert_eq!((depth(&one).await, dropped(&one).await), (3, 0));
    deliver(&one, first).await;
    assert_eq!(depth(&one).await, 2, "what was in flight may still be settled");
    resume(&one).await;
    assert_eq!(read(&one).await, [second, third]);
    assert_eq!(fate(&one, second).await, None);
}

/// With `Backlog::Discard`, what waits and what comes is dropped; what comes after it is read.
pub async fn pausing_can_discard_the_backlog(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let other = reader(&journal, "other", &["a"]).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(append(&journal, "a").await);
    }
    deliver(&one, all[0]).await;
    deliver(&one, all[2]).await;
    pause(&one, Backlog::Discard).await;
    assert_eq!((depth(&one).await, dropped(&one).await), (0, 2));
    let during = append(&journal, "a").await;
    deliver(&one, all[1]).await;
    resume(&one).await;
    assert_eq!((depth(&one).await, read(&one).await), (0, vec![]));
    let after = append(&journal, "a").await;
    assert_eq!(read(&one).await, [after]);
    for (number, expected) in [
        (all[0], Some(Fate::Delivered)),
        (all[1], Some(Fate::Dropped)),
        (all[2], Some(Fate::Delivered)),
        (all[3], Some(Fate::Dropped)),
        (during, Some(Fate::Dropped)),
        (after, None),
    ] {
        assert_eq!(fate(&one, number).await, expected, "of {number}");
    }
    assert_eq!(depth(&other).await, 6, "nobody else noticed");
    assert_eq!(journal.store.stats().dropped, 2);
}

/// A reader that is paused may be paused otherwise, and resuming one that reads does nothing.
pub async fn pausing_twice_is_the_last_pause(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    resume(&one).await;
    append(&journal, "a").await;
    pause(&one, Backlog::Keep).await;
    pause(&one, Backlog::Keep).await;
    append(&journal, "a").await;
    pause(&one, Backlog::Discard).await;
    pause(&one, Backlog::Discard).await;
    assert_eq!((depth(&one).await, dropped(&one).await), (0, 2));
    append(&journal, "a").await;
    pause(&one, Backlog::Keep).await;
    let kept = append(&journal, "a").await;
    resume(&one).await;
    resume(&one).await;
    assert_eq!(read(&one).await, [kept]);
}

/// What a forgotten emitter had not settled is dropped, and its readers read nothing.
pub async fn a_forgotten_emitter_reads_nothing(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    forget(&journal, "nobody").await;
    let one = reader(&journal, "one", &["a"]).await;
    let other = reader(&journal, "other", &["a"]).await;
    let first = append(&journal, "a").await;
    let second = append(&journal, "a").await;
    deliver(&one, first).await;
    forget(&journal, "one").await;
    let third = append(&journal, "a").await;
    assert_eq!(read(&one).await, []);
    assert_eq!(depth(&one).await, 0);
    deliver(&one, second).await;
    pause(&one, Backlog::Keep).await;
    resume(&one).await;
    assert_eq!(read(&one).await, []);
    assert_eq!(read(&other).await, [first, second, third]);
    for sequence in [first, second, third] {
        deliver(&other, sequence).await;
    }
    eventually("an empty journal", async || journal.store.stats().events == 0).await;
}

/// An emitter that comes back after it was forgotten is new.
pub async fn a_forgotten_emitter_starts_anew(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let before = reader(&journal, "one", &["a"]).await;
    append(&journal, "a").await;
    forget(&journal, "one").await;
    append(&journal, "a").await;
    let after = reader(&journal, "one", &["a"]).await;
    assert_eq!((read(&after).await, depth(&after).await, dropped(&after).await), (vec![], 0, 0));
    let third = append(&journal, "a").await;
    assert_eq!(read(&after).await, [third]);
    assert_eq!(read(&before).await, [], "the handle of before reads nothing");
}
