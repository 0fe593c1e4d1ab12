//! A status from 200 to 299 settles a delivery, whatever follows its head.

use std::time::Duration;

use bugle_core::{HttpVersion, Outcome};
use bugle_testkit::{Receiver, ReceiverBuilder, Reply, Stage, Tls};

use crate::support::{SHORT, SOON, delivery, open};

const BODY: &str = "thanks, all of it was taken";

/// Bodies that end badly.
fn bad_ends() -> Vec<Reply> {
    let body = || Reply::status(200).body(BODY);
    vec![
        Reply::close(Stage::InResponseBody),
        Reply::reset(Stage::InResponseBody),
        Reply::hang_at(Stage::InResponseBody),
        body().content_length(1000),
        body().drip(1, SOON),
        body().chunked().drip(1, SOON),
    ]
}

/// Answers in bytes, behind which the receiver closes.
const BAD_ANSWERS: [&str; 8] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nthanks",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nthanks\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nthanks\r\n0\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n6\r\nthanks and more\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nthanks",
    "HTTP/1.1 200 OK\r\ncontent-length: none\r\n\r\nthanks",
    "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 6\r\n\r\nthanks",
    "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\nthanks",
];

async fn answered(builder: ReceiverBuilder, version: HttpVersion, capture: bool) -> Outcome {
    let receiver = builder.start().unwrap();
    let config = receiver.emitter_config("/").unwrap().request_timeout(SHORT);
    let session = open(config.http_version(version));
    let outcome = session.deliver(&delivery().capturing(capture)).await;
    // Its connection is gone, and the next delivery makes one of its own.
    if version == HttpVersion::Http1 {
        receiver.otherwise(Reply::status(204));
        assert!(session.deliver(&delivery()).await.is_delivered());
        assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 2, "{outcome:?}");
    }
    outcome
}

#[track_caller]
fn assert_settled(outcome: &Outcome, what: &str) {
    assert!(outcome.is_delivered(), "{what}: {outcome:?}");
    assert!(outcome.exchange.body_cut, "{what}: {outcome:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_or_never_ends() {
    for reply in bad_ends() {
        for tls in [None, Some(Tls::trusted())] {
            let builder = || match &tls {
                Some(tls) => Receiver::builder().tls(tls.clone()),
                None => Receiver::builder(),
            };
            let what = format!("{reply:?} {tls:?}");
            for capture in [false, true] {
                let builder = builder().reply(reply.clone());
                let outcome = answered(builder, HttpVersion::Http1, capture).await;
                assert_settled(&outcome, &what);
                if !capture {
                    assert!(outcome.exchange.body.is_empty() && outcome.exchange.head.is_none());
                }
            }
        }
    }
}

#[tokio::test]
async fn an_answer_whose_end_is_wrong() {
    for bytes in BAD_ANSWERS {
        let reply = Reply::garbage_of(bytes);
        let builder = Receiver::builder().reply(reply);
        assert_settled(&answered(builder, HttpVersion::Http1, true).await, bytes);
    }
}

#[tokio::test]
async fn a_stream_of_http2_that_is_reset_or_hangs() {
    for reply in bad_ends().into_iter().take(3) {
        let builder = Receiver::builder().http2_only().reply(reply.clone());
        let outcome = answered(builder, HttpVersion::Http2, true).await;
        assert_settled(&outcome, &format!("{reply:?}"));
    }
}

/// Some bodies end with the connection: over TLS only with a close_notify.
#[tokio::test]
async fn a_body_that_ends_with_the_connection() {
    let open_ended = "HTTP/1.1 200 OK\r\n\r\nthanks";
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nthanks";
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nthanks";
    for (reply, cut, cut_over_tls) in [
        (Reply::garbage_of(open_ended), false, false),
        (Reply::truncated(open_ended), false, true),
        (Reply::truncated(whole), false, false),
        (Reply::truncated(short), true, true),
    ] {
        for (tls, cut) in [(None, cut), (Some(Tls::trusted()), cut_over_tls)] {
            let builder = Receiver::builder().reply(reply.clone());
            let builder = if let Some(tls) = tls { builder.tls(tls) } else { builder };
            let outcome = answered(builder, HttpVersion::Http1, true).await;
            let exchange = &outcome.exchange;
            assert!(outcome.is_delivered(), "{reply:?}: {outcome:?}");
            assert_eq!((&exchange.body[..], exchange.body_cut), (&b"thanks"[..], cut), "{reply:?}");
        }
    }
}

/// A failure remains one, and has the body as far as it came.
#[tokio::test]
async fn a_failure_whose_body_breaks_off() {
    for reply in [
        Reply::status(500).body(BODY).content_length(1000),
        Reply::status(500).body(BODY).drip(1, Duration::from_millis(20)),
    ] {
        let builder = Receiver::builder().reply(reply);
        let outcome = answered(builder, HttpVersion::Http1, false).await;
        assert_eq!(outcome.exchange.status, Some(500));
        assert!(!outcome.is_delivered() && outcome.exchange.body_cut, "{outcome:?}");
        assert!(!outcome.exchange.body.is_empty());
    }
}
