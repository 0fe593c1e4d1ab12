//! What is remembered of failed attempts.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{DeadLetterQuery, Forgive, Reader, Sequence, Setback, Tries};
use jiff::{SignedDuration, Timestamp};

use super::super::{MakeStore, StoreLimits, under_test};
use super::{append, dead_letters, deliver, forget, give_up, reader};

const DELAY: Duration = Duration::from_secs(30);

fn setback(sequence: Sequence, attempts: u32, failures: u32) -> Setback {
    let tries = Tries { attempts, crashes: attempts / 2 };
    Setback { sequence, tries, delay: DELAY, failures, backoff: DELAY, asked: 2 * DELAY }
}

/// The tried events with their attempts, the failures in a row, and the two waits in seconds.
type Remembered = (Vec<(Sequence, u32)>, u32, u64, u64);

fn remembered(reader: &Arc<dyn Reader>, now: Timestamp) -> Remembered {
    let setbacks = reader.setbacks(now);
    let tried = setbacks.tried(now).map(|(sequence, tries, _)| (sequence, tries.attempts));
    let waits = [setbacks.backoff(now), setbacks.asked(now)].map(|it| it.as_secs());
    (tried.collect(), setbacks.failures(), waits[0], waits[1])
}

/// Who reads next knows how often each event was tried and how long to wait, until that is over.
pub async fn failed_attempts_are_remembered(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let other = reader(&journal, "other", &["a"]).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(append(&journal, "a").await);
    }
    let now = Timestamp::now();
    assert_eq!(remembered(&one, now), (vec![], 0, 0, 0));
    one.set_back(&setback(all[1], 1, 1), now).await.unwrap();
    one.set_back(&setback(all[0], 1, 1), now).await.unwrap();
    one.set_back(&setback(all[1], 2, 2), now).await.unwrap();
    let two = vec![(all[0], 1), (all[1], 2)];
    assert_eq!(remembered(&one, now), (two.clone(), 2, 30, 60));
    assert_eq!(remembered(&other, now), (vec![], 0, 0, 0), "it is one emitter's");

    let one = reader(&journal, "one", &["b"]).await;
    let later = now + SignedDuration::from_secs(10);
    assert_eq!(remembered(&one, later), (two.clone(), 2, 20, 50), "another reader, another name");
    deliver(&one, all[2]).await;
    assert_eq!(remembered(&one, later), (two, 0, 0, 50), "the receiver is well");
    deliver(&one, all[0]).await;
    assert_eq!(remembered(&one, later), (vec![(all[1], 2)], 0, 0, 50));
    let entry = one.read(Sequence::START, 1).await.unwrap().remove(0);
    one.set_back(&setback(all[1], 3, 1), later).await.unwrap();
    give_up("one", &one, &entry).await;
    assert_eq!(remembered(&one, later), (vec![], 1, 30, 60), "which is no success");
}

/// The clock may be set in either direction: nobody waits longer than was asked for.
pub async fn a_clock_that_is_set_makes_no_wait_longer(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let mut one = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    let now = Timestamp::now();
    let [hour, years] = [1, 24 * 365 * 5].map(SignedDuration::from_hours);
    for (set_to, backoff, asked) in
        [(now + hour, 0, 0), (now + years, 0, 0), (now - hour, 30, 60), (now - years, 30, 60)]
    {
        one.set_back(&setback(first, 1, 1), now).await.unwrap();
        one = reader(&journal, "one", &["a"]).await;
        assert_eq!(remembered(&one, set_to), (vec![(first, 1)], 1, backoff, asked), "{set_to}");
        // It has been seen at that time, and what is left of it is counted from there.
        one = reader(&journal, "one", &["a"]).await;
        let later = set_to + SignedDuration::from_secs(60);
        assert_eq!(remembered(&one, later), (vec![(first, 1)], 1, 0, 0), "{set_to}");
    }
}

/// Somebody who looks into it may want to see it try at once, or to begin anew.
pub async fn failed_attempts_are_forgiven(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    let now = Timestamp::now();
    one.forgive(Forgive::All).await.unwrap();
    one.set_back(&setback(first, 2, 2), now).await.unwrap();
    one.forgive(Forgive::Waits).await.unwrap();
    assert_eq!(remembered(&one, now), (vec![(first, 2)], 0, 0, 0));
    one.set_back(&setback(first, 3, 1), now).await.unwrap();
    assert_eq!(remembered(&one, now), (vec![(first, 3)], 1, 30, 60));
    one.forgive(Forgive::All).await.unwrap();
    assert_eq!(remembered(&one, now), (vec![], 0, 0, 0));
    one.set_back(&setback(first, 1, 1), now).await.unwrap();
    forget(&journal, "one").await;
    let one = reader(&journal, "one", &["a"]).await;
    assert_eq!(remembered(&one, now), (vec![], 0, 0, 0), "it is another one");
}

/// An emitter knows how many dead letters are kept of it, whatever is done with them.
pub async fn dead_letters_are_counted(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let other = reader(&journal, "other", &["a"]).await;
    for _ in 0..3 {
        append(&journal, "a").await;
    }
    for (number, entry) in one.read(Sequence::START, 3).await.unwrap().iter().enumerate() {
        give_up("one", &one, entry).await;
        assert_eq!((dead_letters(&one).await, dead_letters(&other).await), (number as u64 + 1, 0));
    }
    let letters = journal.letters.page(&DeadLetterQuery::new(), None).await.unwrap().items;
    journal.letters.discard(vec![letters[0].id]).await.unwrap();
    assert_eq!(dead_letters(&one).await, 2);
    let replay = bugle_core::Replay::new(Arc::clone(&letters[1].event), letters[1].origin);
    journal.replay(&letters[1].emitter, vec![replay.only_dead()]).await.unwrap();
    assert_eq!(dead_letters(&one).await, 1);
    let again = one.read(Sequence::START, 3).await.unwrap().remove(0);
    give_up("one", &one, &again).await;
    assert_eq!(dead_letters(&one).await, 2, "a replay that is given up, too");
}
