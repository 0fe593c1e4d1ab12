//! Attempts are found again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{
    AttemptCode, AttemptId, AttemptQuery, Delivery, Event, Exchange, Failure, NewAttempt, Outcome,
    RequestId, Sequence,
};
use bugle_store::Store;
use bugle_testkit::conformance::run;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::{append, database, event, id};

/// No attempt is too old then.
const YEAR_2100: i64 = 4_102_444_800;

fn attempt(emitter: usize, number: usize) -> NewAttempt {
    attempt_at(YEAR_2100 + number as i64, emitter, number)
}

fn attempt_at(second: i64, emitter: usize, number: usize) -> NewAttempt {
    let failure = Failure::new(AttemptCode::Timeout, "the deadline passed");
    let mut event = Event::clone(&event("a", 10));
    event.request_id = RequestId::new(format!("event-{}", number % 3_000)).unwrap();
    let delivery = Delivery::new(id(&format!("e{emitter}")), Sequence(1), Arc::new(event), 1);
    let created = Timestamp::from_second(second).unwrap();
    NewAttempt::new(delivery, Outcome::failed(failure, Exchange::default()), created)
}

/// Attempts are found by id, by emitter, by event and by time, whether they are in a block or not,
/// also after a restart, and the next ids go on.
#[test]
fn attempts_are_found_again() {
    const COUNT: usize = 70_000;
    run(async {
        let directory = TempDir::new().unwrap();
        let check = async |store: &Store, count: usize| {
            let log = store.attempts();
            let numbers = async |query: AttemptQuery| {
                let mut cursor = None;
                let mut numbers = Vec::new();
                loop {
                    let page = log.page(&query, cursor).await.unwrap();
                    numbers.extend(
                        page.items.iter().map(|it| (it.created.as_second() - YEAR_2100) as usize),
                    );
                    cursor = page.cursor;
                    if cursor.is_none() {
                        return numbers;
                    }
                }
            };
            let down = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
                (0..count).rev().filter(|number| wanted(*number)).collect()
            };
            let query = AttemptQuery::new;
            let event = |number| RequestId::new(format!("event-{number}")).unwrap();
            let at = |second: i64| Timestamp::from_second(YEAR_2100 + second).unwrap();
            assert_eq!(numbers(query().before(at(5_000))).await, down(&|number| number < 5_000));
            let found = numbers(query().webhook_ids([id("e3"), id("nobody"), id("e5")])).await;
            assert_eq!(found, down(&|number| [3, 5].contains(&(number % 7))));
            let found = numbers(query().event_ids([event(2_999), event(17)])).await;
            assert_eq!(found, down(&|number| [2_999, 17].contains(&(number % 3_000))));
            let found =
                numbers(query().webhook_ids([id("e2")]).after(at(50)).before(at(9_000))).await;
            assert_eq!(found, down(&|number| number % 7 == 2 && (50..9_000).contains(&number)));
            let found = numbers(query().after(at(8_000)).before(at(8_400))).await;
            assert_eq!(found, down(&|number| (8_000..8_400).contains(&number)));
            let found = numbers(query().event_ids([event(5)]).webhook_ids([id("e5")])).await;
            assert_eq!(found, down(&|number| number % 3_000 == 5 && number % 7 == 5));
        };
        let open = || Store::open(directory.path()).unwrap();
        {
            let store = open();
            for number in 0..COUNT {
                store.attempts().record(attempt(number % 7, number));
            }
            store.journal().flush().await.unwrap();
            assert_eq!(store.attempts().lost(), 0);
            check(&store, COUNT).await;
        }
        let store = open();
        check(&store, COUNT).await;
        store.attempts().record(attempt(COUNT % 7, COUNT));
        store.journal().flush().await.unwrap();
        let last = store.attempts().get(AttemptId::new(COUNT as u64 + 1)).await.unwrap().unwrap();
        assert_eq!(last.created.as_second(), YEAR_2100 + COUNT as i64);
        check(&store, COUNT + 1).await;
    });
}

/// Attempts that are too old go, all but the newest, without anything that comes; and the next ids
/// go on.
#[test]
fn old_attempts_go() {
    const COUNT: usize = 5_000;
    run(async {
        let directory = TempDir::new().unwrap();
        let deadline = Instant::now() + Duration::from_secs(40);
        let count = || -> i64 {
            let sql = "SELECT count(*) FROM attempts";
            database(directory.path()).query_row(sql, [], |row| row.get(0)).unwrap()
        };
        {
            let store = Store::open(directory.path()).unwrap();
            for number in 0..COUNT {
                store.attempts().record(attempt_at(number as i64, number % 7, number));
            }
            store.journal().flush().await.unwrap();
            while count() > 1 {
                assert!(Instant::now() < deadline, "{} are left", count());
                append(&store, "other").await;
            }
        }
        let store = Store::open(directory.path()).unwrap();
        store.attempts().record(attempt(1, COUNT));
        store.journal().flush().await.unwrap();
        let query = AttemptQuery::new().webhook_ids([id("e1")]);
        let page = store.attempts().page(&query, None).await.unwrap();
        let found: Vec<_> = page.items.iter().map(|it| it.id.number() as usize).collect();
        assert_eq!(found.first(), Some(&(COUNT + 1)));
        let query = AttemptQuery::new().event_ids([page.items[0].event_id.clone()]);
        let page = store.attempts().page(&query, None).await.unwrap();
        assert_eq!(page.items.first().map(|it| it.id.number() as usize), Some(COUNT + 1));
    });
}
