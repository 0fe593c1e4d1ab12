//! The outcome of each answer: the table of one delivery.

use std::time::Duration;

use bugle_core::{Advice, AttemptCode, HttpVersion, Outcome, SpokenVersion};
use bugle_testkit::{Receiver, Reply, Stage, Tls};

use crate::support::{assert_failed, deliver, delivery, failure, open, phases};

async fn answered(reply: Reply) -> Outcome {
    let receiver = Receiver::builder().otherwise(reply).start().unwrap();
    deliver(receiver.emitter_config("/").unwrap()).await
}

#[tokio::test]
async fn only_200_to_299_deliver() {
    for status in [200, 201, 202, 204, 206, 226, 299] {
        let outcome = answered(Reply::status(status)).await;
        assert!(outcome.is_delivered(), "{status}: {outcome:?}");
        assert_eq!(outcome.exchange.status, Some(status));
    }
    for status in [300, 301, 302, 304, 307, 308, 400, 401, 404, 413, 418, 451, 500, 502, 599] {
        let outcome = answered(Reply::status(status).header("location", "/elsewhere")).await;
        let message = format!("HTTP POST request returned status {status}");
        assert_eq!(failure(&outcome), (AttemptCode::BadHttpStatus, &*message));
        assert_eq!(outcome.failure.unwrap().advice, Advice::Retry, "{status}");
        assert_eq!(outcome.exchange.status, Some(status));
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let receiver = Receiver::builder()
        .otherwise(Reply::status(307).header("location", "/elsewhere"))
        .start()
        .unwrap();
    assert!(!deliver(receiver.emitter_config("/").unwrap()).await.is_delivered());
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn gone_is_told_apart() {
    let outcome = answered(Reply::gone()).await;
    assert_failed(&outcome, AttemptCode::BadHttpStatus, "HTTP POST request returned status 410");
    assert_eq!(outcome.failure.unwrap().advice, Advice::Gone);
}

#[tokio::test]
async fn retry_after_is_heard_of_429_and_503_alone() {
    let second = Duration::from_secs(1);
    let advice = |status: u16, value: String| async move {
        answered(Reply::status(status).header("retry-after", value)).await.failure.unwrap().advice
    };
    assert_eq!(advice(429, "7".into()).await, Advice::RetryAfter(7 * second));
    assert_eq!(advice(503, " 0 ".into()).await, Advice::RetryAfter(Duration::ZERO));
    assert_eq!(advice(503, "7200".into()).await, Advice::RetryAfter(3600 * second));
    assert_eq!(advice(503, "9".repeat(40)).await, Advice::RetryAfter(3600 * second));
    assert_eq!(advice(500, "7".into()).await, Advice::Retry);
    assert_eq!(advice(429, "soon".into()).await, Advice::Retry);
    assert_eq!(advice(429, "-1".into()).await, Advice::Retry);
    let past = "Sun, 06 Nov 1994 08:49:37 GMT".to_owned();
    assert_eq!(advice(429, past).await, Advice::RetryAfter(Duration::ZERO));
    let soon = httpdate::fmt_http_date(std::time::SystemTime::now() + 100 * second);
    match advice(503, soon).await {
        Advice::RetryAfter(delay) => assert!(delay > 90 * second && delay <= 100 * second),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_failure_keeps_head_and_body_and_a_success_only_when_asked() {
    let receiver = Receiver::builder()
        .reply(Reply::status(400).header("x-why", "because").body("not like this"))
        .otherwise(Reply::status(200).header("x-why", "fine").body("thanks"))
        .start()
        .unwrap();
    let session = open(receiver.emitter_config("/").unwrap());

    let failed = session.deliver(&delivery()).await.exchange;
    assert_eq!(&failed.body[..], b"not like this");
    assert!(!failed.body_cut);
    let head = failed.head.unwrap();
    assert_eq!(head.version, "HTTP/1.1");
    assert!(head.headers.contains(&("x-why".to_owned(), "because".to_owned())));

    let delivered = session.deliver(&delivery()).await.exchange;
    assert!(delivered.head.is_none() && delivered.body.is_empty());

    let captured = session.deliver(&delivery().capturing(true)).await.exchange;
    assert_eq!(&captured.body[..], b"thanks");
    let head = captured.head.unwrap();
    assert!(head.headers.contains(&("x-why".to_owned(), "fine".to_owned())));
    assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 1);
}

#[tokio::test]
async fn what_was_seen_is_on_record() {
    for (tls, version, spoken) in [
        (false, HttpVersion::Http1, SpokenVersion::Http11),
        (true, HttpVersion::Http1, SpokenVersion::Http11),
        (false, HttpVersion::Http2, SpokenVersion::Http2),
        (true, HttpVersion::Http2, SpokenVersion::Http2),
    ] {
        let long = Reply::status(500).header("x-why", "because").body(vec![b'x'; 1000]);
        let builder = Receiver::builder().reply(Reply::status(200)).reply(long);
        let builder = builder.otherwise(Reply::status(204));
        let builder = if tls { builder.tls(Tls::trusted()) } else { builder };
        let receiver = builder.start().unwrap();
        let mut config = receiver.emitter_config("/").unwrap().http_version(version);
        config.url.set_host(Some("localhost")).unwrap();
        let session = open(config.response_body_limit(1000));
        let first = session.deliver(&delivery()).await.exchange;
        assert_eq!(phases(&first), [true, true, tls, true], "{spoken} {first:?}");
        let second = session.deliver(&delivery()).await.exchange;
        assert_eq!(phases(&second), [false, false, false, true], "{spoken} {second:?}");
        for exchange in [&first, &second] {
            assert_eq!(exchange.connected_to, Some(receiver.address()));
            assert_eq!(exchange.http_version, Some(spoken));
        }
        assert_eq!((first.status, second.status), (Some(200), Some(500)));
        assert_eq!((second.body.len(), second.body_cut), (1000, false));
        let head = second.head.unwrap();
        assert_eq!(head.version, spoken.as_str());
        assert!(head.headers.contains(&("x-why".to_owned(), "because".to_owned())));
    }
}

/// An attempt that breaks off records everything that was known until then.
#[tokio::test]
async fn what_was_seen_of_a_failure_is_on_record() {
    // The receiver answers, but not in TLS.
    let receiver = Receiver::builder().tls(Tls::garbage()).start().unwrap();
    let outcome = deliver(receiver.emitter_config("/").unwrap()).await;
    assert_eq!(phases(&outcome.exchange)[1..], [true, true, false]);
    assert_eq!(outcome.exchange.connected_to, Some(receiver.address()));
    assert_eq!(outcome.exchange.http_version, None);
    // It closes once it has the request.
    let reset = Reply::reset(Stage::AfterBody);
    let receiver = Receiver::builder().otherwise(reset).start().unwrap();
    let outcome = deliver(receiver.emitter_config("/").unwrap()).await;
    assert_failed(&outcome, AttemptCode::BadConnection, "");
    assert_eq!(phases(&outcome.exchange)[1..], [true, false, true]);
    assert_eq!(outcome.exchange.http_version, Some(SpokenVersion::Http11));
    assert_eq!(outcome.exchange.status, None);
    // It closes in the middle of its answer's body.
    let reply = Reply::close(Stage::InResponseBody);
    let receiver = Receiver::builder().otherwise(reply).start().unwrap();
    let session = open(receiver.emitter_config("/").unwrap());
    let exchange = session.deliver(&delivery().capturing(true)).await.exchange;
    assert_eq!(phases(&exchange)[1..], [true, false, true]);
    assert_eq!((exchange.status, exchange.body_cut), (Some(200), true));
    assert!(exchange.head.is_some() && !exchange.body.is_empty());
}

#[tokio::test]
async fn only_a_bounded_part_of_a_body_is_read() {
    // With a length in advance and without, of a failure (kept) and of a success (not kept).
    for chunked in [false, true] {
        for status in [200, 500] {
            let body = vec![b'x'; 50_000];
            let reply = Reply::status(status).body(body);
            let reply = if chunked { reply.chunked() } else { reply };
            let receiver = Receiver::builder().otherwise(reply).start().unwrap();
            let session = open(receiver.emitter_config("/").unwrap());
            let outcome = session.deliver(&delivery()).await;
            assert_eq!(outcome.is_delivered(), status == 200);
            assert!(outcome.exchange.body_cut);
            let kept = if status == 200 { 0 } else { 16 * 1024 };
            assert_eq!(outcome.exchange.body.len(), kept);
            session.deliver(&delivery()).await;
            let opened = receiver.ledger(|ledger| ledger.connections_opened());
            assert_eq!(opened, 2, "the connection of a longer body is dropped");
        }
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_whole() {
    for chunked in [false, true] {
        let reply = Reply::status(500).body(vec![b'x'; 1000]);
        let reply = if chunked { reply.chunked() } else { reply };
        let receiver = Receiver::builder().otherwise(reply).start().unwrap();
        let session = open(receiver.emitter_config("/").unwrap().response_body_limit(1000));
        for _ in 0..2 {
            let exchange = session.deliver(&delivery()).await.exchange;
            assert_eq!((exchange.body.len(), exchange.body_cut), (1000, false));
        }
        assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 1);
    }
}
