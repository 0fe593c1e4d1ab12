//! The effect of a 410, by which a receiver wants no more events.

use bugle::{Backlog, DeadLetterQuery, EmitterConfig, Fate, Gone, RuntimeEvent, Status};
use bugle_testkit::{Act, ScriptedTransport};
use tokio::time::Instant;

use crate::support::{DEADLINE, attempts, emit, fate, fates, runtime, status, until, wait};
use crate::{config, secs};

#[tokio::test(start_paused = true)]
async fn gone_is_a_failure_like_others_by_default() {
    let transport = ScriptedTransport::new();
    transport.everywhere().then_times(3, Act::gone());
    let runtime = runtime(transport.clone()).await;
    let mut watch = runtime.watch();
    runtime.attach("a", "invoice.paid", config().on_gone(Gone::Retry)).await.unwrap();
    assert_eq!(fate(&emit(&runtime, "invoice.paid", "1").await).await, Some(Fate::DeadLettered));
    assert_eq!(fate(&emit(&runtime, "invoice.paid", "2").await).await, Some(Fate::Delivered));
    assert_eq!(transport.attempts().len(), 4);
    let told = |event: &RuntimeEvent| {
        assert!(!matches!(event, RuntimeEvent::Gone { .. }), "nobody minds");
        matches!(event, RuntimeEvent::Delivered { .. })
    };
    wait(&mut watch, told).await;
}

#[tokio::test(start_paused = true)]
async fn gone_pauses_where_that_is_chosen() {
    let transport = ScriptedTransport::new();
    transport.everywhere().then(Act::gone());
    let runtime = runtime(transport.clone()).await;
    let mut watch = runtime.watch();
    runtime.attach("a", "invoice.paid", config().on_gone(Gone::Pause)).await.unwrap();
    let first = emit(&runtime, "invoice.paid", "1").await;
    let failed = wait(&mut watch, |it| matches!(it, RuntimeEvent::AttemptFailed { .. })).await;
    assert!(matches!(failed, RuntimeEvent::AttemptFailed { retry_in: None, .. }), "{failed:?}");
    wait(&mut watch, |it| matches!(it, RuntimeEvent::Gone { emitter } if *emitter == "a")).await;
    wait(&mut watch, |it| matches!(it, RuntimeEvent::Paused { emitter } if *emitter == "a")).await;
    assert_eq!(status(&runtime, "a"), Some(Status::Paused));
    assert!(!runtime.is_started("a"));
    let given_up = runtime.dead_letters().count(DeadLetterQuery::new()).await.unwrap();
    assert_eq!(given_up, 0);
    let recorded = attempts(&runtime, "a").await;
    assert_eq!(recorded.len(), 1);
    assert_eq!(recorded[0].status, Some(410));

    runtime.restart("a").await.unwrap();
    let later = emit(&runtime, "invoice.paid", "2").await;
    assert_eq!(fate(&first).await, Some(Fate::Delivered), "it was kept");
    assert_eq!(fate(&later).await, Some(Fate::Delivered));
}

#[tokio::test(start_paused = true)]
async fn gone_detaches_where_that_is_chosen() {
    let transport = ScriptedTransport::new();
    transport.at("gone.test").otherwise(Act::gone());
    let runtime = runtime(transport.clone()).await;
    let mut watch = runtime.watch();
    let gone = EmitterConfig::new("https://gone.test/").unwrap().on_gone(Gone::Detach);
    runtime.attach("gone", "invoice.paid", gone).await.unwrap();
    runtime.attach("stays", "invoice.paid", config().on_gone(Gone::Detach)).await.unwrap();
    let receipts =
        [emit(&runtime, "invoice.paid", "1").await, emit(&runtime, "invoice.paid", "2").await];
    wait(&mut watch, |it| matches!(it, RuntimeEvent::Gone { emitter } if *emitter == "gone")).await;
    wait(&mut watch, |it| matches!(it, RuntimeEvent::Detached { emitter } if *emitter == "gone"))
        .await;
    assert!(runtime.describe("gone").is_none());
    assert_eq!(transport.attempts_of("gone").len(), 1, "it wants no more of this");
    for receipt in &receipts {
        assert_eq!(fates(receipt).await, [("stays".to_owned(), Some(Fate::Delivered))]);
    }
    assert_eq!(runtime.dead_letters().count(DeadLetterQuery::new()).await.unwrap(), 0);
    until(&mut watch, || runtime.journal_stats().events == 0).await;
}

#[tokio::test(start_paused = true)]
async fn gone_ends_a_draining_pause_too() {
    let transport = ScriptedTransport::new();
    transport.everywhere().otherwise(Act::gone().after(secs(1)));
    let runtime = runtime(transport.clone()).await;
    let mut watch = runtime.watch();
    let config = config().on_gone(Gone::Pause);
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    emit(&runtime, "invoice.paid", "1").await;
    until_in_flight(&transport).await;
    let started = Instant::now();
    runtime.pause_with("a", Backlog::Keep).draining(secs(3600)).await.unwrap();
    assert!(started.elapsed() < secs(10), "it waited for its grace: {:?}", started.elapsed());
    wait(&mut watch, |it| matches!(it, RuntimeEvent::Paused { .. })).await;
    assert_eq!(status(&runtime, "a"), Some(Status::Paused));
    assert_eq!(runtime.describe("a").unwrap().depth, 1);
}

async fn until_in_flight(transport: &ScriptedTransport) {
    transport.wait_until(DEADLINE, |attempts| !attempts.is_empty()).await.unwrap();
    assert_eq!(transport.in_flight(), 1);
}
