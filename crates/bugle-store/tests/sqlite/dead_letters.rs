//! An event that is given up is a dead letter, whatever ends the process.

use std::sync::Arc;

use bugle_core::{AttemptCode, DeadLetter, EmitterId, Entry, Sequence, Settlement};
use bugle_store::Store;
use futures_util::future::join_all;
use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::{database, event, fill, id, open};

const EVENTS: usize = 400;

/// Notes each place that was on disk before a dead letter below it was.
const WATCH: &str = "CREATE TABLE late (emitter, cursor);
    CREATE TRIGGER late AFTER UPDATE ON places
    WHEN (SELECT count(*) FROM dead_letters
          WHERE emitter = old.emitter AND sequence <= old.cursor) < old.cursor
    BEGIN INSERT INTO late VALUES (old.emitter, old.cursor); END";

fn letter(emitter: &EmitterId, at: Sequence) -> DeadLetter {
    let entry = Entry::new(at, event("a", 9));
    let code = AttemptCode::Timeout;
    DeadLetter::new(emitter.clone(), &entry, code, String::new(), 3, Timestamp::now())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_place_is_never_on_disk_before_the_dead_letters_below_it() {
    let directory = TempDir::new().unwrap();
    let store = Store::open(directory.path()).unwrap();
    database(directory.path()).execute_batch(WATCH).unwrap();
    let mut readers = Vec::new();
    for emitter in ["one", "two", "three"] {
        readers.push((id(emitter), open(&store, emitter, &["a"]).await));
    }
    let all = fill(&store, "a", EVENTS).await;
    assert_eq!(all.last(), Some(&Sequence(EVENTS as u64)));
    let mut giving_up = Vec::new();
    for (emitter, reader) in &readers {
        // So many at once, as a window has.
        for some in 0..8 {
            let (emitter, reader) = (emitter.clone(), Arc::clone(reader));
            let all: Vec<Sequence> = all.iter().skip(some).step_by(8).copied().collect();
            giving_up.push(tokio::spawn(async move {
                for sequence in all {
                    let letter = letter(&emitter, sequence);
                    let letter = Settlement::DeadLettered(Box::new(letter));
                    reader.settle(sequence, letter).await.unwrap();
                }
            }));
        }
    }
    join_all(giving_up).await.into_iter().for_each(|it| it.unwrap());
    let conn = database(directory.path());
    let count = |table: &str| -> i64 {
        conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |it| it.get(0)).unwrap()
    };
    assert_eq!(count("dead_letters"), 3 * EVENTS as i64);
    assert_eq!(count("late"), 0, "places went ahead of their dead letters");
}
