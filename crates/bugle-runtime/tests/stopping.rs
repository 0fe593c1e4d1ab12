//! Pause, detach and shutdown: what is in flight, what waits, and what is left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{Backlog, Event, Fate};
use bugle_runtime::{
    AttachError, ControlError, EmitError, HandlerConfig, RestartError, RuntimeEvent, Status,
};
use common::{Taken, attach_hanging, attach_taking, config, emit, runtime, until, wait};
use serde_json::json;
use tokio::sync::Notify;

#[tokio::test(start_paused = true)]
async fn a_hanging_emitter_holds_no_other_and_pauses_at_once() {
    let runtime = runtime().await;
    let mut watch = runtime.watch();
    let taken = Taken::default();
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    attach_taking(&runtime, "steady", "a", &taken).await;
    for id in 0..100 {
        emit(&runtime, "a", &id.to_string()).await;
    }
    entered.notified().await;
    until(&mut watch, || taken.ids().len() == 100).await;
    let hangs = runtime.describe("hangs").unwrap();
    assert_eq!((hangs.in_flight, hangs.depth), (1, 100));

    let before = tokio::time::Instant::now();
    runtime.pause("hangs").await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO, "no waiting for what is in flight");
    let hangs = runtime.describe("hangs").unwrap();
    assert_eq!((hangs.status, hangs.in_flight), (Status::Paused, 0));
    assert_eq!(
        (hangs.depth, hangs.dropped_since_start),
        (0, 100),
        "the memory store drops it, and counts"
    );
}

#[tokio::test(start_paused = true)]
async fn pause_keeps_or_drops_the_backlog_as_chosen() {
    for (backlog, expected) in [
        (None, vec!["after"]),
        (Some(Backlog::Discard), vec!["after"]),
        (Some(Backlog::Keep), vec!["queued", "while", "after"]),
    ] {
        let runtime = runtime().await;
        let taken = Taken::default();
        let entered = Arc::new(Notify::new());
        let (take, tell) = (taken.clone(), Arc::clone(&entered));
        let handler = move |event: Arc<Event>| {
            let (take, tell) = (take.clone(), Arc::clone(&tell));
            async move {
                if event.request_id == "queued" {
                    tell.notify_one();
                    // Of the test's clock: long enough to be paused in.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                take.push(&event);
                Ok::<(), String>(())
            }
        };
        runtime.attach_handler("a", ["a"], handler, HandlerConfig::default()).await.unwrap();
        emit(&runtime, "a", "queued").await;
        entered.notified().await;
        match backlog {
            None => runtime.pause("a").await.unwrap(),
            Some(backlog) => runtime.pause_with("a", backlog).await.unwrap(),
        }
        let skipped = emit(&runtime, "a", "while").await;
        if expected.len() == 1 {
            assert_eq!(skipped.settled().await[0].fate, Some(Fate::Dropped), "{backlog:?}");
        }
        runtime.restart("a").await.unwrap();
        let after = emit(&runtime, "a", "after").await;
        assert_eq!(after.settled().await[0].fate, Some(Fate::Delivered));
        assert_eq!(taken.ids(), expected, "{backlog:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_pause_lets_what_is_in_flight_finish() {
    let runtime = runtime().await;
    let taken = Taken::default();
    let entered = Arc::new(Notify::new());
    let (take, tell) = (taken.clone(), Arc::clone(&entered));
    let slow = move |event: Arc<Event>| {
        let (take, tell) = (take.clone(), Arc::clone(&tell));
        async move {
            tell.notify_one();
            tokio::time::sleep(Duration::from_secs(2)).await;
            take.push(&event);
            Ok::<(), String>(())
        }
    };
    runtime.attach_handler("a", ["a"], slow, HandlerConfig::default()).await.unwrap();
    for id in ["1", "2", "3"] {
        emit(&runtime, "a", id).await;
    }
    entered.notified().await;
    runtime.pause_with("a", Backlog::Keep).draining(Duration::from_secs(10)).await.unwrap();
    assert_eq!(taken.ids(), ["1"]);
    assert_eq!(runtime.describe("a").unwrap().depth, 2);

    runtime.restart("a").await.unwrap();
    entered.notified().await;
    let before = tokio::time::Instant::now();
    runtime.pause_with("a", Backlog::Keep).draining(Duration::from_secs(1)).await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(1), "no longer than its grace");
    assert_eq!(taken.ids(), ["1"], "and then it was aborted");
}

#[tokio::test(start_paused = true)]
async fn an_emitter_that_is_attached_behind_a_detach_is_a_new_one() {
    let runtime = runtime().await;
    let entered = attach_hanging(&runtime, "a", "a").await;
    emit(&runtime, "a", "1").await;
    entered.notified().await;
    // The first drains, and the others wait for its end.
    let (paused, detached, attached) = tokio::join!(
        runtime.pause_with("a", Backlog::Keep).draining(Duration::from_secs(10)),
        runtime.detach("a"),
        runtime.attach("a", "a", config()),
    );
    assert_eq!((paused, detached, attached), (Ok(()), Ok(()), Ok(())));
    let described = runtime.describe("a").unwrap();
    assert_eq!((described.status, described.incarnation.0), (Status::Running, 1));
    let receipt = emit(&runtime, "a", "2").await;
    assert_eq!(receipt.settled().await[0].fate, Some(Fate::Delivered));
}

#[tokio::test(start_paused = true)]
async fn shutdown_finishes_what_is_in_flight_and_reports_what_is_left() {
    let runtime = runtime().await;
    let taken = Taken::default();
    attach_taking(&runtime, "done", "a", &taken).await;
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    let receipt = emit(&runtime, "a", "1").await;
    emit(&runtime, "a", "2").await;
    entered.notified().await;
    let before = tokio::time::Instant::now();
    let report = runtime.shutdown(Duration::from_secs(15)).await;
    assert_eq!(before.elapsed(), Duration::from_secs(15));
    assert_eq!((report.pending(), report.aborted()), (2, 1));
    let left: Vec<_> =
        report.emitters.iter().map(|e| (e.id.as_str(), e.pending, e.aborted)).collect();
    assert_eq!(left, [("done", 0, 0), ("hangs", 2, 1)]);

    let fates: Vec<_> = receipt.settled().await.iter().map(|at| at.fate).collect();
    assert_eq!(fates, [Some(Fate::Delivered), None], "a receipt does not wait for ever");
    assert!(matches!(runtime.emit("a", &json!({})).await, Err(EmitError::ShutDown)));
    assert!(matches!(runtime.attach("x", "a", config()).await, Err(AttachError::ShutDown)));
    assert!(matches!(runtime.restart("done").await, Err(RestartError::ShutDown)));
    assert!(matches!(runtime.pause("done").await, Err(ControlError::ShutDown)));
    assert!(matches!(runtime.detach("done").await, Err(ControlError::ShutDown)));
    assert!(runtime.shutdown(Duration::ZERO).await.is_clean(), "again is harmless");
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_stops_at_once() {
    let runtime = runtime().await;
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    emit(&runtime, "a", "1").await;
    entered.notified().await;
    let patient = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.shutdown(Duration::from_secs(3600)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tokio::time::Instant::now();
    let report = runtime.shutdown(Duration::ZERO).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(report.aborted(), 1);
    assert_eq!(patient.await.unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn detaching_resolves_receipts_and_forgets_the_backlog() {
    let runtime = runtime().await;
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    let receipt = emit(&runtime, "a", "1").await;
    entered.notified().await;
    let waiting = tokio::spawn(async move { receipt.settled().await });
    tokio::task::yield_now().await;
    runtime.detach("hangs").await.unwrap();
    let settled = waiting.await.unwrap();
    assert!(settled.iter().all(|at| at.fate == Some(Fate::Dropped)), "{settled:?}");
    assert!(runtime.describe("hangs").is_none());
    assert_eq!(runtime.journal_stats().events, 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_tree() {
    let runtime = runtime().await;
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    let mut watch = runtime.watch();
    emit(&runtime, "a", "1").await;
    entered.notified().await;
    drop(runtime);
    wait(&mut watch, |event| matches!(event, RuntimeEvent::ShutDown)).await;
}
