//! `bugle demo`: the story is told, holds, and ends by itself.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use common::{bugle, finish, run, signal, wait_for_note};
use serde_json::Value;

fn emitter<'a>(summary: &'a Value, id: &str) -> &'a Value {
    let emitters = summary["emitters"].as_array().unwrap();
    emitters.iter().find(|emitter| emitter["id"] == id).unwrap()
}

#[tokio::test]
async fn the_story_holds() {
    let ran = run(&["demo", "--seconds", "6", "--json"], "").await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let summary = ran.json();
    let mut keys: Vec<_> = summary["emitters"][0].as_object().unwrap().keys().collect();
    keys.sort();
    let expected = ["dead_lettered", "delivered", "failed_attempts", "id", "restarts", "status"];
    assert_eq!(keys, expected);
    let number = |id: &str, field: &str| emitter(&summary, id)[field].as_u64().unwrap();

    assert!(number("steady", "delivered") > 100);
    assert_eq!(number("steady", "failed_attempts"), 0);
    assert!(number("flaky", "delivered") > 0 && number("flaky", "failed_attempts") > 0);
    assert_eq!(number("hanging", "delivered"), 0);
    assert!(number("hanging", "failed_attempts") > 0);
    assert!(number("panicking", "restarts") >= 3 && number("panicking", "dead_lettered") >= 2);
    for id in ["steady", "flaky", "hanging", "panicking"] {
        assert_eq!(emitter(&summary, id)["status"], "running");
    }
    for part in [
        "A poison event",
        "it was dead-lettered",
        "\"flaky\" is paused",
        "\"flaky\" is restarted",
        "\"panicking\" has failed, alone",
        "\"panicking\" is restarted by hand",
        "● failed",
        "└── steady",
    ] {
        assert!(ran.stderr.contains(part), "{part}: {}", ran.stderr);
    }
    assert!(!ran.all().contains("thread '"), "the staged panics are quiet: {}", ran.stderr);
}

#[tokio::test]
async fn it_ends_when_asked_to() {
    let mut child = bugle(&["demo", "--seconds", "600", "--json"]).spawn().unwrap();
    wait_for_note(&mut child, |line| line.contains("orders")).await;
    signal(&child, "INT").await;
    let ran = finish(child).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["emitters"].as_array().unwrap().len(), 4);
}
