//! What nothing needs any more goes: dead letters, emitters and their chains.

use std::time::{Duration, Instant};

use bugle_core::{
    AttemptCode, AttemptQuery, DeadLetter, DeadLetterQuery, Delivery, Entry, Exchange, Failure,
    Fate, NewAttempt, Outcome, Sequence, Settlement,
};
use bugle_store::{SqliteOptions, Store};
use bugle_testkit::conformance::run;
use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use crate::support::{append, database, event, id, open};

fn record(store: &Store, emitter: &str) {
    let failure = Failure::new(AttemptCode::Timeout, "the deadline passed");
    let delivery = Delivery::new(id(emitter), Sequence(1), event("a", 10), 1);
    let outcome = Outcome::failed(failure, Exchange::default());
    store.attempts().record(NewAttempt::new(delivery, outcome, Timestamp::now()));
}

fn number(directory: &TempDir, sql: &str) -> i64 {
    database(directory.path()).query_row(sql, [], |row| row.get(0)).unwrap()
}

/// Looks until a query gives a number; an append now and then lets the store look too.
async fn until(store: &Store, directory: &TempDir, sql: &str, wanted: i64) {
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let found = number(directory, sql);
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {found}");
        append(store, "other").await;
    }
}

/// Emitters leave when they are forgotten and nothing refers to them, with their chains; those with
/// a place, a dead letter or an attempt stay.
#[test]
fn forgotten_emitters_leave() {
    run(async {
        let directory = TempDir::new().unwrap();
        let opened = || Store::open_with(directory.path(), SqliteOptions::new().attempts(10));
        {
            let store = opened().unwrap();
            let journal = store.journal();
            for number in 0..100 {
                open(&store, &format!("passing{number}"), &["a"]).await;
                record(&store, &format!("passing{number}"));
                journal.forget(&id(&format!("passing{number}"))).await.unwrap();
            }
            let given_up = open(&store, "given-up", &["a"]).await;
            let sequence = append(&store, "a").await;
            let letter = letter(&given_up_entry(sequence), Timestamp::now());
            given_up.settle(sequence, letter).await.unwrap();
            journal.forget(&id("given-up")).await.unwrap();
            open(&store, "here", &["b"]).await;
            for _ in 0..5_000 {
                record(&store, "tried");
            }
            journal.flush().await.unwrap();
            until(&store, &directory, "SELECT count(*) > 20 FROM attempts", 0).await;
        }
        // When a store is opened, all of them are looked at.
        let store = opened().unwrap();
        until(&store, &directory, "SELECT count(*) FROM emitters", 3).await;
        assert_eq!(number(&directory, "SELECT count(*) FROM attempt_chains"), 1);
        let old = "SELECT count(*) FROM attempt_marks WHERE id < (SELECT min(id) FROM attempts)";
        until(&store, &directory, old, 0).await;
        let query = AttemptQuery::new().webhook_ids([id("tried")]).limit(5);
        assert_eq!(store.attempts().page(&query, None).await.unwrap().items.len(), 5);
        // One that comes back is as good as new.
        let again = open(&store, "passing7", &["a"]).await;
        record(&store, "passing7");
        store.journal().flush().await.unwrap();
        let query = AttemptQuery::new().webhook_ids([id("passing7")]);
        assert_eq!(store.attempts().page(&query, None).await.unwrap().items.len(), 1);
        let next = append(&store, "a").await;
        assert_eq!(crate::support::read(&again).await, [next]);
    });
}

fn given_up_entry(sequence: Sequence) -> Entry {
    Entry::new(sequence, event("a", 10))
}

fn letter(entry: &Entry, created: Timestamp) -> Settlement {
    let (code, words) = (AttemptCode::Timeout, "the deadline passed".to_owned());
    let letter = DeadLetter::new(id("given-up"), entry, code, words, 3, created);
    Settlement::DeadLettered(Box::new(letter))
}

/// Dead letters go when they are too old, where that is wanted, and only then.
#[test]
fn dead_letters_grow_too_old() {
    run(async {
        let directory = TempDir::new().unwrap();
        let hours_ago =
            |hours| Timestamp::now().checked_sub(SignedDuration::from_hours(hours)).unwrap();
        let mut all = Vec::new();
        {
            let store = Store::open(directory.path()).unwrap();
            let given_up = open(&store, "given-up", &["a"]).await;
            for number in 0..100 {
                let sequence = append(&store, "a").await;
                let created = if number < 90 { hours_ago(2) } else { Timestamp::now() };
                given_up
                    .settle(sequence, letter(&given_up_entry(sequence), created))
                    .await
                    .unwrap();
                all.push(sequence);
            }
        }
        let options = SqliteOptions::new().dead_letters_for(Duration::from_secs(3_600));
        let store = Store::open_with(directory.path(), options).unwrap();
        let given_up = open(&store, "given-up", &["a"]).await;
        until(&store, &directory, "SELECT count(*) FROM dead_letters", 10).await;
        let page = store.dead_letters().page(&DeadLetterQuery::new(), None).await.unwrap();
        let left: Vec<_> = page.items.iter().rev().map(|it| it.sequence).collect();
        assert_eq!(left, all[90..]);
        assert_eq!(
            given_up.fate(all[95]).now_or_never().unwrap().unwrap(),
            Some(Fate::DeadLettered)
        );
        assert_ne!(
            given_up.fate(all[0]).now_or_never().unwrap().unwrap(),
            Some(Fate::DeadLettered)
        );
    });
}
