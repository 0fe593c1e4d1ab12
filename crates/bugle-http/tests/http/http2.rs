//! HTTP/2: where it is negotiated, and where several deliveries share it.

use bugle_core::AttemptCode::{BadConnection, Timeout};
use bugle_core::{HttpVersion, Order, Outcome};
use bugle_http::HttpTransport;
use bugle_testkit::{Ledger, Receiver, Reply, Stage, Tls};

use crate::support::{
    PAYLOAD, SHORT, SOON, assert_failed, deliver, deliver_at_once, delivery, open, open_with,
};

const WINDOW: Order = Order::Unordered { window: 50 };

#[tokio::test]
async fn a_window_shares_one_connection_where_alpn_agrees() {
    let receiver = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    let session = open(receiver.emitter_config("/hooks?a=b").unwrap().order(WINDOW)).into();
    for _ in 0..3 {
        let outcomes = deliver_at_once(&session, 50).await;
        assert!(outcomes.iter().all(Outcome::is_delivered), "{outcomes:?}");
    }
    assert_eq!(receiver.ledger(Ledger::connections_opened), 1);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 150);
    for request in requests {
        assert_eq!(request.version, http::Version::HTTP_2);
        assert_eq!(request.path, "/hooks?a=b");
        assert_eq!(&request.body[..], PAYLOAD);
        assert_eq!(request.event(), Some("invoice.paid"));
        assert_eq!(request.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn a_window_opens_connections_of_http1_where_alpn_does_not() {
    let receiver = Receiver::builder().tls(Tls::trusted()).http1_only().start().unwrap();
    let session = open(receiver.emitter_config("/").unwrap().order(WINDOW)).into();
    let outcomes = deliver_at_once(&session, 10).await;
    assert!(outcomes.iter().all(Outcome::is_delivered), "{outcomes:?}");
    let outcomes = deliver_at_once(&session, 10).await;
    assert!(outcomes.iter().all(Outcome::is_delivered), "{outcomes:?}");
    assert!(receiver.ledger(Ledger::connections_opened) <= 10);
    let http1 = http::Version::HTTP_11;
    assert!(receiver.requests().iter().all(|request| request.version == http1));
}

#[tokio::test]
async fn it_can_be_asked_for_and_ruled_out() {
    let h1 = http::Version::HTTP_11;
    let h2 = http::Version::HTTP_2;
    for (tls, version, order, expected) in [
        (true, HttpVersion::Auto, Order::Strict, h1),
        (true, HttpVersion::Auto, WINDOW, h2),
        (true, HttpVersion::Http1, WINDOW, h1),
        (true, HttpVersion::Http2, Order::Strict, h2),
        (false, HttpVersion::Auto, WINDOW, h1),
        (false, HttpVersion::Http2, Order::Strict, h2),
    ] {
        let builder = Receiver::builder();
        let builder = if tls { builder.tls(Tls::trusted()) } else { builder };
        let receiver = builder.start().unwrap();
        let config = receiver.emitter_config("/").unwrap().http_version(version).order(order);
        let session = open(config);
        for _ in 0..3 {
            let outcome = session.deliver(&delivery()).await;
            assert!(outcome.is_delivered(), "{version:?} {order:?}: {outcome:?}");
        }
        assert_eq!(receiver.ledger(Ledger::connections_opened), 1);
        assert_eq!(receiver.requests()[0].version, expected, "{tls} {version:?} {order:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_speak_it_is_told_apart() {
    let receiver = Receiver::builder().tls(Tls::trusted()).http1_only().start().unwrap();
    let config = receiver.emitter_config("/").unwrap().http_version(HttpVersion::Http2);
    assert_failed(&deliver(config).await, BadConnection, "");
}

#[tokio::test]
async fn outcomes_are_the_same_as_over_http1() {
    let receiver = Receiver::builder()
        .tls(Tls::trusted())
        .http2_only()
        .reply(Reply::status(404).header("x-why", "because").body("no such hook"))
        // Once on the shared connection, and once more on a new one.
        .replies(2, Reply::hang())
        .reply(Reply::reset(Stage::AfterBody))
        .reply(Reply::status(200).body("drip").drip(1, SOON))
        // Behind the silent ones: the rest of it comes while the next request waits.
        .reply(Reply::status(200).body(vec![b'x'; 100_000]))
        .start()
        .unwrap();
    let config = receiver.emitter_config("/").unwrap().order(WINDOW).request_timeout(SHORT);
    let session = open(config);

    let outcome = session.deliver(&delivery()).await;
    assert_eq!(outcome.exchange.status, Some(404));
    assert_eq!(&outcome.exchange.body[..], b"no such hook");
    let head = outcome.exchange.head.unwrap();
    assert_eq!(head.version, "HTTP/2.0");
    assert!(head.headers.contains(&("x-why".to_owned(), "because".to_owned())));

    assert_failed(&session.deliver(&delivery()).await, Timeout, "waiting for the response");
    assert_failed(&session.deliver(&delivery()).await, BadConnection, "");
    for _ in ["drip", "long"] {
        let outcome = session.deliver(&delivery()).await;
        assert!(outcome.is_delivered() && outcome.exchange.body_cut, "{outcome:?}");
    }
    assert!(session.deliver(&delivery()).await.is_delivered());
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_attempt() {
    let receiver = Receiver::builder().tls(Tls::trusted()).http2_only().start().unwrap();
    let session = open(receiver.emitter_config("/").unwrap().order(WINDOW));
    for _ in 0..3 {
        assert!(session.deliver(&delivery()).await.is_delivered());
        receiver.go_down().await;
        receiver.come_back().unwrap();
        receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn dropping_a_session_closes_the_shared_connection() {
    let receiver = Receiver::builder().tls(Tls::trusted()).http2_only().start().unwrap();
    let transport = HttpTransport::new();
    let session = open_with(&transport, receiver.emitter_config("/").unwrap().order(WINDOW));
    assert!(session.deliver(&delivery()).await.is_delivered());
    assert_eq!(transport.connections().open, 1);
    drop(session);
    receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
}

#[tokio::test]
async fn the_cap_takes_an_idle_shared_connection() {
    let receiver = Receiver::builder().tls(Tls::trusted()).http2_only().start().unwrap();
    let transport = HttpTransport::builder().max_connections(1).build();
    let config = || receiver.emitter_config("/").unwrap().order(WINDOW);
    let sessions: Vec<_> = (0..3).map(|_| open_with(&transport, config())).collect();
    for _ in 0..2 {
        for session in &sessions {
            let outcome = session.deliver(&delivery()).await;
            assert!(outcome.is_delivered(), "{outcome:?}");
        }
    }
}
