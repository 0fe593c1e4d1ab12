//! The connections that deliveries use.

use std::time::Duration;

use bugle::{AttemptCode, EmitterConfig, Fate, HttpVersion, Order, RuntimeEvent};
use bugle_testkit::{ClientCa, Receiver, Tls};

use crate::support::{self, DEADLINE, attempts, emit, emit_keyed, fate, wait};
use crate::{config, delivered, runtime};

/// Waits for this many whole responses: the sender may have one a moment before the ledger counts
/// it.
async fn answered(receiver: &Receiver, responses: u64) {
    let answered = receiver.wait_until(DEADLINE, |ledger| ledger.answered() == responses);
    answered.await.unwrap();
}

#[tokio::test]
async fn twenty_events_in_order_over_one_connection() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    runtime.attach("a", "invoice.*", config(&receiver)).await.unwrap();
    let mut last = None;
    for n in 0..20 {
        let name = if n % 2 == 0 { "invoice.paid" } else { "invoice.sent" };
        last = Some(emit(&runtime, name, &n.to_string()).await);
    }
    delivered(&last.unwrap()).await;
    let requests = receiver.requests();
    let ids: Vec<_> = requests.iter().filter_map(|request| request.request_id()).collect();
    assert_eq!(ids, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    let names = requests.iter().filter(|request| request.event() == Some("invoice.sent")).count();
    assert_eq!(names, 10);
    answered(&receiver, 20).await;
    receiver.ledger(|ledger| {
        assert_eq!((ledger.connections_opened(), ledger.most_in_flight()), (1, 1));
        assert_eq!(ledger.abandoned(), 0);
    });
}

#[tokio::test]
async fn tls_with_an_authority_of_ones_own() {
    let receiver = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    let runtime = runtime().await;
    for (version, expected) in [
        (HttpVersion::Auto, http::Version::HTTP_11),
        (HttpVersion::Http1, http::Version::HTTP_11),
        (HttpVersion::Http2, http::Version::HTTP_2),
    ] {
        let config = config(&receiver).http_version(version);
        runtime.attach("a", "invoice.paid", config).await.unwrap();
        delivered(&emit(&runtime, "invoice.paid", "1").await).await;
        let request = receiver.requests().pop().unwrap();
        assert_eq!(request.version, expected, "{version:?}");
        assert_eq!(request.header("x-webhooks-event"), Some("invoice.paid"));
        assert_eq!(&request.body[..], br#"{"invoice":7}"#);
        runtime.detach("a").await.unwrap();
    }
    let by_name = EmitterConfig::new(receiver.url_at("localhost", "/hooks")).unwrap();
    let by_name = by_name.allow_private_destinations().root_certificate(receiver.ca_pem().unwrap());
    runtime.attach("by-name", "invoice.paid", by_name).await.unwrap();
    delivered(&emit(&runtime, "invoice.paid", "2").await).await;
    runtime.detach("by-name").await.unwrap();

    // Without the authority the receiver's certificate is not trusted.
    let untrusted = support::config(&receiver.url("/hooks")).max_attempts(2);
    runtime.attach("untrusted", "invoice.paid", untrusted).await.unwrap();
    assert_eq!(fate(&emit(&runtime, "invoice.paid", "3").await).await, Some(Fate::DeadLettered));
    let recorded = attempts(&runtime, "untrusted").await;
    assert_eq!(recorded.len(), 2);
    for attempt in recorded {
        assert_eq!(attempt.code, Some(AttemptCode::BadConnection));
        assert!(attempt.message.to_lowercase().contains("certificate"), "{}", attempt.message);
    }
    assert_eq!(receiver.requests().len(), 4);
}

#[tokio::test]
async fn a_client_certificate_end_to_end() {
    let authority = ClientCa::new().unwrap();
    let tls = Tls::trusted().require_client(&authority);
    let receiver = Receiver::builder().tls(tls).start().unwrap();
    let runtime = runtime().await;
    let known = config(&receiver).client_identity(authority.issue("billing").unwrap());
    runtime.attach("known", "invoice.paid", known).await.unwrap();
    runtime.attach("unknown", "invoice.paid", config(&receiver)).await.unwrap();
    let receipt = emit(&runtime, "invoice.paid", "1").await;
    let fates = support::fates(&receipt).await;
    let expected = [("known", Fate::Delivered), ("unknown", Fate::DeadLettered)];
    assert_eq!(fates, expected.map(|(id, fate)| (id.to_owned(), Some(fate))));
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn http2_by_prior_knowledge_shares_one_connection() {
    for tls in [None, Some(Tls::trusted())] {
        let builder = Receiver::builder().http2_only();
        let builder = match tls {
            Some(tls) => builder.tls(tls),
            None => builder,
        };
        let receiver = builder.start().unwrap();
        let runtime = runtime().await;
        let config = config(&receiver)
            .http_version(HttpVersion::Http2)
            .order(Order::Unordered { window: 8 })
            .request_timeout(Duration::from_secs(3600));
        runtime.attach("a", "invoice.paid", config).await.unwrap();
        let gate = receiver.hold();
        let mut receipts = Vec::new();
        for n in 0..20 {
            receipts.push(emit(&runtime, "invoice.paid", &n.to_string()).await);
        }
        receiver.wait_in_flight(8, DEADLINE).await.unwrap();
        assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 1);
        gate.open();
        for receipt in &receipts {
            delivered(receipt).await;
        }
        answered(&receiver, 20).await;
        assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 1);
        assert!(receiver.requests().iter().all(|it| it.version == http::Version::HTTP_2));
    }
}

#[tokio::test]
async fn a_window_uses_several_connections() {
    let receiver = Receiver::builder().http1_only().start().unwrap();
    let runtime = runtime().await;
    let config = config(&receiver)
        .order(Order::Unordered { window: 8 })
        .request_timeout(Duration::from_secs(3600));
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    let gate = receiver.hold();
    let mut receipts = Vec::new();
    for n in 0..40 {
        receipts.push(emit(&runtime, "invoice.paid", &n.to_string()).await);
    }
    receiver.wait_in_flight(8, DEADLINE).await.unwrap();
    assert_eq!(runtime.describe("a").unwrap().in_flight, 8);
    gate.open();
    for receipt in &receipts {
        delivered(receipt).await;
    }
    answered(&receiver, 40).await;
    receiver.ledger(|ledger| {
        assert_eq!((ledger.connections_opened(), ledger.most_in_flight()), (8, 8));
        assert_eq!(ledger.requests().len(), 40);
    });
}

#[tokio::test]
async fn per_key_one_at_a_time_for_each_key() {
    let receiver = Receiver::builder().http1_only().start().unwrap();
    let runtime = runtime().await;
    let config = config(&receiver)
        .order(Order::PerKey { window: 8 })
        .request_timeout(Duration::from_secs(3600));
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    let gate = receiver.hold();
    let mut receipts = Vec::new();
    for n in 0..5 {
        for key in ["red", "green", "blue"] {
            receipts.push(emit_keyed(&runtime, "invoice.paid", &format!("{key}-{n}"), key).await);
        }
    }
    receipts.push(emit(&runtime, "invoice.paid", "keyless-0").await);
    receiver.wait_in_flight(4, DEADLINE).await.unwrap();
    let requests = receiver.requests();
    let mut first: Vec<_> = requests.iter().filter_map(|it| it.request_id()).collect();
    first.sort_unstable();
    assert_eq!(first, ["blue-0", "green-0", "keyless-0", "red-0"]);
    gate.open();
    for receipt in &receipts {
        delivered(receipt).await;
    }
    let requests = receiver.requests();
    for key in ["red", "green", "blue"] {
        let ids: Vec<_> = requests
            .iter()
            .filter_map(|it| it.request_id())
            .filter(|id| id.starts_with(key))
            .collect();
        assert_eq!(ids, (0..5).map(|n| format!("{key}-{n}")).collect::<Vec<_>>());
    }
    assert_eq!(receiver.ledger(|ledger| ledger.most_in_flight()), 4);
}

#[tokio::test]
async fn a_receiver_that_comes_back() {
    let receiver = Receiver::refusing().unwrap();
    let runtime = runtime().await;
    let mut watch = runtime.watch();
    let config = config(&receiver).max_attempts(u32::MAX);
    runtime.attach("a", "invoice.paid", config).await.unwrap();
    let mut receipts = Vec::new();
    for n in 0..5 {
        receipts.push(emit(&runtime, "invoice.paid", &n.to_string()).await);
    }
    let failed =
        wait(&mut watch, |event| matches!(event, RuntimeEvent::AttemptFailed { attempt: 3, .. }))
            .await;
    let RuntimeEvent::AttemptFailed { code, .. } = failed else { unreachable!() };
    assert_eq!(code, AttemptCode::BadConnection);
    receiver.come_back().unwrap();
    for receipt in &receipts {
        delivered(receipt).await;
    }
    let ids: Vec<_> =
        receiver.requests().iter().map(|it| it.request_id().unwrap().to_owned()).collect();
    assert_eq!(ids, ["0", "1", "2", "3", "4"]);
    assert_eq!(runtime.describe("a").unwrap().failures_in_a_row, 0);

    // The receiver goes down between two events: the kept connection is gone, and the event still
    // arrives.
    receiver.go_down().await;
    receiver.come_back().unwrap();
    delivered(&emit(&runtime, "invoice.paid", "5").await).await;
    assert_eq!(receiver.requests().len(), 6);
}
