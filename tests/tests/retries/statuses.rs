//! The number of requests that follow from an answer.

use std::collections::BTreeMap;

use bugle::{AttemptCode, DeadLetterQuery, EmitterConfig, Fate, HttpTransport};
use bugle_testkit::{Act, Receiver, Reply, ScriptedTransport};

use crate::support::{attempts, emit, fate, fates, quick, runtime};
use crate::{config, observed};

fn requests_per_status() -> BTreeMap<u16, usize> {
    let table = observed("requests per status at max_retries 3")["observed"].clone();
    serde_json::from_value(table).unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_attempt_is_one_request() {
    let transport = ScriptedTransport::new();
    transport.everywhere().otherwise(Act::status(500));
    let runtime = runtime(transport.clone()).await;
    runtime.attach("a", "invoice.paid", config().max_attempts(1)).await.unwrap();
    let receipt = emit(&runtime, "invoice.paid", "1").await;
    assert_eq!(fate(&receipt).await, Some(Fate::DeadLettered));
    assert_eq!(observed("max_retries 1")["observed"], "one request");
    assert_eq!(transport.attempts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn how_many_requests_each_status_gets() {
    for (status, requests) in requests_per_status() {
        let transport = ScriptedTransport::new();
        transport.everywhere().otherwise(Act::status(status));
        let runtime = runtime(transport.clone()).await;
        runtime.attach("a", "invoice.paid", config().max_attempts(3)).await.unwrap();
        let fate = fate(&emit(&runtime, "invoice.paid", "1").await).await;
        assert_eq!(transport.attempts().len(), requests, "{status}");
        let expected = if requests == 1 { Fate::Delivered } else { Fate::DeadLettered };
        assert_eq!(fate, Some(expected), "{status}");
    }
}

#[tokio::test]
async fn how_many_requests_each_status_gets_over_real_connections() {
    let table = requests_per_status();
    let elsewhere = Receiver::start().unwrap();
    let location = elsewhere.url("/redirected");
    let receiver = Receiver::builder()
        .choose(move |request| {
            let status = request.path.trim_start_matches('/').parse().unwrap();
            Reply::status(status).header("location", location.as_str())
        })
        .start()
        .unwrap();
    let runtime = runtime(HttpTransport::default()).await;
    for status in table.keys() {
        let config = receiver.emitter_config(&status.to_string()).unwrap();
        let config = config.retry(quick().max_attempts(3));
        runtime.attach(format!("status-{status}"), "invoice.paid", config).await.unwrap();
    }
    let receipt = emit(&runtime, "invoice.paid", "1").await;
    let fates: BTreeMap<String, Option<Fate>> = fates(&receipt).await.into_iter().collect();

    let requests = receiver.requests();
    for (status, expected) in &table {
        let path = format!("/{status}");
        let seen = requests.iter().filter(|request| request.path == path).count();
        assert_eq!(seen, *expected, "{status}");
        let id = format!("status-{status}");
        let recorded = attempts(&runtime, &id).await;
        if (200..300).contains(status) {
            assert_eq!(fates[&id], Some(Fate::Delivered));
            assert!(recorded.is_empty());
        } else {
            assert_eq!(fates[&id], Some(Fate::DeadLettered));
            assert_eq!(recorded.len(), 3);
            for (number, attempt) in (1..).zip(&recorded) {
                assert_eq!(attempt.code, Some(AttemptCode::BadHttpStatus));
                assert_eq!(attempt.message, format!("HTTP POST request returned status {status}"));
                assert_eq!((attempt.status, attempt.attempt), (Some(*status), number));
            }
        }
    }
    let hits = observed("requests per status at max_retries 3")["redirect_target_hits"].clone();
    assert_eq!(hits, elsewhere.requests().len(), "redirects are not followed");
}

#[tokio::test]
async fn a_blocked_destination_is_not_tried_again() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime(HttpTransport::default()).await;
    for url in [receiver.url("/hooks"), receiver.url_at("localhost", "/hooks")] {
        let config = EmitterConfig::new(&url).unwrap().retry(quick());
        runtime.attach("a", "invoice.paid", config).await.unwrap();
        assert_eq!(
            fate(&emit(&runtime, "invoice.paid", "1").await).await,
            Some(Fate::DeadLettered),
            "{url}"
        );
        let letters =
            runtime.dead_letters().page(DeadLetterQuery::new(), None).await.unwrap().items;
        assert_eq!((letters[0].code, letters[0].attempts), (AttemptCode::BlockedDestination, 1));
        let message = &letters[0].message;
        assert!(message.contains("127.0.0.1") || message.contains("::1"), "{message}");
        assert!(message.contains("allow_private_destinations"), "{message}");
        runtime.detach("a").await.unwrap();
    }
    let recorded = attempts(&runtime, "a").await;
    assert_eq!(recorded.len(), 2);
    assert!(recorded.iter().all(|it| it.code == Some(AttemptCode::BlockedDestination)));
    assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 0);
}
