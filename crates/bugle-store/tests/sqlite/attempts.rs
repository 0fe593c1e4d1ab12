//! Attempts are found again.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    AttemptCode, AttemptId, AttemptQuery, Delivery, Event, Exchange, Failure, NewAttempt, Outcome,
    RequestId, Sequence,
};
use bugle_store::{SqliteOptions, Store};
use bugle_testkit::conformance::run;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::{event, id};

/// No attempt is too old then.
const YEAR_2100: i64 = 4_102_444_800;

fn attempt(emitter: usize, number: usize) -> NewAttempt {
    let failure = Failure::new(AttemptCode::Timeout, "the deadline passed");
    let mut event = Event::clone(&event("a", 10));
    event.request_id = RequestId::new(format!("event-{}", number % 3_000)).unwrap();
    let delivery = Delivery::new(id(&format!("e{emitter}")), Sequence(1), Arc::new(event), 1);
    let second = Timestamp::from_second(YEAR_2100 + number as i64).unwrap();
    NewAttempt::new(delivery, Outcome::failed(failure, Exchange::default()), second)
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
        // They are of 1970, which is not too old here.
        let century = Duration::from_secs(100 * 365 * 24 * 60 * 60);
        let open = || {
            let options = SqliteOptions::new().attempts_for(century);
            Store::open_with(directory.path(), options).unwrap()
        };
        {
            let store = open();
            for number in 0..COUNT {
                store.attempts().record(attempt(number % 7, number));
            }
            store.journal().flush().await.unwrap();
            check(&store, COUNT).await;
        }
        let store = open();
        check(&store, COUNT).await;
        store.attempts().record(attempt(COUNT % 7, COUNT));
        store.journal().flush().await.unwrap();
        let last = store.attempts().get(AttemptId(COUNT as u64 + 1)).await.unwrap().unwrap();
        assert_eq!(last.created.as_second(), YEAR_2100 + COUNT as i64);
        check(&store, COUNT + 1).await;
    });
}
