//! Dead letters, and what is delivered again.

use std::sync::Arc;

use bugle_core::{
    AttemptCode, Backlog, DeadLetter, DeadLetterId, DeadLetterQuery, EmitterId, Fate, Overflow,
    Reader, Replay, ReplayError, Replayed, Sequence, Subscription,
};

use super::super::{MakeStore, StoreLimits, UnderTest, event_of, eventually, under_test};
use super::{
    append, cursor, deliver, depth, dropped, fate, forget, give_up, pause, read, reader, resume,
};

/// All dead letters that fit, newest first.
async fn listed(journal: &UnderTest, query: DeadLetterQuery) -> Vec<DeadLetter> {
    journal.letters.page(&query, None).await.unwrap().items
}

fn places(letters: &[DeadLetter]) -> Vec<Sequence> {
    letters.iter().map(|letter| letter.sequence).collect()
}

fn id(emitter: &str) -> EmitterId {
    EmitterId::new(emitter).unwrap()
}

/// Gives up on all that waits, in order.
async fn give_up_all(emitter: &str, reader: &Arc<dyn Reader>) -> Vec<Sequence> {
    let entries = reader.read(Sequence::START, 1_000_000).await.unwrap();
    for entry in &entries {
        give_up(emitter, reader, entry).await;
    }
    entries.iter().map(|entry| entry.sequence).collect()
}

/// Replays the dead letters of an emitter that were first at these places.
async fn replay(journal: &UnderTest, emitter: &str, origins: &[Sequence]) -> Vec<Replayed> {
    let query = DeadLetterQuery::new().emitter_ids([id(emitter)]);
    let letters = listed(journal, query).await;
    let replays = origins.iter().map(|origin| {
        let letter = letters.iter().find(|letter| letter.origin == *origin).unwrap();
        Replay::new(Arc::clone(&letter.event), letter.origin).only_dead()
    });
    journal.replay(&id(emitter), replays.collect()).await.unwrap()
}

/// Replays the only dead letter there is.
async fn replay_the_one(journal: &UnderTest, emitter: &str) -> Sequence {
    let letters = listed(journal, DeadLetterQuery::new()).await;
    assert_eq!(letters.len(), 1);
    match replay(journal, emitter, &[letters[0].origin]).await[..] {
        [Replayed::Queued(sequence)] => sequence,
        ref other => panic!("{other:?}"),
    }
}

/// Every filter leaves out what it should, in both orders, and when counting.
pub async fn dead_letters_are_filtered(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &[">"]).await;
    let two = reader(&journal, "two", &[">"]).await;
    for name in ["a", "b.x", "b.y", "a"] {
        append(&journal, name).await;
    }
    let all = give_up_all("one", &one).await;
    give_up_all("two", &two).await;
    let letters = listed(&journal, DeadLetterQuery::new()).await;
    let (first, earliest) = (letters[7].clone(), letters[7].created);
    let later = letters[0].created.checked_add(jiff::Span::new().nanoseconds(1)).unwrap();
    let new = DeadLetterQuery::new;
    let names = |names: &[&str]| Subscription::new(names).unwrap();
    for (query, expected) in [
        (new(), vec![3, 2, 1, 0]),
        (new().names(names(&["b.*"])), vec![2, 1]),
        (new().names(names(&["b.x", "a"])), vec![3, 1, 0]),
        (new().codes([AttemptCode::Timeout]), vec![3, 2, 1, 0]),
        (new().codes([AttemptCode::Crashed]), vec![]),
        (new().after(earliest), vec![3, 2, 1, 0]),
        (new().after(later), vec![]),
        (new().before(earliest), vec![]),
        (new().before(later), vec![3, 2, 1, 0]),
        (new().event_ids([first.request_id().clone()]), vec![0]),
        (new().event_ids([first.request_id().clone()]).names(names(&["b.*"])), vec![]),
    ] {
        let mut expected: Vec<Sequence> = expected.into_iter().map(|it: usize| all[it]).collect();
        for emitters in [vec!["one"], vec!["two"], vec!["one", "two", "one"], vec![]] {
            let ids: Vec<EmitterId> = emitters.iter().map(|it| id(it)).collect();
            let query = query.clone().emitter_ids(ids);
            let found = listed(&journal, query.clone()).await;
            let both = if emitters.len() == 1 { 1 } else { 2 };
            assert_eq!(found.len(), both * expected.len(), "{query:?}");
            assert!(found.iter().all(|letter| expected.contains(&letter.sequence)));
            assert!(found.is_sorted_by(|one, other| one.created >= other.created), "newest first");
            let count = journal.letters.count(&query.clone().limit(1)).await.unwrap();
            assert_eq!(count, found.len() as u64, "{query:?}");
        }
        expected.reverse();
        let found = journal.letters.after(&id("two"), Sequence::START, &query).await.unwrap();
        assert_eq!(places(&found), expected, "{query:?}");
    }
    let found = journal.letters.after(&id("two"), all[1], &new().limit(1)).await.unwrap();
    assert_eq!(places(&found), [all[2]]);
    for limit in [0, 101] {
        assert!(journal.letters.page(&new().limit(limit), None).await.is_err());
    }
}

/// Pages follow one another without a gap or a repetition, while dead letters come and go.
pub async fn pages_of_dead_letters_are_stable(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    for _ in 0..7 {
        append(&journal, "a").await;
    }
    let mut all = give_up_all("one", &one).await;
    all.reverse();
    let (mut cursor, mut found) = (None, Vec::new());
    for number in 0.. {
        let query = DeadLetterQuery::new().limit(2);
        let page = journal.letters.page(&query, cursor).await.unwrap();
        found.extend(places(&page.items));
        if number == 0 {
            append(&journal, "a").await;
            give_up_all("one", &one).await;
            journal.letters.discard(vec![page.items[0].id]).await.unwrap();
        }
        cursor = page.cursor;
        if cursor.is_none() {
            assert_eq!(number, 3);
            break;
        }
    }
    assert_eq!(found, all);
    let query = DeadLetterQuery::new().limit(7);
    assert!(journal.letters.page(&query, None).await.unwrap().cursor.is_none());
}

/// Discarded dead letters are gone, and said to be delivered no longer dead.
pub async fn dead_letters_can_be_discarded(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    for _ in 0..4 {
        append(&journal, "a").await;
    }
    let all = give_up_all("one", &one).await;
    let letters = listed(&journal, DeadLetterQuery::new()).await;
    let mut ids: Vec<DeadLetterId> = letters[1..3].iter().map(|letter| letter.id).collect();
    ids.push(DeadLetterId::new(1_000_000));
    assert_eq!(journal.letters.discard(ids.clone()).await.unwrap(), 2);
    assert_eq!(journal.letters.discard(ids).await.unwrap(), 0);
    assert_eq!(places(&listed(&journal, DeadLetterQuery::new()).await), [all[3], all[0]]);
    assert_eq!(fate(&one, all[0]).await, Some(Fate::DeadLettered));
    assert_ne!(fate(&one, all[1]).await, Some(Fate::DeadLettered));
}

/// A replay is read by its emitter alone, behind what waits and before what comes, with all that
/// the event says.
pub async fn a_replay_goes_behind_what_waits_and_to_nobody_else(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let other = reader(&journal, "other", &[">"]).await;
    append(&journal, "a").await;
    append(&journal, "a").await;
    let dead = give_up_all("one", &one).await;
    let event = Arc::clone(&listed(&journal, DeadLetterQuery::new()).await[0].event);
    let waiting = [append(&journal, "a").await, append(&journal, "a").await];
    deliver(&one, waiting[1]).await;
    let replayed = replay(&journal, "one", &[dead[1], dead[0]]).await;
    let [Replayed::Queued(first), Replayed::Queued(second)] = replayed[..] else {
        panic!("{replayed:?}");
    };
    assert!(waiting[1] < first && first < second);
    assert_eq!(listed(&journal, DeadLetterQuery::new()).await, []);
    let last = append(&journal, "a").await;
    assert_eq!(read(&one).await, [waiting[0], first, second, last]);
    assert_eq!((depth(&one).await, cursor(&one).await < waiting[0]), (4, true));
    assert_eq!(read(&other).await, [dead[0], dead[1], waiting[0], waiting[1], last]);
    let entries = one.read(waiting[0], 1).await.unwrap();
    assert_eq!((entries[0].sequence, &entries[0].event), (first, &event));
    for sequence in [waiting[0], first, second, last] {
        deliver(&one, sequence).await;
    }
    assert_eq!((depth(&one).await, cursor(&one).await), (0, last));
    for sequence in [dead[0], dead[1], waiting[0], waiting[1], last] {
        deliver(&other, sequence).await;
    }
    eventually("an empty journal", async || journal.store.stats().events == 0).await;
}

/// While a replay waits, so does its event; then what becomes of one becomes of the other.
pub async fn a_replayed_event_has_its_old_fate_and_then_its_new_one(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    give_up_all("one", &one).await;
    assert_eq!(fate(&one, first).await, Some(Fate::DeadLettered));
    let second = replay_the_one(&journal, "one").await;
    assert_eq!((fate(&one, first).await, fate(&one, second).await), (None, None));
    give_up_all("one", &one).await;
    let dead = Some(Fate::DeadLettered);
    assert_eq!((fate(&one, first).await, fate(&one, second).await), (dead, dead));
    let letter = &listed(&journal, DeadLetterQuery::new()).await[0];
    assert_eq!((letter.sequence, letter.origin), (second, first));
    let third = replay_the_one(&journal, "one").await;
    deliver(&one, third).await;
    for sequence in [first, second, third] {
        assert_eq!(fate(&one, sequence).await, Some(Fate::Delivered), "{sequence}");
    }
    assert_eq!(listed(&journal, DeadLetterQuery::new()).await, []);
}

/// What waits already is not queued again, nor is what is no dead letter when it has to be one.
pub async fn what_waits_is_not_replayed_again(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    let event = Arc::clone(&one.read(Sequence::START, 1).await.unwrap()[0].event);
    let any = || Replay::new(Arc::clone(&event), first);
    let again = async |replays: Vec<Replay>| journal.replay(&id("one"), replays).await.unwrap();
    assert_eq!(again(vec![any()]).await, [Replayed::Waits]);
    give_up_all("one", &one).await;
    let [Replayed::Queued(second), Replayed::Waits] =
        again(vec![any().only_dead(), any()]).await[..]
    else {
        panic!("it is queued once");
    };
    assert_eq!(again(vec![any().only_dead()]).await, [Replayed::Waits]);
    assert_eq!(read(&one).await, [second]);
    deliver(&one, second).await;
    assert_eq!(again(vec![any().only_dead()]).await, [Replayed::Gone]);
    let [Replayed::Queued(third)] = again(vec![any()]).await[..] else {
        panic!("what was delivered can be delivered again");
    };
    assert_eq!(read(&one).await, [third]);
    assert_eq!(again(Vec::new()).await, []);
}

/// A paused emitter finds its replays when it reads again.
pub async fn a_paused_reader_keeps_its_replays(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    append(&journal, "a").await;
    give_up_all("one", &one).await;
    pause(&one, Backlog::Keep).await;
    let before = append(&journal, "a").await;
    let again = replay_the_one(&journal, "one").await;
    let after = append(&journal, "a").await;
    assert_eq!((read(&one).await, depth(&one).await), (vec![], 3));
    resume(&one).await;
    assert_eq!(read(&one).await, [before, again, after]);
    let opened = reader(&journal, "one", &["a"]).await;
    assert_eq!(read(&opened).await, [before, again, after]);
    give_up_all("one", &opened).await;
    pause(&opened, Backlog::Discard).await;
    let letters = listed(&journal, DeadLetterQuery::new()).await;
    let replays = vec![Replay::new(Arc::clone(&letters[0].event), letters[0].origin)];
    let refused = journal.replay(&id("one"), replays).await;
    assert_eq!(refused, Err(ReplayError::Discards(id("one"))));
    assert_eq!(listed(&journal, DeadLetterQuery::new()).await, letters);
}

/// A replay that waits, as its paused emitter has as much as it may, goes on when what waits there
/// makes room for the events of others.
pub async fn a_replay_goes_on_when_something_was_dropped_for_others(make: &MakeStore) {
    let limits =
        StoreLimits { max_events_per_subscription: 2, max_bytes: 10_000, ..Default::default() };
    let journal = under_test(make, limits).await;
    let one = reader(&journal, "one", &["a"]).await;
    let two = reader(&journal, "two", &["b"]).await;
    append(&journal, "a").await;
    give_up_all("one", &one).await;
    let letter = listed(&journal, DeadLetterQuery::new()).await.remove(0);
    pause(&one, Backlog::Keep).await;
    append(&journal, "a").await;
    append(&journal, "a").await;
    let replaying = {
        let journal = journal.clone();
        let replays = vec![Replay::new(letter.event, letter.origin)];
        tokio::spawn(async move { journal.replay(&id("one"), replays).await })
    };
    eventually("a replay that waits", async || journal.store.stats().blocked == 1).await;
    let large = journal.append(event_of("b", 9_500)).await.unwrap();
    assert_eq!(depth(&one).await, 0);
    deliver(&two, large).await;
    let replayed = replaying.await.unwrap().unwrap();
    let [Replayed::Queued(again)] = replayed[..] else { panic!("{replayed:?}") };
    resume(&one).await;
    assert_eq!(read(&one).await, [again]);
}

/// An emitter that is not there, or no more, has nothing delivered again.
pub async fn a_replay_of_nobodys_is_an_error(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    append(&journal, "a").await;
    give_up_all("one", &one).await;
    forget(&journal, "one").await;
    let letter = listed(&journal, DeadLetterQuery::new()).await.remove(0);
    for emitter in ["one", "nobody"] {
        let replays = vec![Replay::new(Arc::clone(&letter.event), letter.origin)];
        let refused = journal.replay(&id(emitter), replays).await;
        assert_eq!(refused, Err(ReplayError::NoEmitter(emitter.to_owned())));
    }
    let one = reader(&journal, "one", &["b"]).await;
    let again = replay_the_one(&journal, "one").await;
    assert_eq!(read(&one).await, [again], "whatever it subscribes to now");
    forget(&journal, "one").await;
    assert_eq!((read(&one).await, depth(&one).await), (vec![], 0));
    eventually("an empty journal", async || journal.store.stats().events == 0).await;
}

/// With another subscription the replays come along, in their places.
pub async fn another_subscription_takes_the_replays_along(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let before = reader(&journal, "one", &["a", "b"]).await;
    append(&journal, "a").await;
    append(&journal, "b").await;
    let dead = give_up_all("one", &before).await;
    let waiting = append(&journal, "b").await;
    let replayed = replay(&journal, "one", &dead).await;
    let [Replayed::Queued(a), Replayed::Queued(b)] = replayed[..] else { panic!("{replayed:?}") };
    let last = append(&journal, "b").await;
    assert_eq!(read(&before).await, [waiting, a, b, last]);
    let after = reader(&journal, "one", &["b", "c"]).await;
    let new = append(&journal, "c").await;
    assert_eq!(read(&after).await, [waiting, a, b, last, new]);
    assert_eq!(
        (depth(&after).await, dropped(&after).await, fate(&after, dead[0]).await),
        (5, 0, None)
    );
}

/// Many who replay the same events at once queue each of them once.
pub async fn concurrent_replays_queue_each_event_once(make: &MakeStore) {
    let journal =
        under_test(make, StoreLimits { overflow: Overflow::Block, ..Default::default() }).await;
    let one = reader(&journal, "one", &["a"]).await;
    for _ in 0..100 {
        journal.append(event_of("a", 16)).await.unwrap();
    }
    give_up_all("one", &one).await;
    let letters =
        journal.letters.after(&id("one"), Sequence::START, &DeadLetterQuery::new()).await.unwrap();
    let tasks = (0..4).map(|part| {
        let (journal, letters) = (journal.clone(), letters.clone());
        tokio::spawn(async move {
            let mut queued = Vec::new();
            for letters in letters.chunks(7 + part) {
                let replays = letters.iter().map(|letter| {
                    Replay::new(Arc::clone(&letter.event), letter.origin).only_dead()
                });
                for replayed in journal.replay(&id("one"), replays.collect()).await.unwrap() {
                    if let Replayed::Queued(sequence) = replayed {
                        queued.push(sequence);
                    }
                }
                append(&journal, "a").await;
            }
            queued
        })
    });
    let mut queued = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        queued.extend(task.await.unwrap());
    }
    queued.sort_unstable();
    assert_eq!(queued.len(), 100);
    let entries = one.read(Sequence::START, 1_000).await.unwrap();
    assert!(entries.is_sorted_by(|one, other| one.sequence < other.sequence));
    let replays: Vec<Sequence> =
        entries.iter().map(|entry| entry.sequence).filter(|it| queued.contains(it)).collect();
    assert_eq!(replays, queued);
    assert_eq!(journal.letters.count(&DeadLetterQuery::new()).await.unwrap(), 0);
}

/// A dead letter is found by its id as long as it is there.
pub async fn a_dead_letter_is_found_by_its_id(make: &MakeStore) {
    let journal = under_test(make, StoreLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    append(&journal, "a").await;
    append(&journal, "a").await;
    give_up_all("one", &one).await;
    let letters = listed(&journal, DeadLetterQuery::new()).await;
    for letter in &letters {
        assert_eq!(journal.letters.get(letter.id).await.unwrap().as_ref(), Some(letter));
    }
    assert_eq!(journal.letters.discard(vec![letters[0].id]).await.unwrap(), 1);
    assert_eq!(journal.letters.get(letters[0].id).await.unwrap(), None);
    assert_eq!(journal.letters.get(letters[1].id).await.unwrap().as_ref(), Some(&letters[1]));
}
