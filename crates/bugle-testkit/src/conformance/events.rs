//! What every [`EventLog`] does.

mod taking;

use std::sync::Arc;

use bugle_core::{
    Backlog, Entry, Event, EventLog, EventName, EventQuery, LogError, LoggedEvent, OrderingKey,
    RequestId, Sequence, Subscription, TraceContext,
};
use bytes::Bytes;
use jiff::Timestamp;

pub use taking::*;

use super::journal::{deliver, forget, give_up, pause, reader};
use super::{MakeStore, StoreLimits, UnderTest, with_events};

/// Makes a `#[test]` of each check of [`events`](crate::conformance::events). It takes an
/// `async fn(StoreLimits) -> (Arc<dyn Journal>, Arc<dyn EventLog>)` that makes a new, empty
/// journal and its log, which keeps 1,000 settled events at least.
#[macro_export]
macro_rules! event_log_conformance {
    ($make:expr) => {
        $crate::__conformance_tests! { events, $make,
            an_event_is_logged_as_it_was
            an_event_is_delivered_when_nothing_is_left_to_do
            unknown_events_are_no_error
            the_newest_of_several_with_one_id_is_found
            event_pages_are_newest_first
            an_event_page_has_1_to_100_rows
            the_last_event_page_has_no_cursor
            event_filters_choose_rows
            event_filters_hold_across_pages
            what_is_not_delivered_stays_in_the_log
            any_event_cursor_is_answered
            event_cursors_stand_while_events_come_and_go
            marking_settles_an_event_everywhere
            marking_removes_dead_letters
            deleting_drops_an_event_everywhere
            taking_an_event_leaves_the_others_in_order
            taking_an_event_makes_room
            all_events_of_an_id_are_taken
            what_was_taken_stays_taken
        }
    };
}

/// The second of the year 2100 in which an event was emitted: no log finds it too old.
fn at(second: usize) -> Timestamp {
    Timestamp::from_second(4_102_444_800 + second as i64).unwrap()
}

fn id(number: usize) -> RequestId {
    RequestId::new(format!("e{number}")).unwrap()
}

/// Appends the event `e<number>` of this second.
async fn append(journal: &UnderTest, name: &str, number: usize) -> Sequence {
    let payload = Bytes::from(format!("{{\"number\":{number}}}"));
    let event = Event::new(EventName::new(name).unwrap(), id(number), payload, at(number));
    journal.append(Arc::new(event)).await.unwrap()
}

/// Reads all pages of a query.
async fn all(log: &Arc<dyn EventLog>, query: &EventQuery) -> Vec<LoggedEvent> {
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let page = log.page(query, cursor).await.unwrap();
        rows.extend(page.items);
        cursor = page.cursor;
        if cursor.is_none() {
            return rows;
        }
    }
}

fn ids(rows: &[LoggedEvent]) -> Vec<&str> {
    rows.iter().map(|row| row.id.as_str()).collect()
}

/// The names of these.
fn named(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("e{number}")).collect()
}

async fn is_delivered(log: &Arc<dyn EventLog>, number: usize) -> bool {
    log.get(&id(number)).await.unwrap().unwrap().is_delivered
}

/// What was appended is what is read, by page and by id.
pub async fn an_event_is_logged_as_it_was(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let event = Event::new(
        EventName::new("invoice.paid").unwrap(),
        id(1),
        Bytes::from_static(b"{\"total\":12.50}"),
        at(7),
    )
    .key(Some(OrderingKey::new("customer 7").unwrap()))
    .trace(Some(TraceContext::new(trace).unwrap()));
    for wanted in [true, false] {
        let _one = reader(&journal, "one", &[if wanted { ">" } else { "other" }]).await;
        let sequence = journal.append(Arc::new(event.clone())).await.unwrap();
        let row = log.get(&id(1)).await.unwrap().unwrap();
        assert_eq!(row, LoggedEvent::new(&event, sequence, !wanted));
        assert_eq!(row.traceparent.as_deref(), Some(trace));
        assert_eq!(all(&log, &EventQuery::new()).await[0], row);
    }
}

/// An event is delivered when nobody waits for it and it is nobody's dead letter.
pub async fn an_event_is_delivered_when_nothing_is_left_to_do(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    append(&journal, "a", 0).await;
    assert!(is_delivered(&log, 0).await, "nobody wanted it");
    let one = reader(&journal, "one", &["a"]).await;
    let two = reader(&journal, "two", &["a", "b"]).await;
    let mut all = Vec::new();
    for number in 1..5 {
        all.push(append(&journal, "a", number).await);
    }
    let delivered = async || {
        let mut delivered = Vec::new();
        for number in 1..5 {
            delivered.push(is_delivered(&log, number).await);
        }
        delivered
    };
    deliver(&one, all[0]).await;
    deliver(&two, all[2]).await;
    assert_eq!(delivered().await, [false; 4]);
    deliver(&two, all[0]).await;
    assert_eq!(delivered().await, [true, false, false, false]);
    let entries = one.read(all[0], 1).await.unwrap();
    give_up("one", &one, &entries[0]).await;
    deliver(&two, all[1]).await;
    assert_eq!(delivered().await, [true, false, false, false], "a dead letter is left");
    pause(&one, Backlog::Discard).await;
    assert_eq!(delivered().await, [true, false, true, false], "it was dropped");
    forget(&journal, "two").await;
    assert_eq!(delivered().await, [true, false, true, true], "it was dropped");
}

/// An id that no event has is no error.
pub async fn unknown_events_are_no_error(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    append(&journal, "a", 1).await;
    assert_eq!(log.get(&id(2)).await.unwrap(), None);
    assert!(!log.mark_delivered(&id(2)).await.unwrap());
    assert!(!log.delete(&id(2)).await.unwrap());
    assert_eq!(all(&log, &EventQuery::new().event_ids([id(2), id(3)])).await, []);
}

/// A caller may use an id twice; the newest event of it is found.
pub async fn the_newest_of_several_with_one_id_is_found(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let mut sequences = Vec::new();
    for name in ["a", "b", "c"] {
        sequences.push(append(&journal, name, 1).await);
    }
    let row = log.get(&id(1)).await.unwrap().unwrap();
    assert_eq!((row.name.as_str(), row.sequence), ("c", sequences[2]));
    assert_eq!(all(&log, &EventQuery::new().event_ids([id(1)])).await.len(), 3);
}

/// Events come newest first.
pub async fn event_pages_are_newest_first(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let one = reader(&journal, "one", &["a"]).await;
    for number in 0..250 {
        let sequence = append(&journal, if number % 2 == 0 { "a" } else { "b" }, number).await;
        if number % 3 == 0 {
            deliver(&one, sequence).await;
        }
    }
    let first = log.page(&EventQuery::new(), None).await.unwrap();
    assert_eq!(ids(&first.items), named((150..250).rev()), "a page has 100 rows unless told");
    let rows = all(&log, &EventQuery::new()).await;
    assert_eq!(ids(&rows), named((0..250).rev()));
    for row in rows.iter().step_by(31) {
        assert_eq!(log.get(&row.id).await.unwrap().as_ref(), Some(row));
    }
}

/// A page has 1 to 100 rows; asking for another number is an error that says so.
pub async fn an_event_page_has_1_to_100_rows(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    for number in 0..120 {
        append(&journal, "a", number).await;
    }
    for limit in [1, 2, 99, 100] {
        let page = log.page(&EventQuery::new().limit(limit), None).await.unwrap();
        assert_eq!((page.items.len(), page.cursor.is_some()), (limit, true));
    }
    for limit in [0, 101, usize::MAX] {
        let refused = log.page(&EventQuery::new().limit(limit), None).await;
        assert_eq!(refused, Err(LogError::Limit { limit }));
    }
}

/// The page that holds the last row says that it is the last, also when it is full.
pub async fn the_last_event_page_has_no_cursor(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let empty = log.page(&EventQuery::new(), None).await.unwrap();
    assert_eq!((empty.items.len(), empty.cursor), (0, None));
    let _one = reader(&journal, "one", &["a"]).await;
    for number in 0..20 {
        append(&journal, "a", number).await;
    }
    for query in [EventQuery::new(), EventQuery::new().is_delivered(false)] {
        for limit in [10, 20, 7, 50] {
            let query = query.clone().limit(limit);
            let mut cursor = None;
            let mut pages = Vec::new();
            loop {
                let page = log.page(&query, cursor).await.unwrap();
                pages.push(page.items.len());
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(pages.len(), 20_usize.div_ceil(limit), "by {limit}: {pages:?}");
        }
    }
}

/// Each filter narrows; together they narrow more; an empty list filters nothing.
pub async fn event_filters_choose_rows(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let one = reader(&journal, "one", &["c.*"]).await;
    for number in 0..12 {
        append(&journal, ["a", "b", "c.x", "c.y"][number % 4], number).await;
    }
    // Of 2, 3, 6, 7, 10, 11 the first is delivered, the second given up, the rest wait.
    let entries = one.read(Sequence::START, 2).await.unwrap();
    deliver(&one, entries[0].sequence).await;
    give_up("one", &one, &entries[1]).await;
    let names = |names: &[&str]| Subscription::new(names).unwrap();
    let query = EventQuery::new;
    for (query, expected) in [
        (query().event_ids([]), (0..12).rev().collect()),
        (query().event_ids([id(3), id(8), id(99)]), vec![8, 3]),
        (query().names(names(&["a"])), vec![8, 4, 0]),
        (query().names(names(&["c.*", "a"])), vec![11, 10, 8, 7, 6, 4, 3, 2, 0]),
        (query().names(names(&["nothing"])), vec![]),
        (query().after(at(9)), vec![11, 10, 9]),
        (query().before(at(2)), vec![1, 0]),
        (query().after(at(4)).before(at(6)), vec![5, 4]),
        (query().after(at(6)).before(at(4)), vec![]),
        (query().is_delivered(false), vec![11, 10, 7, 6, 3]),
        (query().is_delivered(true), vec![9, 8, 5, 4, 2, 1, 0]),
        (query().is_delivered(false).names(names(&["c.y", "a"])), vec![11, 7, 3]),
        (query().is_delivered(true).names(names(&["c.y", "a"])), vec![8, 4, 0]),
        (query().is_delivered(false).after(at(4)).before(at(10)), vec![7, 6]),
        (query().is_delivered(true).event_ids([id(2), id(3), id(4)]), vec![4, 2]),
        (query().is_delivered(false).event_ids([id(2), id(3), id(4)]), vec![3]),
        (query().names(names(&["b"])).after(at(2)).before(at(9)), vec![5]),
    ] {
        let rows = all(&log, &query).await;
        assert_eq!(ids(&rows), named(expected), "{query:?}");
    }
}

/// A filter holds from page to page, and no page is short before the last.
pub async fn event_filters_hold_across_pages(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let _one = reader(&journal, "one", &["b"]).await;
    for number in 0..900 {
        append(&journal, if number % 9 == 2 { "b" } else { "a" }, number).await;
    }
    let expected = named((0..900).rev().filter(|it| it % 9 == 2));
    let names = Subscription::new(["b"]).unwrap();
    for query in [EventQuery::new().names(names), EventQuery::new().is_delivered(false)] {
        let query = query.limit(10);
        assert_eq!(ids(&all(&log, &query).await), expected);
        assert_eq!(log.page(&query, None).await.unwrap().items.len(), 10);
    }
}

/// What waits and what is a dead letter stays, however much is settled after it.
pub async fn what_is_not_delivered_stays_in_the_log(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let one = reader(&journal, "one", &["a"]).await;
    let stuck = reader(&journal, "stuck", &["b"]).await;
    append(&journal, "b", 0).await;
    append(&journal, "b", 1).await;
    let entries: Vec<Entry> = stuck.read(Sequence::START, 1).await.unwrap();
    give_up("stuck", &stuck, &entries[0]).await;
    for number in 2..3_000 {
        let sequence = append(&journal, "a", number).await;
        drop(one.settle(sequence, bugle_core::Settlement::Delivered));
    }
    journal.flush().await.unwrap();
    assert_eq!(ids(&all(&log, &EventQuery::new().is_delivered(false)).await), ["e1", "e0"]);
    let rows = all(&log, &EventQuery::new()).await;
    assert_eq!(ids(&rows)[rows.len() - 2..], ["e1", "e0"]);
    assert!(rows.len() >= 1_002, "{} are kept", rows.len());
    assert!(!is_delivered(&log, 0).await && !is_delivered(&log, 1).await);
    assert!(is_delivered(&log, 2_999).await);
}

/// A cursor whose row is gone leads on from where that was.
pub async fn any_event_cursor_is_answered(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let _one = reader(&journal, "one", &["a"]).await;
    for number in 0..5 {
        append(&journal, if number < 2 { "b" } else { "a" }, number).await;
    }
    for (deleted, query, expected) in
        [(4, EventQuery::new(), 0..4), (3, EventQuery::new().is_delivered(false), 2..3)]
    {
        let first = log.page(&query.clone().limit(1), None).await.unwrap();
        assert_eq!(ids(&first.items), named([deleted]));
        assert!(log.delete(&id(deleted)).await.unwrap());
        let rest = log.page(&query, first.cursor).await.unwrap();
        assert_eq!((ids(&rest.items), rest.cursor), (as_str(&named(expected.rev())), None));
    }
}

fn as_str(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// Events that are appended and settled while pages are read change nothing of what is below: no
/// row comes twice, none is skipped.
pub async fn event_cursors_stand_while_events_come_and_go(make: &MakeStore) {
    let Some((journal, log)) = with_events(make, StoreLimits::default()).await else { return };
    let _stuck = reader(&journal, "stuck", &["b"]).await;
    for number in 0..150 {
        append(&journal, "b", number).await;
    }
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let name = format!("w{writer}");
                let reader = reader(&journal, &name, &[&name]).await;
                for number in 1..60 {
                    let sequence = append(&journal, &name, 1_000 * writer + 1_000 + number).await;
                    deliver(&reader, sequence).await;
                }
            })
        })
        .collect();
    for limit in [7, 20, 100] {
        for query in [EventQuery::new(), EventQuery::new().is_delivered(false)] {
            let rows = all(&log, &query.limit(limit)).await;
            assert!(rows.is_sorted_by(|one, next| one.sequence > next.sequence));
            let before: Vec<_> = rows.iter().filter(|row| row.name.as_str() == "b").collect();
            let before: Vec<_> = before.iter().map(|row| row.id.as_str()).collect();
            assert_eq!(before, named((0..150).rev()));
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(all(&log, &EventQuery::new()).await.len(), 150 + 8 * 59);
}
