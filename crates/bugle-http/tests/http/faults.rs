//! Receivers that misbehave.

use std::time::Duration;

use bugle_core::AttemptCode::{BadConnection, Timeout};
use bugle_testkit::{Receiver, Reply, Stage};

use crate::support::{SHORT, SOON, assert_failed, deliver, delivery, open, private};

/// The stages before the head of an answer has come.
const STAGES: [Stage; 5] = [
    Stage::OnAccept,
    Stage::BeforeReading,
    Stage::AfterHead,
    Stage::AfterBody,
    Stage::InResponseHead,
];

#[tokio::test]
async fn a_reset_or_a_close_at_any_stage_is_a_bad_connection() {
    for stage in STAGES {
        for reply in [Reply::reset(stage), Reply::close(stage)] {
            let receiver = Receiver::builder().reply(reply.clone()).start().unwrap();
            let session = open(receiver.emitter_config("/").unwrap());
            let outcome = session.deliver(&delivery()).await;
            assert_failed(&outcome, BadConnection, "");
            assert!(!outcome.failure.unwrap().message.is_empty());
            // The next attempt makes a connection of its own and succeeds.
            let outcome = session.deliver(&delivery()).await;
            assert!(outcome.is_delivered(), "after {reply:?}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_hang_at_any_stage_costs_the_deadline() {
    for stage in STAGES {
        let receiver = Receiver::builder().reply(Reply::hang_at(stage)).start().unwrap();
        let session = open(receiver.emitter_config("/").unwrap().request_timeout(SHORT));
        let outcome = session.deliver(&delivery()).await;
        assert_failed(&outcome, Timeout, "waiting for the response");
        assert_failed(&outcome, Timeout, "the deadline of 300ms passed");
        assert!(outcome.exchange.elapsed.total >= SHORT);
        // The connection is gone, not kept.
        receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
        assert!(session.deliver(&delivery()).await.is_delivered());
    }
}

#[tokio::test]
async fn a_head_that_drips_costs_the_deadline() {
    let reply = Reply::status(200).drip_head(1, Duration::from_millis(20));
    let receiver = Receiver::builder().otherwise(reply).start().unwrap();
    let config = receiver.emitter_config("/").unwrap().request_timeout(SHORT);
    assert_failed(&deliver(config).await, Timeout, "waiting for the response");
}

#[tokio::test]
async fn a_bad_status_outweighs_a_body_that_never_ends() {
    let reply = Reply::status(410).body(vec![b'x'; 2000]).drip(1, Duration::from_millis(20));
    let receiver = Receiver::builder().otherwise(reply).start().unwrap();
    let config = receiver.emitter_config("/").unwrap().request_timeout(SHORT);
    let outcome = deliver(config).await;
    let failure = outcome.failure.unwrap();
    assert_eq!(failure.advice, bugle_core::Advice::Gone);
    assert!(!outcome.exchange.body.is_empty());
}

#[tokio::test]
async fn a_hundred_megabytes_are_not_read() {
    for reply in [Reply::huge(100_000_000), Reply::huge(100_000_000).chunked()] {
        let receiver = Receiver::builder().otherwise(reply).start().unwrap();
        let outcome = deliver(receiver.emitter_config("/").unwrap()).await;
        assert!(outcome.is_delivered());
        receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
        // The sockets' buffers were filled, but 100 MB were not sent.
        assert!(receiver.ledger(|ledger| ledger.body_bytes_sent()) < 50_000_000);
    }
}

#[tokio::test]
async fn what_is_not_http_is_said_to_be_so() {
    for bytes in [
        &b"\x16\x03\x01 this is TLS or nothing\r\n\r\n"[..],
        b"220 mail.example.com ESMTP\r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nnull: \0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nreturn: \r \r\n\r\n",
    ] {
        let receiver = Receiver::builder().otherwise(Reply::garbage_of(bytes)).start().unwrap();
        let outcome = deliver(receiver.emitter_config("/").unwrap()).await;
        assert_failed(&outcome, BadConnection, "the receiver's answer is not HTTP");
    }
}

#[tokio::test]
async fn a_head_without_end_is_cut_off() {
    let mut head = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
    head.resize(1 << 20, b'x');
    let receiver = Receiver::builder().otherwise(Reply::garbage_of(head)).start().unwrap();
    let outcome = deliver(receiver.emitter_config("/").unwrap()).await;
    assert_failed(&outcome, BadConnection, "the receiver's answer is not HTTP");
}

#[tokio::test]
async fn an_early_answer_counts_though_the_body_is_not_read() {
    let mut event = crate::support::event();
    event.payload = bytes::Bytes::from(vec![b'x'; 8 << 20]);
    let answer = &b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n"[..];
    let address = crate::support::raw_receiver(move |mut tcp| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut some = [0; 100];
        tcp.read_exact(&mut some).await?;
        tcp.write_all(answer).await?;
        std::future::pending().await
    })
    .await;
    let outcome = open(private(address)).deliver(&crate::support::delivery_of(event)).await;
    assert_eq!(outcome.exchange.status, Some(413));
}

#[tokio::test]
async fn nobody_listens() {
    let receiver = Receiver::refusing().unwrap();
    let outcome = deliver(receiver.emitter_config("/").unwrap()).await;
    assert_failed(&outcome, BadConnection, "the connection was refused");
    assert_failed(&outcome, BadConnection, &receiver.address().to_string());
}
