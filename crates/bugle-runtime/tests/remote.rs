//! A store on other machines: late, out of reach for a while, and with other owners of emitters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{EmitterId, Fate, Order};
use bugle_runtime::{
    ControlError, EmitError, EmitOptions, Runtime, RuntimeBuilder, RuntimeEvent, Status,
};
use bugle_store::Store;
use bugle_testkit::RemoteStore;
use common::{Taken, Takes, attach_taking, config, until, wait};
use serde_json::json;

/// A runtime on a store that can be cut off, and that fails now and then.
async fn far(seed: u64) -> (Runtime, RemoteStore) {
    let store = RemoteStore::before(Store::memory().into(), seed);
    let runtime = RuntimeBuilder::new(Store::of(store.clone()), Arc::new(Takes));
    (runtime.start().await.unwrap(), store)
}

fn id(emitter: &str) -> EmitterId {
    EmitterId::new(emitter).unwrap()
}

/// Attaches, as often as it takes.
async fn attach(runtime: &Runtime, emitter: &str, order: Order) {
    while let Err(error) = runtime.attach(emitter, "a", config().order(order)).await {
        assert!(error.code().starts_with("store"), "{error}");
    }
}

/// Emits, as often as it takes: under the same id.
async fn emit(runtime: &Runtime, id: &str) -> bugle_runtime::Receipt {
    loop {
        let options = EmitOptions::new().request_id(id);
        match runtime.emit_with("a", &json!({ "id": id }), options).await {
            Ok(receipt) => return receipt,
            Err(EmitError::Append(_)) => {}
            Err(EmitError::Unknown { request_id, .. }) => assert_eq!(request_id.as_str(), id),
            Err(error) => panic!("{error}"),
        }
    }
}

fn status(runtime: &Runtime, emitter: &str) -> Option<Status> {
    runtime.describe(emitter).map(|described| described.status)
}

#[tokio::test(start_paused = true)]
async fn a_store_out_of_reach_costs_no_emitter_its_life() {
    for (seed, order) in [(1, Order::Strict), (2, Order::Unordered { window: 8 })] {
        for outage in [5, 600] {
            let (runtime, store) = far(seed).await;
            attach(&runtime, "billing", order).await;
            let mut watch = runtime.watch();
            let mut receipts = Vec::new();
            for number in 0..50 {
                receipts.push(emit(&runtime, &number.to_string()).await);
                if number == 20 {
                    store.cut();
                    let refused = runtime.emit("a", &json!({})).await.unwrap_err();
                    assert!(matches!(refused, EmitError::Unknown { .. }), "{refused}");
                    tokio::time::sleep(Duration::from_secs(outage)).await;
                    store.mend();
                }
            }
            for receipt in receipts {
                let settled = receipt.settled().await;
                assert_eq!(settled[0].fate, Some(Fate::Delivered), "{}", receipt.request_id());
            }
            until(&mut watch, || runtime.describe("billing").unwrap().waiting_for.is_none()).await;
            let after = runtime.describe("billing").unwrap();
            assert_eq!((after.status, after.restarts_since_start), (Status::Running, 0));
            assert_eq!(after.dead_letters, 0);
            runtime.shutdown(Duration::from_secs(5)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_emitter_that_is_lost_ends_without_a_crash_and_is_had_back_when_it_is_free() {
    let (runtime, store) = far(3).await;
    let store = store.failing_one_in(0);
    attach(&runtime, "billing", Order::Strict).await;
    emit(&runtime, "before").await.settled().await;
    let mut watch = runtime.watch();
    store.lose(&id("billing"));
    wait(&mut watch, |it| matches!(it, RuntimeEvent::OwnedElsewhere { .. })).await;
    let lost = runtime.describe("billing").unwrap();
    assert_eq!((lost.status, lost.restarts_since_start), (Status::Elsewhere, 0));
    assert!(lost.reason.unwrap().contains("another owner"));
    assert!(!runtime.is_started("billing"));

    // What is emitted meanwhile is the other owner's, and nobody here knows of its fate.
    let meanwhile = emit(&runtime, "meanwhile").await;
    assert_eq!(meanwhile.settled().await[0].fate, None);
    let refused = runtime.pause("billing").await.unwrap_err();
    assert!(matches!(refused, ControlError::Store(_)), "{refused}");
    let refused = runtime.restart("billing").await.unwrap_err();
    assert_eq!(refused.code(), "ownedElsewhere");

    store.give_back(&id("billing"));
    until(&mut watch, || status(&runtime, "billing") == Some(Status::Running)).await;
    assert_eq!(meanwhile.settled().await[0].fate, Some(Fate::Delivered), "it waited");
    let after = emit(&runtime, "after").await;
    assert_eq!(after.settled().await[0].fate, Some(Fate::Delivered));
    assert_eq!(runtime.describe("billing").unwrap().restarts_since_start, 0);
}

#[tokio::test(start_paused = true)]
async fn an_emitter_of_another_owner_is_attached_and_runs_elsewhere() {
    let (runtime, store) = far(4).await;
    store.lose(&id("billing"));
    attach(&runtime, "billing", Order::Strict).await;
    assert_eq!(status(&runtime, "billing"), Some(Status::Elsewhere));
    let mut watch = runtime.watch();
    store.give_back(&id("billing"));
    until(&mut watch, || status(&runtime, "billing") == Some(Status::Running)).await;
    assert!(runtime.shutdown(Duration::from_secs(5)).await.is_clean());
}

#[tokio::test]
async fn two_runtimes_on_one_store_wake_one_another() {
    let store = Store::memory();
    let start = async || RuntimeBuilder::new(store.clone(), Arc::new(Takes)).start().await.unwrap();
    let (one, other) = (start().await, start().await);
    let (here, there) = (Taken::default(), Taken::default());
    attach_taking(&one, "here", "a", &here).await;
    attach_taking(&other, "there", "a", &there).await;
    let mut watches = [one.watch(), other.watch()];
    for number in 0..10 {
        let runtime = if number % 2 == 0 { &one } else { &other };
        common::emit(runtime, "a", &number.to_string()).await;
        // Both are idle, and each hears of it.
        for (watch, taken) in watches.iter_mut().zip([&here, &there]) {
            until(watch, || taken.ids().len() == number + 1).await;
        }
    }
    assert_eq!(here.ids(), there.ids());
}

#[tokio::test]
async fn of_two_runtimes_the_one_that_attached_last_has_the_emitter() {
    let store = Store::memory();
    let start = async || RuntimeBuilder::new(store.clone(), Arc::new(Takes)).start().await.unwrap();
    let (one, other) = (start().await, start().await);
    let (first, second) = (Taken::default(), Taken::default());
    attach_taking(&one, "billing", "a", &first).await;
    let mut watch = one.watch();
    common::emit(&one, "a", "1").await.settled().await;

    attach_taking(&other, "billing", "a", &second).await;
    until(&mut watch, || status(&one, "billing") == Some(Status::Elsewhere)).await;
    let mut others = other.watch();
    common::emit(&one, "a", "2").await;
    until(&mut others, || second.ids() == ["2"]).await;
    assert_eq!((first.ids(), status(&other, "billing")), (vec!["1".into()], Some(Status::Running)));

    // Whoever restarts it wants it here, and the other one is fenced in its turn.
    one.restart("billing").await.unwrap();
    until(&mut others, || status(&other, "billing") == Some(Status::Elsewhere)).await;
    common::emit(&other, "a", "3").await;
    until(&mut watch, || first.ids() == ["1", "3"]).await;

    // And with the runtime that has it, it goes to the one that waits for it.
    one.shutdown(Duration::from_secs(5)).await;
    drop(one);
    until(&mut others, || status(&other, "billing") == Some(Status::Running)).await;
    common::emit(&other, "a", "4").await;
    until(&mut others, || second.ids() == ["2", "4"]).await;
}
