//! What every [`AttemptLog`] does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Advice, Attempt, AttemptCode, AttemptId, AttemptLog, AttemptLogPolicy, AttemptQuery, Delivery,
    EmitterId, Exchange, Failure, LogError, NewAttempt, Outcome, PageCursor, RequestId,
    ResponseHead, Sequence, SpokenVersion,
};
use bytes::Bytes;
use jiff::Timestamp;

use super::{MakeStore, event_of, eventually, log};

/// Makes a `#[test]` of each check of [`attempts`](crate::conformance::attempts). It takes an
/// `async fn(AttemptLogPolicy) -> Arc<dyn AttemptLog>` that makes a new, empty log.
#[macro_export]
macro_rules! attempt_log_conformance {
    ($make:expr) => {
        $crate::__conformance_tests! { attempts, $make,
            an_attempt_is_kept_as_it_was
            the_policy_says_what_is_kept
            unknown_ids_are_no_error
            pages_are_newest_first
            a_page_has_1_to_100_rows
            the_last_page_has_no_cursor
            filters_choose_rows
            filters_hold_across_pages
            cursors_stand_while_rows_are_written
            any_cursor_is_answered
            concurrent_attempts_get_ids_of_their_own
        }
    };
}

/// The second of the year 2100 in which an attempt ended: no log finds it too old.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(4_102_444_800 + second).unwrap()
}

/// A failed attempt of an event at an emitter.
fn failed(event: &str, emitter: &str, second: i64) -> NewAttempt {
    let outcome = Outcome::failed(
        Failure::new(AttemptCode::BadHttpStatus, "HTTP POST request returned status 500"),
        Exchange::default(),
    );
    NewAttempt::new(delivery(event, emitter), outcome, at(second))
}

fn delivery(event: &str, emitter: &str) -> Delivery {
    let mut body = bugle_core::Event::clone(&event_of("invoice.paid", 16));
    body.request_id = RequestId::new(event).unwrap();
    Delivery::new(EmitterId::new(emitter).unwrap(), Sequence(7), Arc::new(body), 1)
}

/// Reads all pages of a query.
async fn all(log: &Arc<dyn AttemptLog>, query: &AttemptQuery) -> Vec<Attempt> {
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

/// Makes a log with attempts `e0`, `e1`, … at the seconds 0, 1, …, of three emitters in turn.
async fn filled(make: &MakeStore, count: usize) -> Arc<dyn AttemptLog> {
    let log = log(make, AttemptLogPolicy::Failures).await;
    for number in 0..count {
        log.record(failed(&format!("e{number}"), &format!("w{}", number % 3), number as i64));
    }
    recorded(&log, count).await;
    log
}

/// Waits until so many attempts can be read: a log may take its time.
async fn recorded(log: &Arc<dyn AttemptLog>, count: usize) {
    eventually("the recorded attempts", async || {
        all(log, &AttemptQuery::new()).await.len() == count
    })
    .await;
}

fn events(rows: &[Attempt]) -> Vec<&str> {
    rows.iter().map(|row| row.event_id.as_str()).collect()
}

/// The names `e<first>` down to `e<last>`.
fn down(first: usize, last: usize) -> Vec<String> {
    (last..=first).rev().map(|number| format!("e{number}")).collect()
}

/// What is recorded is what is read, by page and by id.
pub async fn an_attempt_is_kept_as_it_was(make: &MakeStore) {
    let log = log(make, AttemptLogPolicy::Failures).await;
    let mut exchange = Exchange::default();
    exchange.status = Some(429);
    exchange.connected_to = Some(([192, 0, 2, 7], 443).into());
    exchange.http_version = Some(SpokenVersion::Http2);
    exchange.elapsed.resolve = Duration::from_millis(1);
    exchange.elapsed.connect = Duration::from_millis(2);
    exchange.elapsed.tls = Duration::from_millis(3);
    exchange.elapsed.first_byte = Duration::from_millis(4);
    exchange.elapsed.total = Duration::from_millis(12);
    let mut head = ResponseHead::default();
    head.version = "HTTP/2.0".to_owned();
    head.headers = vec![("retry-after".to_owned(), "9".to_owned())];
    exchange.head = Some(Box::new(head));
    exchange.body = Bytes::from_static(b"slow down");
    exchange.body_cut = true;
    let failure = Failure::new(AttemptCode::BadHttpStatus, "HTTP POST request returned status 429")
        .advising(Advice::RetryAfter(Duration::from_secs(9)));
    let new = NewAttempt::new(delivery("e", "w"), Outcome::failed(failure, exchange), at(5));
    log.record(new.clone());
    recorded(&log, 1).await;
    let row = all(&log, &AttemptQuery::new()).await.remove(0);
    assert_eq!(row, new.numbered(row.id));
    assert_eq!((row.status, row.body.as_str(), row.created), (Some(429), "slow down", at(5)));
    assert_eq!((row.http_version, row.body_cut), (Some(SpokenVersion::Http2), true));
    assert_eq!(log.get(row.id).await.unwrap(), Some(row));
}

/// A log keeps the failures, or all.
pub async fn the_policy_says_what_is_kept(make: &MakeStore) {
    for (policy, expected) in
        [(AttemptLogPolicy::Failures, vec!["bad"]), (AttemptLogPolicy::All, vec!["bad", "good"])]
    {
        let log = log(make, policy).await;
        assert_eq!(log.policy(), policy);
        let delivered = Outcome::delivered(Exchange::default());
        log.record(NewAttempt::new(delivery("good", "w"), delivered, at(1)));
        log.record(failed("bad", "w", 2));
        recorded(&log, expected.len()).await;
        let rows = all(&log, &AttemptQuery::new()).await;
        assert_eq!(events(&rows), expected);
        for row in rows {
            assert_eq!(row.code.is_none(), row.event_id == "good");
            assert_eq!(row.message.is_empty(), row.event_id == "good");
        }
    }
}

/// An id that no attempt has is no error.
pub async fn unknown_ids_are_no_error(make: &MakeStore) {
    let log = filled(make, 3).await;
    for id in [0, 1_000_000, u64::MAX] {
        assert_eq!(log.get(AttemptId::new(id)).await.unwrap(), None, "{id}");
    }
}

/// Rows come newest first.
pub async fn pages_are_newest_first(make: &MakeStore) {
    let log = filled(make, 250).await;
    let first = log.page(&AttemptQuery::new(), None).await.unwrap();
    assert_eq!(events(&first.items), down(249, 150), "a page has 100 rows unless told");
    let rows = all(&log, &AttemptQuery::new()).await;
    assert_eq!(events(&rows), down(249, 0));
    for row in rows.iter().step_by(31) {
        assert_eq!(log.get(row.id).await.unwrap().as_ref(), Some(row));
    }
}

/// A page has 1 to 100 rows; asking for another number is an error that says so.
pub async fn a_page_has_1_to_100_rows(make: &MakeStore) {
    let log = filled(make, 120).await;
    for limit in [1, 2, 99, 100] {
        let page = log.page(&AttemptQuery::new().limit(limit), None).await.unwrap();
        assert_eq!((page.items.len(), page.cursor.is_some()), (limit, true));
    }
    for limit in [0, 101, usize::MAX] {
        let refused = log.page(&AttemptQuery::new().limit(limit), None).await;
        assert_eq!(refused, Err(LogError::Limit { limit }));
    }
}

/// The page that holds the last row says that it is the last, also when it is full.
pub async fn the_last_page_has_no_cursor(make: &MakeStore) {
    let log = filled(make, 20).await;
    for limit in [10, 20, 7, 50] {
        let query = AttemptQuery::new().limit(limit);
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
        assert_eq!(pages.iter().sum::<usize>(), 20);
    }
    let empty = super::log(make, AttemptLogPolicy::Failures).await;
    let page = empty.page(&AttemptQuery::new(), None).await.unwrap();
    assert_eq!((page.items.len(), page.cursor), (0, None));
}

/// Each filter narrows; together they narrow more; an empty list filters nothing.
pub async fn filters_choose_rows(make: &MakeStore) {
    let log = filled(make, 12).await;
    let event = |number: usize| RequestId::new(format!("e{number}")).unwrap();
    let emitter = |number: usize| EmitterId::new(format!("w{number}")).unwrap();
    let query = AttemptQuery::new;
    for (query, expected) in [
        (query().event_ids([]).webhook_ids([]), (0..12).rev().collect()),
        (query().event_ids([event(3), event(8), event(99)]), vec![8, 3]),
        (query().webhook_ids([emitter(1)]), vec![10, 7, 4, 1]),
        (query().webhook_ids([emitter(0), emitter(2)]).after(at(6)), vec![11, 9, 8, 6]),
        (query().after(at(9)), vec![11, 10, 9]),
        (query().before(at(2)), vec![1, 0]),
        (query().after(at(4)).before(at(6)), vec![5, 4]),
        (query().after(at(6)).before(at(4)), vec![]),
        (query().event_ids([event(3), event(4)]).webhook_ids([emitter(1)]), vec![4]),
        (query().event_ids([event(3)]).webhook_ids([emitter(1)]), vec![]),
    ] {
        let rows = all(&log, &query).await;
        let expected: Vec<String> =
            expected.into_iter().map(|it: usize| format!("e{it}")).collect();
        assert_eq!(events(&rows), expected, "{query:?}");
    }
}

/// A filter holds from page to page, and no page is short before the last.
pub async fn filters_hold_across_pages(make: &MakeStore) {
    let log = filled(make, 700).await;
    let query = AttemptQuery::new().webhook_ids([EmitterId::new("w2").unwrap()]).limit(10);
    let rows = all(&log, &query).await;
    let expected: Vec<String> =
        (0..700).rev().filter(|it| it % 3 == 2).map(|it| format!("e{it}")).collect();
    assert_eq!(events(&rows), expected);
    let page = log.page(&query, None).await.unwrap();
    assert_eq!(page.items.len(), 10);
}

/// Rows that are written between two pages, or while they are read, change nothing of what is
/// below: no row comes twice, none is skipped.
pub async fn cursors_stand_while_rows_are_written(make: &MakeStore) {
    let log = filled(make, 150).await;
    let query = AttemptQuery::new().limit(20);
    let first = log.page(&query, None).await.unwrap();
    for number in 150..250 {
        log.record(failed(&format!("e{number}"), "w", number));
    }
    recorded(&log, 250).await;
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for number in 0..200 {
                    log.record(failed(&format!("late-{writer}-{number}"), "w", 1_000));
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..20 {
        let mut rows = first.items.clone();
        let mut cursor = first.cursor.clone();
        while let Some(next) = cursor {
            // The text of a cursor is all that a client has.
            let next = PageCursor::parse(&next.to_string()).unwrap();
            let page = log.page(&query, Some(next)).await.unwrap();
            rows.extend(page.items);
            cursor = page.cursor;
        }
        assert_eq!(events(&rows), down(149, 0));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    recorded(&log, 850).await;
}

/// What is no cursor is refused before it gets to a log.
pub async fn any_cursor_is_answered(make: &MakeStore) {
    let log = filled(make, 5).await;
    let first = log.page(&AttemptQuery::new().limit(4), None).await.unwrap();
    let rest = log.page(&AttemptQuery::new(), first.cursor).await.unwrap();
    assert_eq!((events(&rest.items), rest.cursor), (vec!["e0"], None));
    for bad in ["", "0", "not a cursor", "AAAA", "%00", "ÄÖÜ"] {
        let refused = PageCursor::parse(bad).unwrap_err();
        assert!(refused.to_string().contains("is not a page's cursor"), "{refused}");
    }
}

/// Attempts recorded at once by many all get ids of their own, each writer's in its order.
pub async fn concurrent_attempts_get_ids_of_their_own(make: &MakeStore) {
    let log = log(make, AttemptLogPolicy::Failures).await;
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for number in 0..250 {
                    log.record(failed(&format!("e{number}"), &format!("w{writer}"), number));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    recorded(&log, 1_000).await;
    let rows = all(&log, &AttemptQuery::new()).await;
    let ids: BTreeSet<AttemptId> = rows.iter().map(|row| row.id).collect();
    assert_eq!(ids.len(), 1_000);
    for writer in 0..4 {
        let theirs =
            AttemptQuery::new().webhook_ids([EmitterId::new(format!("w{writer}")).unwrap()]);
        assert_eq!(events(&all(&log, &theirs).await), down(249, 0));
    }
}
