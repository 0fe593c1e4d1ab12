//! What every [`Journal`] does.

use std::collections::BTreeMap;
use std::sync::Arc;

use bugle_core::{
    AttemptCode, Backlog, DeadLetter, EmitterId, Entry, Fate, Journal, Reader, Sequence,
    Settlement, Subscription,
};
use jiff::Timestamp;

use super::{JournalLimits, MakeJournal, event_of, eventually};

/// Makes a `#[test]` of each check of [`journal`](crate::conformance::journal). It takes an
/// `async fn(JournalLimits) -> Arc<dyn Journal>` that makes a new, empty journal.
#[macro_export]
macro_rules! journal_conformance {
    ($make:expr) => {
        $crate::__conformance_tests! { journal, $make,
            appends_are_ordered
            an_event_reaches_every_subscription_that_matches
            a_reader_of_several_names_reads_them_in_one_order
            a_subscription_that_matches_twice_reads_once
            a_new_reader_starts_behind_everything
            reading_goes_on_after_a_place_and_stops_at_a_limit
            the_cursor_is_below_the_first_unsettled
            settling_twice_does_nothing
            what_is_not_settled_is_read_again
            opening_again_goes_on_from_the_cursor
            another_subscription_keeps_what_both_want
            pausing_can_keep_the_backlog
            pausing_can_discard_the_backlog
            pausing_twice_is_the_last_pause
            a_forgotten_emitter_reads_nothing
            a_forgotten_emitter_starts_anew
            every_entry_has_a_fate
            dead_letters_are_kept_newest_first
            depth_counts_what_waits
            settled_events_go
            an_event_is_kept_once_for_all
            many_emitters_share_an_event
            concurrent_appends_are_read_once_in_order
            concurrent_settling_loses_nothing
        }
    };
}

pub(super) async fn reader(
    journal: &Arc<dyn Journal>,
    emitter: &str,
    names: &[&str],
) -> Arc<dyn Reader> {
    let subscription = Subscription::new(names).unwrap();
    journal.reader(&EmitterId::new(emitter).unwrap(), &subscription).await.unwrap()
}

pub(super) async fn forget(journal: &Arc<dyn Journal>, emitter: &str) {
    journal.forget(&EmitterId::new(emitter).unwrap()).await.unwrap();
}

pub(super) async fn append(journal: &Arc<dyn Journal>, name: &str) -> Sequence {
    journal.append(event_of(name, 16)).await.unwrap()
}

pub(super) async fn read(reader: &Arc<dyn Reader>) -> Vec<Sequence> {
    let entries = reader.read(Sequence::START, 1_000_000).await.unwrap();
    entries.iter().map(|entry| entry.sequence).collect()
}

pub(super) async fn deliver(reader: &Arc<dyn Reader>, sequence: Sequence) {
    reader.settle(sequence, Settlement::Delivered).await.unwrap();
}

async fn give_up(emitter: &str, reader: &Arc<dyn Reader>, entry: &Entry) {
    let letter = DeadLetter::new(
        EmitterId::new(emitter).unwrap(),
        entry,
        AttemptCode::Timeout,
        "the deadline passed",
        3,
        Timestamp::UNIX_EPOCH,
    );
    reader.settle(entry.sequence, Settlement::DeadLettered(Box::new(letter))).await.unwrap();
}

/// Of two appends that follow one another the second has the higher place, also when nobody wants
/// the events.
pub async fn appends_are_ordered(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
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
    assert_eq!(journal.stats().appended, 40);
}

/// An event goes to every emitter whose subscription matches its name, and to no other.
pub async fn an_event_reaches_every_subscription_that_matches(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
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
pub async fn a_reader_of_several_names_reads_them_in_one_order(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
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
pub async fn a_subscription_that_matches_twice_reads_once(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let one = reader(&journal, "one", &["a.b", "a.*", ">"]).await;
    let sequence = append(&journal, "a.b").await;
    assert_eq!(read(&one).await, [sequence]);
    assert_eq!(one.depth(), 1);
    deliver(&one, sequence).await;
    assert_eq!(one.depth(), 0);
}

/// A new reader starts behind everything appended so far, also where others wait for it.
pub async fn a_new_reader_starts_behind_everything(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let early = reader(&journal, "early", &["a"]).await;
    let first = append(&journal, "a").await;
    let late = reader(&journal, "late", &["a"]).await;
    assert_eq!((late.depth(), read(&late).await), (0, vec![]));
    let second = append(&journal, "a").await;
    assert_eq!(read(&early).await, [first, second]);
    assert_eq!(read(&late).await, [second]);
    assert!(late.cursor() >= first && late.cursor() < second);
}

/// `read` gives the first entries behind a place, as many as it is asked for.
pub async fn reading_goes_on_after_a_place_and_stops_at_a_limit(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
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

/// Settled out of order, the cursor stays below the first that waits; what is settled above it is
/// not read again.
pub async fn the_cursor_is_below_the_first_unsettled(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let mut all = Vec::new();
    for _ in 0..6 {
        all.push(append(&journal, "a").await);
    }
    let mut settled = Vec::new();
    for number in [3, 1, 5, 2] {
        deliver(&one, all[number]).await;
        settled.push(all[number]);
        assert!(one.cursor() < all[0]);
        let left: Vec<_> = all.iter().copied().filter(|it| !settled.contains(it)).collect();
        assert_eq!(read(&one).await, left);
        assert_eq!(one.depth(), left.len() as u64);
    }
    deliver(&one, all[0]).await;
    assert!(one.cursor() >= all[3] && one.cursor() < all[4]);
    deliver(&one, all[4]).await;
    assert!(one.cursor() >= all[5]);
    assert_eq!(read(&one).await, []);
}

/// Settling what is settled, or what never waited, does nothing.
pub async fn settling_twice_does_nothing(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
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
    assert_eq!(one.fate(first), Some(Fate::Delivered));
    assert_eq!(journal.dead_letters(None, 10).await.unwrap(), []);
    assert_eq!((one.depth(), two.depth()), (0, 2));
    assert_eq!(read(&two).await, [first, second]);
    let third = append(&journal, "a").await;
    assert_eq!(read(&one).await, [third]);
}

/// Reading settles nothing: what was read and not settled is read again.
pub async fn what_is_not_settled_is_read_again(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    let second = append(&journal, "a").await;
    for _ in 0..3 {
        assert_eq!(read(&one).await, [first, second]);
    }
    deliver(&one, first).await;
    assert_eq!(read(&one).await, [second]);
}

/// A reader that is opened again goes on from its cursor, with what is settled above it.
pub async fn opening_again_goes_on_from_the_cursor(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let before = reader(&journal, "one", &["a"]).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(append(&journal, "a").await);
    }
    deliver(&before, all[0]).await;
    deliver(&before, all[2]).await;
    let after = reader(&journal, "one", &["a"]).await;
    assert_eq!(read(&after).await, [all[1], all[3]]);
    assert_eq!((after.depth(), after.cursor()), (2, all[0]));
    assert_eq!(read(&before).await, [], "the handle of before reads nothing");
    deliver(&after, all[1]).await;
    assert_eq!(read(&after).await, [all[3]]);
}

/// With another subscription a reader goes on from its cursor with the names of both; new names
/// start at the end, and what is no longer wanted is dropped.
pub async fn another_subscription_keeps_what_both_want(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let witness = reader(&journal, "witness", &[">"]).await;
    let before = reader(&journal, "one", &["a", "b"]).await;
    let a1 = append(&journal, "a").await;
    let b1 = append(&journal, "b").await;
    append(&journal, "c").await;
    let b2 = append(&journal, "b").await;
    let b3 = append(&journal, "b").await;
    deliver(&before, b2).await;
    let after = reader(&journal, "one", &["b", "c"]).await;
    assert_eq!(read(&after).await, [b1, b3]);
    assert_eq!((after.depth(), after.dropped()), (2, 1));
    assert_eq!(after.fate(a1), Some(Fate::Dropped));
    assert_eq!(after.fate(b2), Some(Fate::Delivered));
    assert_eq!(after.fate(b1), None);
    append(&journal, "a").await;
    let c2 = append(&journal, "c").await;
    let b4 = append(&journal, "b").await;
    assert_eq!(read(&after).await, [b1, b3, c2, b4]);
    deliver(&after, c2).await;
    let third = reader(&journal, "one", &["b"]).await;
    assert_eq!(read(&third).await, [b1, b3, b4]);
    for sequence in [b1, b3, b4] {
        assert!(third.cursor() < sequence);
        deliver(&third, sequence).await;
    }
    assert_eq!((third.depth(), third.cursor() >= b4), (0, true));
    assert_eq!(witness.depth(), 8, "nobody else noticed");
}

/// With `Backlog::Keep`, what waits and what comes is read after the pause; meanwhile nothing is.
pub async fn pausing_can_keep_the_backlog(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let first = append(&journal, "a").await;
    let second = append(&journal, "a").await;
    one.pause(Backlog::Keep);
    let third = append(&journal, "a").await;
    assert_eq!(read(&one).await, [], "a paused reader reads nothing");
    assert_eq!((one.depth(), one.dropped()), (3, 0));
    deliver(&one, first).await;
    assert_eq!(one.depth(), 2, "what was in flight may still be settled");
    one.resume();
    assert_eq!(read(&one).await, [second, third]);
    assert_eq!(one.fate(second), None);
}

/// With `Backlog::Discard`, what waits and what comes is dropped; what comes after it is read.
pub async fn pausing_can_discard_the_backlog(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let other = reader(&journal, "other", &["a"]).await;
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(append(&journal, "a").await);
    }
    deliver(&one, all[0]).await;
    deliver(&one, all[2]).await;
    one.pause(Backlog::Discard);
    assert_eq!((one.depth(), one.dropped()), (0, 2));
    let during = append(&journal, "a").await;
    deliver(&one, all[1]).await;
    one.resume();
    assert_eq!((one.depth(), read(&one).await), (0, vec![]));
    let after = append(&journal, "a").await;
    assert_eq!(read(&one).await, [after]);
    for (number, fate) in [
        (all[0], Some(Fate::Delivered)),
        (all[1], Some(Fate::Dropped)),
        (all[2], Some(Fate::Delivered)),
        (all[3], Some(Fate::Dropped)),
        (during, Some(Fate::Dropped)),
        (after, None),
    ] {
        assert_eq!(one.fate(number), fate, "of {number}");
    }
    assert_eq!(other.depth(), 6, "nobody else noticed");
    assert_eq!(journal.stats().dropped, 2);
}

/// A reader that is paused may be paused otherwise, and resuming one that reads does nothing.
pub async fn pausing_twice_is_the_last_pause(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    one.resume();
    append(&journal, "a").await;
    one.pause(Backlog::Keep);
    one.pause(Backlog::Keep);
    append(&journal, "a").await;
    one.pause(Backlog::Discard);
    one.pause(Backlog::Discard);
    assert_eq!((one.depth(), one.dropped()), (0, 2));
    append(&journal, "a").await;
    one.pause(Backlog::Keep);
    let kept = append(&journal, "a").await;
    one.resume();
    one.resume();
    assert_eq!(read(&one).await, [kept]);
}

/// What a forgotten emitter had not settled is dropped, and its readers read nothing.
pub async fn a_forgotten_emitter_reads_nothing(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    forget(&journal, "nobody").await;
    let one = reader(&journal, "one", &["a"]).await;
    let other = reader(&journal, "other", &["a"]).await;
    let first = append(&journal, "a").await;
    let second = append(&journal, "a").await;
    deliver(&one, first).await;
    forget(&journal, "one").await;
    let third = append(&journal, "a").await;
    assert_eq!(read(&one).await, []);
    assert_eq!(one.depth(), 0);
    deliver(&one, second).await;
    one.pause(Backlog::Keep);
    one.resume();
    assert_eq!(read(&one).await, []);
    assert_eq!(read(&other).await, [first, second, third]);
    for sequence in [first, second, third] {
        deliver(&other, sequence).await;
    }
    eventually("an empty journal", async || journal.stats().events == 0).await;
}

/// An emitter that comes back after it was forgotten is new.
pub async fn a_forgotten_emitter_starts_anew(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let before = reader(&journal, "one", &["a"]).await;
    append(&journal, "a").await;
    forget(&journal, "one").await;
    append(&journal, "a").await;
    let after = reader(&journal, "one", &["a"]).await;
    assert_eq!((read(&after).await, after.depth(), after.dropped()), (vec![], 0, 0));
    let third = append(&journal, "a").await;
    assert_eq!(read(&after).await, [third]);
    assert_eq!(read(&before).await, [], "the handle of before reads nothing");
}

/// What became of an entry can be asked, and is nothing while it waits.
pub async fn every_entry_has_a_fate(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    for _ in 0..4 {
        append(&journal, "a").await;
    }
    let all = one.read(Sequence::START, 4).await.unwrap();
    assert!(all.iter().all(|entry| one.fate(entry.sequence).is_none()));
    give_up("one", &one, &all[1]).await;
    deliver(&one, all[2].sequence).await;
    let fates = |one: &Arc<dyn Reader>| -> Vec<Option<Fate>> {
        all.iter().map(|entry| one.fate(entry.sequence)).collect()
    };
    let (delivered, dead) = (Some(Fate::Delivered), Some(Fate::DeadLettered));
    assert_eq!(fates(&one), [None, dead, delivered, None]);
    deliver(&one, all[0].sequence).await;
    assert_eq!(fates(&one), [delivered, dead, delivered, None]);
    one.pause(Backlog::Discard);
    assert_eq!(fates(&one), [delivered, dead, delivered, Some(Fate::Dropped)]);
    one.resume();
    assert_eq!(fates(&one), [delivered, dead, delivered, Some(Fate::Dropped)]);
}

/// Dead letters are listed newest first, of one emitter or of all, as many as asked for.
pub async fn dead_letters_are_kept_newest_first(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
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
        let letters = journal.dead_letters(emitter.as_ref(), limit).await.unwrap();
        letters.iter().map(|it| (it.emitter.to_string(), it.sequence)).collect::<Vec<_>>()
    };
    let expected = [("one", 1), ("two", 0), ("one", 0)]
        .map(|(emitter, number): (&str, usize)| (emitter.to_owned(), all[number].sequence));
    assert_eq!(listed(None, 10).await, expected);
    assert_eq!(listed(None, 2).await, expected[..2]);
    assert_eq!(listed(Some("one"), 10).await, [expected[0].clone(), expected[2].clone()]);
    assert_eq!(listed(Some("nobody"), 10).await, []);
    let letters = journal.dead_letters(None, 1).await.unwrap();
    assert_eq!(letters[0].event, all[1].event);
    assert_eq!((letters[0].code, letters[0].attempts), (AttemptCode::Timeout, 3));
    assert_eq!(letters[0].message, "the deadline passed");
}

/// The depth is what waits for one emitter, whatever waits for others.
pub async fn depth_counts_what_waits(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let one = reader(&journal, "one", &["a"]).await;
    let both = reader(&journal, "both", &["a", "b"]).await;
    let mut all = Vec::new();
    for number in 0..10_u64 {
        all.push(append(&journal, if number % 2 == 0 { "a" } else { "b" }).await);
        assert_eq!((one.depth(), both.depth()), (number / 2 + 1, number + 1));
    }
    for (number, sequence) in all.iter().enumerate() {
        deliver(&both, *sequence).await;
        assert_eq!((one.depth(), both.depth()), (5, 9 - number as u64));
    }
}

/// An event that all have settled is kept no longer.
pub async fn settled_events_go(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
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
    assert!(journal.stats().events >= 10);
    for sequence in &all {
        deliver(&two, *sequence).await;
    }
    eventually("an empty journal", async || {
        let stats = journal.stats();
        (stats.events, stats.bytes) == (0, 0)
    })
    .await;
    assert_eq!(journal.stats().appended, 11);
}

/// However many emitters wait for an event, it is held once.
pub async fn an_event_is_kept_once_for_all(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
    let mut readers = Vec::new();
    for number in 0..50 {
        let names: &[&str] = if number % 2 == 0 { &["a"] } else { &["a", "b"] };
        readers.push(reader(&journal, &format!("emitter-{number}"), names).await);
    }
    journal.append(event_of("a", 10_000)).await.unwrap();
    let stats = journal.stats();
    assert_eq!((stats.events, stats.bytes), (1, 10_000));
    assert!(readers.iter().all(|reader| reader.depth() == 1));
}

/// A wide fan-out: every one of many emitters reads every event, at its own pace.
pub async fn many_emitters_share_an_event(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
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
    eventually("an empty journal", async || journal.stats().events == 0).await;
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
pub async fn concurrent_appends_are_read_once_in_order(make: &MakeJournal) {
    const EACH: usize = 300;
    let names = ["a", "b", "c.d"];
    let journal = make(JournalLimits::default()).await;
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
        let journal = Arc::clone(&journal);
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
    eventually("an empty journal", async || journal.stats().events == 0).await;
}

/// Several tasks settle one reader's entries at once, others come and go meanwhile.
pub async fn concurrent_settling_loses_nothing(make: &MakeJournal) {
    let journal = make(JournalLimits::default()).await;
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
    let others = Arc::clone(&journal);
    tasks.push(tokio::spawn(async move {
        for _ in 0..50 {
            let other = reader(&others, "other", &["a"]).await;
            append(&others, "a").await;
            other.pause(Backlog::Keep);
            other.resume();
            forget(&others, "other").await;
        }
    }));
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(one.depth(), 4 + 50);
    assert_eq!(read(&one).await[..4], all[396..]);
    assert!(one.cursor() >= all[395] && one.cursor() < all[396]);
}
