//! What the memory store promises beyond what every store does.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bugle_core::{
    AttemptCode, AttemptId, AttemptQuery, Backlog, DeadLetter, DeadLetterQuery, Delivery,
    EmitterId, Event, EventName, EventQuery, Exchange, Failure, Fate, Journal, NewAttempt, Outcome,
    Reader, Replay, RequestId, Sequence, Settlement, Subscription,
};
use bugle_store::{MemoryOptions, Store};
use bytes::Bytes;
use jiff::Timestamp;

/// Polls once: the memory store answers at once, on no runtime.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the memory store answers at once"),
    }
}

fn event(name: &str, bytes: usize) -> Arc<Event> {
    Arc::new(Event::new(
        EventName::new(name).unwrap(),
        RequestId::random(),
        Bytes::from(vec![b'x'; bytes]),
        Timestamp::UNIX_EPOCH,
    ))
}

fn emitter(number: usize) -> EmitterId {
    EmitterId::new(format!("emitter-{number}")).unwrap()
}

fn open(journal: &Arc<dyn Journal>, number: usize, name: &str) -> Arc<dyn Reader> {
    now(journal.reader(&emitter(number), &Subscription::new([name]).unwrap())).unwrap()
}

fn give_up(reader: &Arc<dyn Reader>, number: usize) -> Sequence {
    let entry = now(reader.read(Sequence::START, 1)).unwrap().remove(0);
    let letter = DeadLetter::new(
        emitter(number),
        &entry,
        AttemptCode::Timeout,
        "the deadline passed",
        3,
        Timestamp::UNIX_EPOCH,
    );
    now(reader.settle(entry.sequence, Settlement::DeadLettered(Box::new(letter)))).unwrap();
    entry.sequence
}

#[test]
fn a_paused_emitter_loses_its_backlog_unless_asked() {
    assert_eq!(Store::memory().info().default_backlog, Backlog::Discard);
}

#[test]
fn everyone_reads_the_one_event_and_then_it_is_freed() {
    let journal = Store::memory_with(MemoryOptions::new().settled_events(0)).journal();
    let readers: Vec<_> = (0..100)
        .map(|number| open(&journal, number, if number % 2 == 0 { "a" } else { ">" }))
        .collect();
    let event = event("a", 1 << 20);
    let sequence = now(journal.append(Arc::clone(&event))).unwrap();
    for reader in &readers {
        let entries = now(reader.read(Sequence::START, 10)).unwrap();
        assert!(Arc::ptr_eq(&entries[0].event, &event));
    }
    assert_eq!(Arc::strong_count(&event), 2, "the journal keeps it once");
    for reader in &readers {
        now(reader.settle(sequence, Settlement::Delivered)).unwrap();
    }
    assert_eq!(Arc::strong_count(&event), 1);
}

/// Opening, reading and forgetting cost the same however many others there are: quadratic work
/// would not end here.
#[test]
fn a_hundred_thousand_emitters_come_and_go() {
    const COUNT: usize = 100_000;
    for shared in [true, false] {
        let store = Store::memory();
        let journal = store.journal();
        let name = |number: usize| match shared {
            true => "a".to_owned(),
            false => format!("name-{number}"),
        };
        let readers: Vec<_> =
            (0..COUNT).map(|number| open(&journal, number, &name(number))).collect();
        for number in 0..100 {
            now(journal.append(event(&name(number * 1_000), 16))).unwrap();
        }
        let waiting: u64 = readers.iter().map(|reader| reader.info().depth).sum();
        assert_eq!(waiting, if shared { 100 * COUNT as u64 } else { 100 });
        for number in 0..COUNT {
            now(journal.forget(&emitter(number))).unwrap();
        }
        assert_eq!((store.stats().events, store.stats().dropped), (0, waiting));
    }
}

#[test]
fn dead_letters_are_limited_in_number_and_bytes() {
    for (options, kept) in [
        (MemoryOptions::new().dead_letters(3), 3),
        (MemoryOptions::new().dead_letters(0), 0),
        (MemoryOptions::new().dead_letter_bytes(2_500), 2),
    ] {
        let store = Store::memory_with(options);
        let journal = store.journal();
        let reader = open(&journal, 0, "a");
        let mut all = Vec::new();
        for _ in 0..5 {
            now(journal.append(event("a", 1_000))).unwrap();
            all.push(give_up(&reader, 0));
        }
        let letters = now(store.dead_letters().page(&DeadLetterQuery::new(), None)).unwrap().items;
        let listed: Vec<Sequence> = letters.iter().map(|letter| letter.sequence).collect();
        let newest: Vec<Sequence> = all.iter().rev().take(kept).copied().collect();
        assert_eq!(listed, newest);
        for (index, sequence) in all.iter().enumerate() {
            let remembered = index + kept >= 5;
            let fate = if remembered { Fate::DeadLettered } else { Fate::Delivered };
            assert_eq!(now(reader.fate(*sequence)).unwrap(), Some(fate));
        }
    }
}

#[test]
fn a_forgotten_emitters_handle_still_knows_what_became_of_its_entries() {
    let journal = Store::memory().journal();
    let reader = open(&journal, 0, "a");
    let all: Vec<Sequence> = (0..4).map(|_| now(journal.append(event("a", 1))).unwrap()).collect();
    now(reader.settle(all[1], Settlement::Delivered)).unwrap();
    give_up(&reader, 0);
    now(journal.forget(&emitter(0))).unwrap();
    let after = now(journal.append(event("a", 1))).unwrap();
    let fates = [Fate::DeadLettered, Fate::Delivered, Fate::Dropped, Fate::Dropped];
    for (sequence, fate) in all.iter().zip(fates) {
        assert_eq!(now(reader.fate(*sequence)).unwrap(), Some(fate));
    }
    assert_eq!(now(reader.fate(after)).unwrap(), Some(Fate::Dropped));
    assert_eq!(reader.info().dropped, 2);
}

/// A window that goes on for long behind one entry that is stuck costs no memory for what is
/// settled, and no room.
#[test]
fn one_stuck_entry_does_not_fill_the_journal() {
    let options = MemoryOptions::new().max_events_per_subscription(10);
    let store = Store::memory_with(options);
    let journal = store.journal();
    let reader = open(&journal, 0, "a");
    let stuck = now(journal.append(event("a", 100))).unwrap();
    for _ in 0..10_000 {
        let sequence = now(journal.append(event("a", 100))).unwrap();
        assert_eq!(now(reader.read(stuck, 10)).unwrap()[0].sequence, sequence);
        now(reader.settle(sequence, Settlement::Delivered)).unwrap();
        assert_eq!(
            (reader.info().depth, now(reader.fate(sequence)).unwrap()),
            (1, Some(Fate::Delivered))
        );
    }
    assert_eq!(store.stats().events, 1);
    now(reader.settle(stuck, Settlement::Delivered)).unwrap();
    assert_eq!((reader.info().cursor, reader.info().depth), (Sequence(10_001), 0));
}

fn attempt(number: usize, body: usize) -> NewAttempt {
    let mut exchange = Exchange::default();
    exchange.body = Bytes::from(vec![b'x'; body]);
    let failure = Failure::new(AttemptCode::Timeout, "the deadline passed");
    let delivery = Delivery::new(emitter(number), Sequence(1), event("a", 1_000), 1);
    NewAttempt::new(delivery, Outcome::failed(failure, exchange), Timestamp::UNIX_EPOCH)
}

#[test]
fn attempts_are_limited_in_number_and_bytes() {
    for (options, kept) in [
        (MemoryOptions::new().attempts(10), 10),
        (MemoryOptions::new().attempts(0), 0),
        (MemoryOptions::new().attempt_bytes(100_000), 9),
        (MemoryOptions::new().attempt_bytes(100), 0),
    ] {
        let log = Store::memory_with(options).attempts();
        for number in 0..50 {
            log.record(attempt(number, 10_000));
        }
        let page = now(log.page(&AttemptQuery::new(), None)).unwrap();
        let listed: Vec<u64> = page.items.iter().map(|attempt| attempt.id.number()).collect();
        let newest: Vec<u64> = (1..=50).rev().take(kept).collect();
        assert_eq!((listed, page.cursor), (newest, None));
        for id in 1..=50_u64 {
            let found = now(log.get(AttemptId::new(id))).unwrap();
            assert_eq!(found.is_some(), id + kept as u64 > 50, "{id}");
        }
    }
}

/// An attempt that stays in the log does not keep its event's payload.
#[test]
fn attempts_keep_no_payload() {
    let log = Store::memory().attempts();
    let new = attempt(0, 0);
    let event = Arc::clone(&new.delivery.event);
    log.record(new);
    assert_eq!(Arc::strong_count(&event), 1);
}

/// What waits and what is settled comes in the order of the journal, batch by batch, and what is
/// delivered again only at its first place.
#[test]
fn entries_come_in_order_once() {
    let store = Store::memory_with(MemoryOptions::new().settled_events(5_000));
    let (journal, events) = (store.journal(), store.events().unwrap());
    let readers = [(1, "a"), (2, "b"), (3, ">")].map(|(number, name)| open(&journal, number, name));
    let all: Vec<_> = (0..12_000)
        .map(|number| event(if number % 3 == 0 { "a" } else { "b" }, 10))
        .map(|event| (now(journal.append(Arc::clone(&event))).unwrap(), event))
        .collect();
    let (again, other) = (&all[9_000], &all[3]);
    for (sequence, _) in all.iter().rev().filter(|(sequence, _)| sequence.0 % 2 == 0) {
        for reader in &readers {
            now(reader.settle(*sequence, Settlement::Delivered)).unwrap();
        }
    }
    for (sequence, event) in [again, other] {
        let replay = Replay::new(Arc::clone(event), *sequence);
        now(journal.replay(&emitter(2), vec![replay])).unwrap();
    }
    // Of the settled half, the 5,000 that were settled last are kept: the lowest.
    let kept = |sequence: &Sequence| sequence.0 % 2 == 1 || sequence.0 <= 10_000;
    let expected: Vec<_> = all.iter().map(|(sequence, _)| *sequence).filter(kept).collect();
    for names in [None, Some("a")] {
        let mut query = EventQuery::new();
        if let Some(name) = names {
            query = query.names(Subscription::new([name]).unwrap());
        }
        let (mut found, mut after) = (Vec::new(), Sequence::START);
        loop {
            let entries = now(events.entries_after(after, &query)).unwrap();
            let Some(last) = entries.last() else { break };
            after = last.sequence;
            found.extend(entries.iter().map(|entry| entry.sequence));
        }
        let fits = |at: &&Sequence| {
            names.is_none_or(|name| all[at.0 as usize - 1].1.name.as_str() == name)
        };
        assert_eq!(found, expected.iter().filter(fits).copied().collect::<Vec<_>>());
    }
    let entry = now(events.entry(&again.1.request_id)).unwrap().unwrap();
    assert_eq!(entry.sequence, again.0);
}
