//! Crashes, budgets, poison events: what supervision promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{AttemptCode, AttemptQuery, DeadLetterQuery, Event, Fate, RetryPolicy};
use bugle_runtime::{AttachError, HandlerConfig, RuntimeEvent, Status};
use common::{Taken, attach_taking, config, emit, runtime, until, wait};

#[tokio::test(start_paused = true)]
async fn a_handler_that_always_panics_fails_alone_and_keeps_its_backlog() {
    let runtime = runtime().await;
    let mut watch = runtime.watch();
    let taken = Taken::default();
    attach_taking(&runtime, "steady", "a", &taken).await;
    let panics = |_: Arc<Event>| async {
        assert!(std::hint::black_box(false), "as scripted");
        Ok::<(), String>(())
    };
    runtime.attach_handler("panics", ["a"], panics, HandlerConfig::default()).await.unwrap();
    for id in 1..=20 {
        emit(&runtime, "a", &id.to_string()).await;
    }
    let failed = wait(&mut watch, |event| matches!(event, RuntimeEvent::Failed { .. })).await;
    let RuntimeEvent::Failed { emitter, reason } = failed else { panic!() };
    assert_eq!(emitter, "panics");
    assert!(reason.contains("as scripted"), "{reason}");

    let panics = runtime.describe("panics").unwrap();
    assert_eq!((panics.status, panics.restarts_since_start), (Status::Failed, 3));
    assert_eq!(panics.last_failure.as_ref().unwrap().code, AttemptCode::Crashed);
    // The first event crashed it three times in a row, and was given up; the others wait.
    assert_eq!((panics.dead_letters, panics.depth), (1, 19));
    let letters = runtime.dead_letters().page(DeadLetterQuery::new(), None).await.unwrap().items;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].code, letters[0].attempts), (AttemptCode::Crashed, 3));
    assert_eq!(*letters[0].request_id(), "1");
    let page = runtime.attempts().page(&AttemptQuery::new(), None).await.unwrap();
    assert_eq!(page.items.len(), 4, "three of the first event, one of the second");

    until(&mut watch, || taken.ids().len() == 20).await;
    let steady = runtime.describe("steady").unwrap();
    assert_eq!(
        (steady.delivered_since_start, steady.restarts_since_start, steady.status),
        (20, 0, Status::Running)
    );
    assert!(matches!(
        runtime.attach("panics", "a", config()).await,
        Err(AttachError::AlreadyPresent(_))
    ));
    runtime.restart("panics").await.unwrap();
    let started = |event: &RuntimeEvent| {
        matches!(event, RuntimeEvent::Started { emitter, incarnation }
            if *emitter == "panics" && incarnation.0 == 5)
    };
    wait(&mut watch, started).await;
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_is_dead_lettered_and_the_next_delivered() {
    let runtime = runtime().await;
    let taken = Taken::default();
    let take = taken.clone();
    let handler = move |event: Arc<Event>| {
        let take = take.clone();
        async move {
            assert!(event.request_id != "poison", "poison");
            take.push(&event);
            Ok::<(), String>(())
        }
    };
    let retry = RetryPolicy::default().max_attempts(50);
    let config = HandlerConfig::default().retry(retry);
    runtime.attach_handler("a", ["a"], handler, config).await.unwrap();
    emit(&runtime, "a", "before").await;
    let poison = emit(&runtime, "a", "poison").await;
    let after = emit(&runtime, "a", "after").await;
    assert_eq!(poison.settled().await[0].fate, Some(Fate::DeadLettered));
    assert_eq!(after.settled().await[0].fate, Some(Fate::Delivered));
    assert_eq!(taken.ids(), ["before", "after"]);
    let emitter = runtime.describe("a").unwrap();
    assert_eq!((emitter.restarts_since_start, emitter.status), (3, Status::Running));
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_at_a_crash_is_kept_in_order() {
    let runtime = runtime().await;
    let mut watch = runtime.watch();
    let taken = Taken::default();
    attach_taking(&runtime, "a", "a", &taken).await;
    for round in 0..5_u32 {
        for id in 0..10 {
            emit(&runtime, "a", &format!("{round}-{id}")).await;
        }
        runtime.inject_crash("a", "as scripted").unwrap();
        wait(&mut watch, |event| matches!(event, RuntimeEvent::Started { .. })).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    until(&mut watch, || runtime.describe("a").unwrap().depth == 0).await;
    let mut distinct = taken.ids();
    distinct.dedup();
    let expected: Vec<String> =
        (0..5).flat_map(|round| (0..10).map(move |id| format!("{round}-{id}"))).collect();
    assert_eq!(distinct, expected, "in order, none lost; repeats only where it crashed");
}

#[tokio::test(start_paused = true)]
async fn two_runtimes_live_in_one_process() {
    let (one, two) = (runtime().await, runtime().await);
    one.attach("a", "a", config()).await.unwrap();
    two.attach("a", "a", config()).await.unwrap();
    one.pause("a").await.unwrap();
    assert!(two.is_started("a") && !one.is_started("a"));
    one.shutdown(Duration::ZERO).await;
    assert!(two.is_started("a"));
    let receipt = emit(&two, "a", "1").await;
    assert_eq!(receipt.settled().await[0].fate, Some(Fate::Delivered));
}
