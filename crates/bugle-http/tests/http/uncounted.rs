//! Failures that are not the receiver's fault spend none of an event's attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bugle_core::AttemptCode::{BadConnection, Timeout};
use bugle_core::{Advice, EmitterConfig, HttpVersion, Order, Outcome, Session};
use bugle_http::HttpTransport;
use bugle_testkit::{Ledger, Receiver, Reply, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::frames::Frames;
use crate::support::{
    SHORT, SOON, assert_failed, deliver_at_once, delivery, open, open_with, private, raw_receiver,
};

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

#[track_caller]
fn assert_delivered(outcomes: &[Outcome]) {
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_delivered()).collect();
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed.first());
}

/// Over HTTP/2 without TLS.
fn http2(receiver: &Receiver) -> EmitterConfig {
    let config = receiver.emitter_config("/").unwrap().http_version(HttpVersion::Http2);
    config.order(Order::Unordered { window: 64 })
}

/// The receiver's reaction to the second request on a kept connection.
#[derive(Debug, Clone, Copy)]
enum Second {
    /// Closes it with the second request unread.
    Reset,
    /// Reads the second request, and closes.
    Close,
    /// Reads the second request, and never answers.
    Silence,
}

/// Answers the first request of each connection, and treats the second one as `how` says.
async fn answers_once(how: Second) -> std::net::SocketAddr {
    raw_receiver(move |mut tcp| async move {
        let mut buffer = [0; 4096];
        let _ = tcp.read(&mut buffer).await?;
        tcp.write_all(ANSWER).await?;
        match how {
            Second::Reset => {
                tcp.readable().await?;
                tcp.set_zero_linger()?;
            }
            Second::Close => drop(tcp.read(&mut buffer).await?),
            Second::Silence => {
                let _ = tcp.read(&mut buffer).await?;
                let _ = tcp.read(&mut buffer).await?;
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_kept_connection_that_brings_no_byte_costs_no_attempt() {
    for how in [Second::Reset, Second::Close, Second::Silence] {
        let transport = HttpTransport::new();
        let config = private(answers_once(how).await).request_timeout(SHORT);
        let session = open_with(&transport, config);
        for round in 0..6 {
            let outcome = session.deliver(&delivery()).await;
            assert!(outcome.is_delivered(), "{how:?}: {outcome:?}");
            // Each other one meets a kept connection.
            assert_eq!(outcome.exchange.made_again, u32::from(round > 0), "{how:?} {round}");
        }
        assert_eq!(transport.connections().made_again, 5);
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_off_in_its_answer_costs_one() {
    let address = raw_receiver(|mut tcp| async move {
        let mut buffer = [0; 4096];
        let _ = tcp.read(&mut buffer).await?;
        tcp.write_all(ANSWER).await?;
        let _ = tcp.read(&mut buffer).await?;
        tcp.write_all(b"HTTP/1.1 2").await
    })
    .await;
    let session = open(private(address));
    assert!(session.deliver(&delivery()).await.is_delivered());
    assert_failed(&session.deliver(&delivery()).await, BadConnection, "");
}

#[tokio::test]
async fn a_new_connection_that_brings_no_byte_costs_one() {
    for reply in [Reply::close(Stage::AfterBody), Reply::reset(Stage::AfterBody)] {
        let receiver = Receiver::builder().otherwise(reply).start().unwrap();
        let session = open(receiver.emitter_config("/").unwrap());
        for attempts in 1..4 {
            assert_failed(&session.deliver(&delivery()).await, BadConnection, "");
            assert_eq!(receiver.requests().len(), attempts);
        }
    }
}

#[tokio::test]
async fn one_silent_connection_closes_all_that_are_kept() {
    let receiver = Receiver::builder().http1_only().start().unwrap();
    let transport = HttpTransport::new();
    let config = receiver.emitter_config("/").unwrap().order(Order::Unordered { window: 16 });
    let session: Arc<dyn Session> = open_with(&transport, config.request_timeout(SHORT)).into();
    let gate = receiver.hold();
    let opening = tokio::spawn({
        let session = Arc::clone(&session);
        async move { deliver_at_once(&session, 16).await }
    });
    receiver.wait_in_flight(16, SOON).await.unwrap();
    drop(gate);
    assert_delivered(&opening.await.unwrap());
    assert_eq!(transport.connections().open, 16);
    // The old connections lead nowhere, as when a balancer has lost its backend.
    receiver.reply(Reply::hang());
    let outcome = session.deliver(&delivery()).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
    assert_eq!(outcome.exchange.made_again, 1);
    assert_eq!(transport.connections().open, 1);
}

#[tokio::test]
async fn a_receiver_that_is_replaced_costs_a_window_nothing() {
    for http2_only in [false, true] {
        let builder = Receiver::builder();
        let builder = if http2_only { builder.http2_only() } else { builder.http1_only() };
        let receiver = builder.start().unwrap();
        let config = receiver.emitter_config("/").unwrap().order(Order::Unordered { window: 16 });
        let version = if http2_only { HttpVersion::Http2 } else { HttpVersion::Http1 };
        let session: Arc<dyn Session> = open(config.http_version(version)).into();
        for _ in 0..5 {
            assert_delivered(&deliver_at_once(&session, 16).await);
            receiver.go_down().await;
            receiver.come_back().unwrap();
            // At once: the state that the sockets know by now depends on chance.
        }
    }
}

#[tokio::test]
async fn a_receiver_that_closes_after_each_answer_costs_nothing() {
    let receiver = Receiver::builder().otherwise(Reply::status(200).then_close()).start().unwrap();
    let session = open(receiver.emitter_config("/").unwrap());
    for _ in 0..50 {
        let outcome = session.deliver(&delivery()).await;
        assert!(outcome.is_delivered(), "{outcome:?}");
    }
}

#[tokio::test]
async fn streams_beyond_the_last_one_of_a_connection_go_to_another() {
    for limit in [1, 10, 100] {
        let server = Frames::goes_away_after(limit).await;
        let config = private(server.address).http_version(HttpVersion::Http2);
        let session = open(config.order(Order::Unordered { window: 64 })).into();
        for round in 1..6 {
            assert_delivered(&deliver_at_once(&session, 64).await);
            // Each was delivered once: the others were surely not processed.
            assert_eq!(server.answered(), round * 64, "limit {limit}");
        }
    }
}

#[tokio::test]
async fn a_receiver_that_always_goes_away_is_unreachable() {
    let server = Frames::goes_away_after(0).await;
    let session = open(private(server.address).http_version(HttpVersion::Http2));
    let outcome = session.deliver(&delivery()).await;
    assert_failed(&outcome, BadConnection, "");
    assert_eq!(outcome.failure.unwrap().advice, Advice::Retry);
    assert!(server.connections() <= 6, "{}", server.connections());
}

#[tokio::test]
async fn a_refused_stream_costs_nothing() {
    let receiver = Receiver::builder().http2_only().streams_per_connection(4).start().unwrap();
    let session: Arc<dyn Session> = open(http2(&receiver)).into();
    let outcomes = deliver_at_once(&session, 64).await;
    assert_delivered(&outcomes);
    assert_eq!(receiver.requests().len(), 64);
    assert!(receiver.ledger(Ledger::most_in_flight) <= 4);
}

#[tokio::test]
async fn a_receiver_that_refuses_every_stream_is_unreachable() {
    let receiver = Receiver::builder().http2_only().otherwise(Reply::refuse()).start().unwrap();
    let session = open(http2(&receiver));
    let outcome = session.deliver(&delivery()).await;
    assert_failed(&outcome, BadConnection, "refused");
    assert_eq!(outcome.failure.unwrap().advice, Advice::Retry);
    assert!(outcome.exchange.made_again > 0);
}

#[tokio::test]
async fn waiting_for_a_stream_is_no_part_of_the_deadline() {
    // Four at a time, each for half a deadline: the last ones wait for several deadlines.
    let receiver = Receiver::builder()
        .http2_only()
        .streams_per_connection(4)
        .otherwise(Reply::status(204).after(SHORT / 2))
        .start()
        .unwrap();
    let session: Arc<dyn Session> = open(http2(&receiver).request_timeout(SHORT)).into();
    assert_delivered(&deliver_at_once(&session, 64).await);
    assert_eq!(receiver.requests().len(), 64);
}

#[tokio::test]
async fn a_stream_is_not_awaited_for_ever() {
    let receiver = Receiver::builder().http2_only().streams_per_connection(1).start().unwrap();
    let transport = HttpTransport::builder().max_wait(SHORT).build();
    let config = http2(&receiver).request_timeout(SOON);
    let session: Arc<dyn Session> = open_with(&transport, config).into();
    // Its answer announces the number of streams.
    assert!(session.deliver(&delivery()).await.is_delivered());
    let gate = receiver.hold();
    let first = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.deliver(&delivery()).await }
    });
    receiver.wait_in_flight(1, SOON).await.unwrap();
    let outcome = session.deliver(&delivery()).await;
    assert_failed(&outcome, Timeout, "no stream of the connection");
    assert_eq!(outcome.failure.unwrap().advice, Advice::Uncounted);
    drop(gate);
    assert!(first.await.unwrap().is_delivered());
}

#[tokio::test]
async fn a_place_comes_free_after_more_than_a_deadline() {
    let open_now = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open_now);
    let address = raw_receiver(move |mut tcp| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let _ = tcp.read(&mut buffer).await?;
            tokio::time::sleep(SHORT / 2).await;
            tcp.write_all(ANSWER).await
        }
    })
    .await;
    let transport = HttpTransport::builder().max_connections(1).build();
    let config = || private(address).request_timeout(SHORT);
    let sessions: Vec<Arc<dyn Session>> =
        (0..6).map(|_| open_with(&transport, config()).into()).collect();
    let flight: Vec<_> = sessions
        .into_iter()
        .map(|session| tokio::spawn(async move { session.deliver(&delivery()).await }))
        .collect();
    for delivered in flight {
        let outcome = delivered.await.unwrap();
        assert!(outcome.is_delivered(), "{outcome:?}");
    }
    assert!(open_now.load(Ordering::SeqCst) >= 6);
    assert!(transport.connections().waited >= 5);
}

#[tokio::test]
async fn a_shared_connection_that_can_not_be_made_fails_all_that_wait_for_it_at_once() {
    // It accepts, and never sends a byte: the dial succeeds, TLS hangs.
    let address = raw_receiver(|tcp| async move {
        std::future::pending::<()>().await;
        drop(tcp);
        Ok(())
    })
    .await;
    let config = EmitterConfig::new(format!("https://{address}/")).unwrap();
    let config = config.allow_private_destinations().request_timeout(SHORT);
    let session: Arc<dyn Session> = open(config.order(Order::Unordered { window: 32 })).into();
    let start = std::time::Instant::now();
    for outcome in deliver_at_once(&session, 32).await {
        assert_failed(&outcome, Timeout, "waiting for the TLS handshake");
    }
    // Not one after the other, which would take 32 deadlines.
    assert!(start.elapsed() < Duration::from_secs(8));
}
