//! `bugle repair`: a damaged store is refused, looked through, and goes on without what is lost.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use bugle_testkit::{Receiver, Reply};
use common::run;
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_is_said_before_it_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store").to_str().unwrap().to_owned();
    let receiver = Receiver::builder().otherwise(Reply::status(503)).start().unwrap();
    let lines = "{\"name\":\"invoice.paid\",\"payload\":{\"id\":1}}\n";
    let url = receiver.url("/hooks");
    let deliver = ["deliver", "-", "--to", &url, "--allow-private", "--store", &store];
    let tries = ["--max-attempts", "1", "--retry-first", "1ms", "--retry-max", "1ms"];
    run(&[&deliver[..], &tries].concat(), lines).await;

    let whole = run(&["repair", "--store", &store], "").await;
    assert_eq!(whole.code, 0, "{whole:?}");
    assert!(whole.stdout.contains("nothing is damaged"), "{whole:?}");

    // The event's name is no other one, wherever it stands.
    let database = std::path::Path::new(&store).join("bugle.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let name = b"invoice.paid";
    let found: Vec<usize> =
        (0..bytes.len() - name.len()).filter(|at| bytes[*at..].starts_with(name)).collect();
    assert!(!found.is_empty());
    found.iter().for_each(|at| bytes[at + 3] = b'n');
    std::fs::write(&database, &bytes).unwrap();

    let said = run(&["repair", "--store", &store], "").await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stdout.contains("nothing was changed: bugle repair --store"), "{said:?}");
    assert_eq!(std::fs::read(&database).unwrap(), bytes, "nothing was changed");
    let json = run(&["repair", "--store", &store, "--json"], "").await;
    let found: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((&found["is_whole"], &found["repaired"]), (&false.into(), &false.into()));

    let repaired = run(&["repair", "--store", &store, "--yes"], "").await;
    assert_eq!(repaired.code, 0, "{repaired:?}");
    assert!(repaired.stdout.contains("the damaged files are kept in"), "{repaired:?}");
    let whole = run(&["repair", "--store", &store], "").await;
    assert_eq!(whole.code, 0, "{whole:?}");
    let missing = run(&["repair", "--store", "/nowhere"], "").await;
    assert_eq!(missing.code, 2, "{missing:?}");
    assert!(missing.stderr.contains("there is no store in /nowhere"), "{missing:?}");
}
