//! `bugle attempts`, `bugle events list` and `show`, `bugle dead-letters`: what a store remembers.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use bugle_testkit::{Receiver, Reply};
use common::{DEADLINE, Ran, bugle, run};
use serde_json::{Value, json};

/// A store in which one event has arrived, and 24 were given up on.
struct Kept {
    directory: tempfile::TempDir,
    receiver: Receiver,
}

impl Kept {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let receiver = Receiver::builder().reply(Reply::status(204));
        let receiver = receiver.otherwise(Reply::status(503).body("come back")).start().unwrap();
        let kept = Self { directory, receiver };
        let line = |id: u64| {
            let name = if id.is_multiple_of(2) { "invoice.paid" } else { "member.created" };
            format!(
                "{{\"name\":\"{name}\",\"request_id\":\"r-{id}\",\"key\":\"k\",\
                 \"payload\":{{\"id\":{id}}}}}\n"
            )
        };
        let lines: String = (1..=25).map(line).collect();
        let url = kept.receiver.url("/hooks");
        let store = kept.store();
        let args = ["deliver", "-", "--to", &url, "--allow-private", "--store", &store];
        let more = ["--max-attempts", "1", "--retry-first", "1ms", "--retry-max", "1ms"];
        let ran = run(&[&args[..], &more].concat(), lines).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        kept
    }

    fn store(&self) -> String {
        self.directory.path().join("store").to_str().unwrap().to_owned()
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let ran = run(&[args, &["--store", &self.store()]].concat(), "").await;
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    }

    /// The rows that it prints for a program, and the cursor behind them.
    async fn rows(&self, args: &[&str]) -> (Vec<Value>, Option<String>) {
        let ran = self.run(&[args, &["--json"]].concat()).await;
        let mut rows: Vec<Value> =
            ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let more = rows.pop_if(|row| row.get("id").is_none());
        (rows, more.map(|more| more["cursor"].as_str().unwrap().to_owned()))
    }
}

fn all<'a>(rows: &'a [Value], field: &str) -> Vec<&'a str> {
    rows.iter().map(|row| row[field].as_str().unwrap()).collect()
}

#[tokio::test]
async fn attempts_are_listed_paged_filtered_and_shown() {
    let kept = Kept::new().await;
    let (rows, cursor) = kept.rows(&["attempts"]).await;
    assert_eq!(rows.len(), 20);
    assert_eq!(all(&rows, "event_id")[..2], ["r-25", "r-24"]);
    assert_eq!(rows[0]["code"], "badHttpStatus");
    assert_eq!(rows[0]["webhook_id"], kept.receiver.address().to_string());
    let (rest, end) = kept.rows(&["attempts", "--cursor", &cursor.unwrap()]).await;
    assert_eq!((all(&rest, "event_id").join(" ").as_str(), end), ("r-5 r-4 r-3 r-2", None));
    let (every, end) = kept.rows(&["attempts", "--all"]).await;
    assert_eq!((every.len(), end), (24, None));

    let (one, _) = kept.rows(&["attempts", "--event", "r-7"]).await;
    assert_eq!(all(&one, "event_id"), ["r-7"]);
    let took = |row: &Value| row["elapsed_ms"].as_f64().unwrap();
    assert!(rows.iter().all(|row| took(row) > 0.0 && row["first_byte_ms"].is_f64()), "{rows:?}");
    assert!(rows.iter().all(|row| row.get("elapsed").is_none()), "{rows:?}");
    let (none, _) = kept.rows(&["attempts", "--before", "1h"]).await;
    assert!(none.is_empty());

    let table = kept.run(&["attempts", "--limit", "2"]).await;
    assert_eq!(table.stdout.lines().count(), 3, "{table:?}");
    assert!(table.stdout.contains("HTTP POST request returned status 503"), "{table:?}");
    assert!(table.stderr.contains("--cursor"), "{table:?}");

    let id = one[0]["id"].as_str().unwrap();
    let shown = kept.run(&["attempts", id]).await.stdout;
    for part in ["member.created r-7", "badHttpStatus", "HTTP/1.1 503", "come back", "first byte"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(kept.run(&["attempts", id, "--json"]).await.json(), one[0]);
}

#[tokio::test]
async fn events_are_listed_paged_filtered_and_shown() {
    let kept = Kept::new().await;
    let (rows, cursor) = kept.rows(&["events", "list", "--limit", "23"]).await;
    assert_eq!(rows.len(), 23);
    let (rest, end) = kept.rows(&["events", "list", "--cursor", &cursor.unwrap()]).await;
    assert_eq!((all(&rest, "id").join(" ").as_str(), end), ("r-2 r-1", None));
    let (delivered, _) = kept.rows(&["events", "list", "--delivered"]).await;
    assert_eq!(all(&delivered, "id"), ["r-1"]);
    let paid = ["events", "list", "--undelivered", "--name", "invoice.*", "--all"];
    let (paid, _) = kept.rows(&paid).await;
    assert_eq!(paid.len(), 12);
    assert!(paid.iter().all(|row| row["name"] == "invoice.paid" && row["is_delivered"] == false));

    let shown = kept.run(&["events", "show", "r-8"]).await.stdout;
    for part in ["invoice.paid", "\"id\": 8", "delivered  no"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let row = kept.run(&["events", "show", "r-8", "--json"]).await.json();
    assert_eq!(row["payload"], json!({"id": 8}));
    assert_eq!(row["key"], "k");
}

#[tokio::test]
async fn dead_letters_are_listed_paged_and_filtered() {
    let kept = Kept::new().await;
    let (rows, cursor) = kept.rows(&["dead-letters", "--limit", "22"]).await;
    assert_eq!(all(&rows, "event_id")[..2], ["r-25", "r-24"]);
    let (rest, end) = kept.rows(&["dead-letters", "--cursor", &cursor.unwrap()]).await;
    assert_eq!((all(&rest, "event_id").join(" ").as_str(), end), ("r-3 r-2", None));
    let (none, _) = kept.rows(&["dead-letters", "--code", "timeout"]).await;
    assert!(none.is_empty());
    let (some, _) = kept.rows(&["dead-letters", "--name", "member.>", "--after", "1h"]).await;
    assert_eq!(some.len(), 12);
    let table = kept.run(&["dead-letters"]).await;
    assert!(table.stdout.contains("HTTP POST request returned status 503"), "{table:?}");
}

#[tokio::test]
async fn a_store_can_be_read_while_it_is_in_use_and_is_not_changed() {
    let kept = Kept::new().await;
    let held = kept.receiver.hold();
    let url = kept.receiver.url("/hooks");
    let store = kept.store();
    let args = ["deliver", "-", "--to", &url, "--allow-private", "--store", &store];
    let mut child =
        bugle(&[&args[..], &["--event", "x", "--timeout", "60s"]].concat()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, b"{\"id\":26}\n").await.unwrap();
    kept.receiver.wait_in_flight(1, DEADLINE).await.unwrap();
    let (rows, _) = kept.rows(&["events", "list", "--undelivered", "--limit", "1"]).await;
    assert_eq!(rows[0]["payload"], json!({"id": 26}));
    assert_eq!(kept.rows(&["attempts", "--all"]).await.0.len(), 24);
    child.start_kill().unwrap();
    child.wait().await.unwrap();
    drop(held);
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let kept = Kept::new().await;
    let store = kept.store();
    let missing = format!("{store}-none");
    for (args, code, why) in [
        (vec!["attempts", "--store", &missing], 2, "there is no store in"),
        (vec!["events", "list", "--store", &missing], 2, "there is no store in"),
        (vec!["dead-letters", "--store", &missing], 2, "there is no store in"),
        (vec!["attempts", "9999", "--store", &store], 1, "there is no attempt 9999"),
        (vec!["events", "show", "r-99", "--store", &store], 1, "there is no event r-99"),
        (vec!["attempts", "--emitter", "b", "--store", &store], 1, "no emitter \"b\" in the store"),
        (vec!["dead-letters", "--emitter", "b", "--store", &store], 1, "it has 127.0.0.1:"),
        (vec!["attempts", "--event", "r-99", "--store", &store], 1, "there is no event r-99"),
        (vec!["dead-letters", "--event", "r-99", "--store", &store], 1, "there is no event r-99"),
        (vec!["events", "list", "--event", "r-99", "--store", &store], 1, "there is no event r-99"),
        (vec!["attempts", "--after", "9999-01-01", "--store", &store], 2, "is in the future"),
        (vec!["attempts", "--after", "1h", "--before", "2h", "--store", &store], 2, "--before"),
        (vec!["attempts", "1", "--emitter", "a", "--store", &store], 2, "cannot be used with"),
        (vec!["attempts", "--cursor", "zzz", "--store", &store], 2, "cursor"),
        (vec!["attempts", "--after", "soon", "--store", &store], 2, "2026-11-22"),
        (vec!["attempts", "--limit", "0", "--store", &store], 2, "at least 1"),
        (vec!["events", "list", "--name", "a..b", "--store", &store], 2, "--name"),
        (vec!["dead-letters", "--code", "bad", "--store", &store], 2, "badHttpStatus"),
    ] {
        let ran = run(&args, "").await;
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.stderr.contains(why), "{why}: {}", ran.stderr);
    }
    let ran = kept.run(&["attempts", "--before", "1h"]).await;
    assert!(ran.stderr.contains("no attempts"), "{ran:?}");
}
