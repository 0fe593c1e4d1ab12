//! Receivers that never stop sending: the deadline ends them, too.

use std::time::Duration;

use bugle_core::AttemptCode::{BadConnection, Timeout};
use bugle_core::{EmitterConfig, Outcome};
use bugle_testkit::{Receiver, Reply, Tls};
use tokio::time::timeout;

use crate::support::{SHORT, SOON, assert_failed, delivery, open};

const INTERIM: [&str; 3] = [
    "HTTP/1.1 102 Processing\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n",
];

/// Makes one attempt, plain and over TLS, at a receiver that answers so. It has its thread to
/// itself, so no other task could stop it.
async fn flooded(reply: Reply, adapt: fn(EmitterConfig) -> EmitterConfig) -> [Outcome; 2] {
    let mut outcomes = Vec::new();
    for tls in [false, true] {
        let builder = Receiver::builder().otherwise(reply.clone());
        let builder = if tls { builder.tls(Tls::trusted()) } else { builder };
        let receiver = builder.start().unwrap();
        let config = receiver.emitter_config("/").unwrap().request_timeout(SHORT);
        let session = open(adapt(config));
        let delivery = delivery();
        let outcome = timeout(SOON, session.deliver(&delivery)).await;
        outcomes.push(outcome.unwrap_or_else(|_| panic!("it outlives its deadline: {reply:?}")));
        // None of it goes on.
        receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
    }
    outcomes.try_into().unwrap()
}

#[tokio::test]
async fn of_interim_answers() {
    for interim in INTERIM {
        for outcome in flooded(Reply::flood("", interim), |config| config).await {
            assert_failed(&outcome, BadConnection, "more than 16 interim answers");
        }
    }
}

#[tokio::test]
async fn of_interim_answers_that_take_their_time() {
    for (interim, allowed) in INTERIM.into_iter().zip([16, 1, 0]) {
        let address = crate::support::raw_receiver(move |mut tcp| async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let _ = tcp.read(&mut [0; 4096]).await?;
            for _ in 0..allowed {
                tokio::time::sleep(Duration::from_millis(1)).await;
                tcp.write_all(interim.as_bytes()).await?;
            }
            std::future::pending().await
        })
        .await;
        let config = crate::support::private(address).request_timeout(SHORT);
        let outcome = open(config).deliver(&delivery()).await;
        assert_failed(&outcome, Timeout, "waiting for the response");
    }
}

#[tokio::test]
async fn of_a_head() {
    for (first, then) in [
        ("", "\r\n"),
        ("HTTP/1.1 200 OK\r\n", "a: b\r\n"),
        ("HTTP/1.1 200 OK\r\nx:", " folded\r\n"),
        ("HTTP/1.1 200 ", "OK"),
        ("HTTP/1.1 200 OK\r\n", "no header\r\n"),
    ] {
        for outcome in flooded(Reply::flood(first, then), |config| config).await {
            assert_failed(&outcome, BadConnection, "its head is longer than 64 KiB");
        }
    }
}

/// The head has settled these. The body is read until the deadline, if its limit allows.
#[tokio::test]
async fn of_a_body() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (first, then) in [
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), "x"),
        (chunked.to_owned(), "1\r\nx\r\n"),
        (format!("{chunked}1;"), "x"),
        (format!("{chunked}0\r\n"), "x: y\r\n"),
        (chunked.to_owned(), "0"),
    ] {
        for limited in [false, true] {
            let adapt: fn(EmitterConfig) -> EmitterConfig = match limited {
                true => |config| config,
                false => |config| config.response_body_limit(usize::MAX),
            };
            for outcome in flooded(Reply::flood(first.clone(), then), adapt).await {
                assert!(outcome.is_delivered(), "{first:?} {then:?}: {outcome:?}");
                assert!(outcome.exchange.body_cut, "{first:?} {then:?}: {outcome:?}");
            }
        }
    }
}
