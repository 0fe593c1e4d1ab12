//! What an emitter that is paused, or goes, does to a journal at its limits.

use bugle_core::{Backlog, Fate, Overflow};

use super::super::journal::{depth, dropped, fate, forget, pause, read, reader, resume};
use super::super::{MakeStore, event_of, under_test};
use super::{POLICIES, block, bytes, drain, events, fill};

/// Whatever the policy, an emitter that does not read holds nobody up: what it has kept is dropped,
/// the oldest first, while everyone who reads misses nothing.
pub async fn a_paused_emitter_blocks_nobody(make: &MakeStore) {
    for overflow in POLICIES {
        let journal = under_test(make, events(3, overflow)).await;
        let paused = reader(&journal, "paused", &["a"]).await;
        let reading = reader(&journal, "reading", &["a"]).await;
        let all = fill(&journal, 2).await;
        pause(&paused, Backlog::Keep).await;
        drain(&reading).await;
        let mut more = Vec::new();
        for _ in 0..5 {
            more.extend(fill(&journal, 1).await);
            drain(&reading).await;
        }
        assert_eq!((dropped(&reading).await, depth(&reading).await), (0, 0));
        assert_eq!((dropped(&paused).await, depth(&paused).await), (4, 3));
        resume(&paused).await;
        assert_eq!(read(&paused).await, more[2..]);
        assert_eq!(fate(&paused, all[0]).await, Some(Fate::Dropped));
        assert_eq!(fate(&reading, all[0]).await, Some(Fate::Delivered));
        let stats = journal.store.stats();
        assert_eq!((stats.blocked, stats.rejected, stats.dropped), (0, 0, 4));
    }
}

/// The same for bytes, across subscriptions: what nobody reads goes first, however young.
pub async fn a_paused_emitter_makes_room_for_bytes(make: &MakeStore) {
    for overflow in POLICIES {
        let journal = under_test(make, bytes(100_000, overflow)).await;
        let slow = reader(&journal, "slow", &["a"]).await;
        let paused = reader(&journal, "paused", &["b"]).await;
        pause(&paused, Backlog::Keep).await;
        let oldest = journal.append(event_of("a", 10_000)).await.unwrap();
        let mut kept = Vec::new();
        for _ in 0..20 {
            kept.push(journal.append(event_of("b", 10_000)).await.unwrap());
        }
        let newest = journal.append(event_of("a", 10_000)).await.unwrap();
        assert_eq!((read(&slow).await, dropped(&slow).await), (vec![oldest, newest], 0));
        resume(&paused).await;
        let left = read(&paused).await;
        assert!(left.len() >= 5, "{} are left", left.len());
        assert_eq!(left, kept[20 - left.len()..]);
        assert_eq!(dropped(&paused).await, 20 - left.len() as u64);
        assert!(journal.store.stats().bytes <= 100_000);
    }
}

/// An append that waits for an emitter goes on when this one pauses or is forgotten.
pub async fn pausing_and_forgetting_unblock(make: &MakeStore) {
    for how in 0..4 {
        let journal = under_test(make, events(2, Overflow::Block)).await;
        let one = reader(&journal, "one", &["a"]).await;
        fill(&journal, 2).await;
        let mut waiting = Vec::new();
        for _ in 0..5 {
            waiting.push(block(&journal, event_of("a", 1)).await);
        }
        match how {
            0 => pause(&one, Backlog::Keep).await,
            1 => pause(&one, Backlog::Discard).await,
            2 => forget(&journal, "one").await,
            _ => drop(reader(&journal, "one", &["b"]).await),
        }
        for task in waiting {
            task.await.unwrap().unwrap();
        }
        if how == 0 {
            assert_eq!((depth(&one).await, dropped(&one).await), (2, 5));
        }
        assert_eq!(journal.store.stats().appended, 7);
    }
}
