//! The effects of pauses, restarts and updates on deliveries.

use std::time::Duration;

use bugle::{
    Backlog, BoxFuture, Fate, RetryPolicy, Runtime, RuntimeEvent, Secret, Status, VerifyingKey,
};
use bugle_testkit::{Ledger, Receiver, Reply};

use crate::support::{DEADLINE, emit, fate, status, wait, within};
use crate::{PLAIN, SYMMETRIC, config, delivered, runtime, verify};

#[tokio::test]
async fn subscription_and_config_survive_pause_and_restart() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    let config = config(&receiver)
        .header_identifier("Acme")
        .header("x-tenant", "first")
        .secret(Secret::parse(SYMMETRIC).unwrap());
    runtime.attach_many("a", ["invoice.paid", "customer.*"], config).await.unwrap();
    let described = runtime.describe("a").unwrap();
    for round in 0..3 {
        runtime.pause("a").await.unwrap();
        assert_eq!(status(&runtime, "a"), Some(Status::Paused));
        runtime.restart("a").await.unwrap();
        assert!(runtime.is_started("a"));
        delivered(&emit(&runtime, "invoice.paid", &format!("paid-{round}")).await).await;
        delivered(&emit(&runtime, "customer.created", &format!("created-{round}")).await).await;
        assert_eq!(emit(&runtime, "invoice.sent", "other").await.settled().await, []);
    }
    let requests = receiver.requests();
    assert_eq!(requests.len(), 6);
    for request in &requests {
        assert_eq!(request.header("x-tenant"), Some("first"));
        assert!(request.headers.contains_key("x-acme-event"));
        verify(request, &[VerifyingKey::parse(SYMMETRIC).unwrap()]).unwrap();
    }
    let after = runtime.describe("a").unwrap();
    assert_eq!((after.subscription, after.url), (described.subscription, described.url));
    assert_eq!((after.incarnation.0, after.restarts_since_start), (4, 0));
}

#[tokio::test]
async fn what_is_emitted_while_paused_is_not_delivered() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    runtime.attach("a", "invoice.paid", config(&receiver)).await.unwrap();
    runtime.pause("a").await.unwrap();
    let earlier = emit(&runtime, "invoice.paid", "earlier").await;
    runtime.restart("a").await.unwrap();
    let later = emit(&runtime, "invoice.paid", "later").await;
    delivered(&later).await;
    assert_eq!(fate(&earlier).await, Some(Fate::Dropped));
    let requests = receiver.requests();
    let ids: Vec<_> = requests.iter().filter_map(|request| request.request_id()).collect();
    assert_eq!(ids, ["later"]);
}

#[tokio::test]
async fn a_pause_closes_the_connection_of_what_is_in_flight() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    // Far longer than the test may take: no attempt ends by its deadline.
    let config = config(&receiver).request_timeout(Duration::from_secs(3600));
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    type Leave = for<'a> fn(&'a Runtime) -> BoxFuture<'a, ()>;
    let leaves: [Leave; 3] = [
        |runtime| Box::pin(async { runtime.pause("a").await.unwrap() }),
        |runtime| Box::pin(async { runtime.pause_with("a", Backlog::Keep).await.unwrap() }),
        |runtime| Box::pin(async { runtime.detach("a").await.unwrap() }),
    ];
    for (round, leave) in (1..).zip(leaves) {
        let gate = receiver.hold();
        let id = format!("held-{round}");
        let held = emit(&runtime, "invoice.paid", &id).await;
        let arrived = |ledger: &Ledger| {
            ledger.requests().last().is_some_and(|last| last.request_id() == Some(&id))
        };
        receiver.wait_until(DEADLINE, arrived).await.unwrap();
        assert_eq!(runtime.describe("a").unwrap().in_flight, 1);
        within("it returns although the receiver has not answered", leave(&runtime)).await;
        let closed = receiver.wait_until(DEADLINE, |ledger| ledger.connections_open() == 0);
        closed.await.unwrap();
        assert_eq!(receiver.ledger(|ledger| ledger.abandoned()), round);
        gate.open();
        let backlog_kept = runtime.describe("a").is_some_and(|described| described.depth > 0);
        if round < 3 {
            runtime.restart("a").await.unwrap();
            let fate = fate(&held).await;
            assert_eq!(fate == Some(Fate::Delivered), backlog_kept, "{round}: {fate:?}");
            delivered(&emit(&runtime, "invoice.paid", &format!("later-{round}")).await).await;
        }
    }
    let requests = receiver.requests();
    let ids: Vec<_> = requests.iter().filter_map(|request| request.request_id()).collect();
    assert_eq!(ids, ["held-1", "later-1", "held-2", "held-2", "later-2", "held-3"]);
}

#[tokio::test]
async fn a_second_pause_or_a_detach_does_not_wait_for_a_draining_one() {
    type Leave = for<'a> fn(&'a Runtime) -> BoxFuture<'a, ()>;
    let leaves: [(Leave, Option<Status>); 2] = [
        (|runtime| Box::pin(async { runtime.pause("a").await.unwrap() }), Some(Status::Paused)),
        (|runtime| Box::pin(async { runtime.detach("a").await.unwrap() }), None),
    ];
    for (leave, afterwards) in leaves {
        let receiver = Receiver::start().unwrap();
        let runtime = runtime().await;
        let config = config(&receiver).request_timeout(Duration::from_secs(3600));
        runtime.attach("a", "invoice.paid", config).await.unwrap();
        let _gate = receiver.hold();
        emit(&runtime, "invoice.paid", "1").await;
        receiver.wait_in_flight(1, DEADLINE).await.unwrap();
        let draining = {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let hour = Duration::from_secs(3600);
                runtime.pause_with("a", Backlog::Keep).draining(hour).await.unwrap();
            })
        };
        let mut watch = runtime.watch();
        while runtime.is_started("a") {
            tokio::task::yield_now().await;
        }
        within("the second call", leave(&runtime)).await;
        within("the first call", draining).await.unwrap();
        assert_eq!(status(&runtime, "a"), afterwards);
        wait(&mut watch, |event| matches!(event, RuntimeEvent::Paused { .. })).await;
    }
}

#[tokio::test]
async fn an_update_in_place() {
    let old = Receiver::start().unwrap();
    let new = Receiver::start().unwrap();
    let runtime = runtime().await;
    let patient = config(&old).request_timeout(Duration::from_secs(3600));
    runtime.attach("a", "invoice.paid", patient.header("x-version", "1")).await.unwrap();
    let gate = old.hold();
    let mut receipts = Vec::new();
    for n in 1..=5 {
        receipts.push(emit(&runtime, "invoice.paid", &n.to_string()).await);
    }
    old.wait_in_flight(1, DEADLINE).await.unwrap();
    let updated = config(&new).header("x-version", "2").secret(Secret::parse(PLAIN).unwrap());
    within("update", runtime.update("a", updated)).await.unwrap();
    assert_eq!(runtime.describe("a").unwrap().url.as_deref(), Some(new.url("/hooks").as_str()));
    assert_eq!(old.in_flight(), 1, "what is in flight finishes with the old one");
    gate.open();
    for receipt in &receipts {
        delivered(receipt).await;
    }
    let ids = |receiver: &Receiver| -> Vec<String> {
        let requests = receiver.requests();
        requests.iter().map(|it| it.request_id().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (ids(&old), ids(&new)),
        (vec!["1".into()], (2..=5).map(|n| n.to_string()).collect())
    );
    assert_eq!(old.requests()[0].header("x-version"), Some("1"));
    for request in new.requests() {
        assert_eq!(request.header("x-version"), Some("2"));
        verify(&request, &[VerifyingKey::parse(PLAIN).unwrap()]).unwrap();
    }
    let closed = old.wait_until(DEADLINE, |ledger| ledger.connections_open() == 0);
    closed.await.unwrap();

    // The same while it backs off: it does not wait for the old settings' interval.
    new.otherwise(Reply::status(500));
    let hour = Duration::from_secs(3600);
    let failing = config(&new).retry(RetryPolicy::exponential(hour, hour));
    runtime.update("a", failing).await.unwrap();
    let mut watch = runtime.watch();
    let receipt = emit(&runtime, "invoice.paid", "6").await;
    wait(&mut watch, |event| matches!(event, RuntimeEvent::AttemptFailed { .. })).await;
    runtime.update("a", config(&old)).await.unwrap();
    delivered(&receipt).await;
    assert_eq!(ids(&old).last().unwrap(), "6");
    // The same while it is paused.
    runtime.pause("a").await.unwrap();
    new.otherwise(Reply::status(204));
    runtime.update("a", config(&new)).await.unwrap();
    assert_eq!(status(&runtime, "a"), Some(Status::Paused));
    runtime.restart("a").await.unwrap();
    delivered(&emit(&runtime, "invoice.paid", "7").await).await;
    assert_eq!(ids(&new).last().unwrap(), "7");

    let bad = config(&new).request_timeout(Duration::ZERO);
    assert!(runtime.update("a", bad).await.is_err());
    assert!(runtime.update("b", config(&new)).await.is_err());
    delivered(&emit(&runtime, "invoice.paid", "8").await).await;
}

#[tokio::test]
async fn a_shutdown_reports_what_was_about_to_pause() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    let hour = Duration::from_secs(3600);
    for id in ["draining", "paused", "running"] {
        let config = config(&receiver).request_timeout(hour);
        runtime.attach(id, "invoice.paid", config).await.unwrap();
    }
    let _gate = receiver.hold();
    runtime.pause("paused").await.unwrap();
    emit(&runtime, "invoice.paid", "1").await;
    receiver.wait_in_flight(2, DEADLINE).await.unwrap();
    let pausing = {
        let runtime = runtime.clone();
        tokio::spawn(
            async move { runtime.pause_with("draining", Backlog::Keep).draining(hour).await },
        )
    };
    while runtime.is_started("draining") {
        tokio::task::yield_now().await;
    }
    let report = within("shutdown", runtime.shutdown(Duration::ZERO)).await;
    assert_eq!(within("the pause", pausing).await.unwrap(), Ok(()));
    let left: Vec<_> =
        report.emitters.iter().map(|left| (left.id.as_str(), left.pending, left.aborted)).collect();
    assert_eq!(left, [("draining", 1, 1), ("paused", 0, 0), ("running", 1, 1)]);
    assert!(!report.is_clean());
    let closed = receiver.wait_until(DEADLINE, |ledger| ledger.connections_open() == 0);
    closed.await.unwrap();
}
