//! Connections are kept, found stale, shared and closed.

use std::sync::Arc;
use std::time::Duration;

use bugle_core::AttemptCode::Shortage;
use bugle_core::{Advice, Order, Session};
use bugle_http::HttpTransport;
use bugle_testkit::{Ledger, Receiver, Reply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};

use crate::support::{
    SHORT, SOON, assert_failed, delivery, open, open_with, private, raw_receiver,
};

fn opened(receiver: &Receiver) -> u64 {
    receiver.ledger(Ledger::connections_opened)
}

#[tokio::test]
async fn twenty_deliveries_over_one_connection() {
    for reply in [
        Reply::status(204),
        Reply::status(200).body("ok"),
        Reply::status(200).body("ok").chunked(),
        Reply::status(500).body("no"),
    ] {
        let receiver = Receiver::builder().otherwise(reply).start().unwrap();
        let session = open(receiver.emitter_config("/").unwrap());
        for _ in 0..20 {
            session.deliver(&delivery()).await;
        }
        assert_eq!((receiver.requests().len(), opened(&receiver)), (20, 1));
    }
}

#[tokio::test]
async fn an_announced_close_is_heard() {
    let reply = Reply::status(200).body("ok").connection_close();
    let receiver = Receiver::builder().otherwise(reply).start().unwrap();
    let session = open(receiver.emitter_config("/").unwrap());
    for _ in 0..5 {
        assert!(session.deliver(&delivery()).await.is_delivered());
    }
    assert_eq!(opened(&receiver), 5);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_no_attempt() {
    for reset in [false, true] {
        let (closed, mut closings) = mpsc::unbounded_channel();
        let address = raw_receiver(move |mut tcp| {
            let closed = closed.clone();
            async move {
                let mut buffer = [0; 4096];
                let _ = tcp.read(&mut buffer).await?;
                tcp.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
                if reset {
                    tcp.set_zero_linger()?;
                }
                drop(tcp);
                let _ = closed.send(());
                Ok(())
            }
        })
        .await;
        let session = open(private(address));
        for _ in 0..5 {
            let outcome = session.deliver(&delivery()).await;
            assert!(outcome.is_delivered(), "{outcome:?}");
            closings.recv().await.unwrap();
            // The socket has the news by now; this lets the runtime ask the system for it.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_not_taken_for_one() {
    let address = raw_receiver(|mut tcp| async move {
        let mut buffer = [0; 4096];
        let _ = tcp.read(&mut buffer).await?;
        let answers = b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 500 Surprise\r\n\r\n";
        tcp.write_all(answers).await?;
        let _ = tcp.read(&mut buffer).await?;
        Ok(())
    })
    .await;
    let session = open(private(address));
    for _ in 0..5 {
        let outcome = session.deliver(&delivery()).await;
        assert!(outcome.is_delivered(), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_not_used_after_its_time() {
    let receiver = Receiver::start().unwrap();
    let idle = Duration::from_millis(50);
    let session = open(receiver.emitter_config("/").unwrap().idle_timeout(idle));
    assert!(session.deliver(&delivery()).await.is_delivered());
    tokio::time::sleep(2 * idle).await;
    assert!(session.deliver(&delivery()).await.is_delivered());
    assert_eq!(opened(&receiver), 2);
    receiver.wait_until(SOON, |ledger| ledger.connections_open() == 1).await.unwrap();
}

#[tokio::test]
async fn a_window_keeps_as_many_connections_as_it_needs() {
    let receiver = Receiver::builder().http1_only().start().unwrap();
    let config = receiver.emitter_config("/").unwrap().order(Order::Unordered { window: 8 });
    let session: Arc<dyn Session> = open(config).into();
    for _ in 0..3 {
        let gate = receiver.hold();
        let flight: Vec<_> = (0..8)
            .map(|_| {
                let session = Arc::clone(&session);
                tokio::spawn(async move { session.deliver(&delivery()).await })
            })
            .collect();
        receiver.wait_in_flight(8, SOON).await.unwrap();
        drop(gate);
        for delivered in flight {
            assert!(delivered.await.unwrap().is_delivered());
        }
    }
    assert_eq!((receiver.requests().len(), opened(&receiver)), (24, 8));
}

#[tokio::test]
async fn dropping_a_delivery_closes_its_connection() {
    let receiver = Receiver::builder().reply(Reply::hang()).start().unwrap();
    let session = open(receiver.emitter_config("/").unwrap());
    let delivery = delivery();
    let mut attempt = session.deliver(&delivery);
    tokio::select! {
        _ = &mut attempt => panic!("it hangs"),
        arrived = receiver.wait_for(1, SOON) => drop(arrived.unwrap()),
    }
    drop(attempt);
    receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
    assert!(session.deliver(&delivery).await.is_delivered());
}

#[tokio::test]
async fn dropping_a_session_closes_its_connections() {
    let receiver = Receiver::start().unwrap();
    let transport = HttpTransport::new();
    let session = open_with(&transport, receiver.emitter_config("/").unwrap());
    assert!(session.deliver(&delivery()).await.is_delivered());
    assert_eq!(transport.connections().open, 1);
    drop(session);
    assert_eq!(transport.connections().open, 0);
    receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
}

#[tokio::test]
async fn the_cap_takes_an_idle_connection_from_another_emitter() {
    let receiver = Receiver::start().unwrap();
    let transport = HttpTransport::builder().max_connections(2).build();
    let config = || receiver.emitter_config("/").unwrap();
    let sessions: Vec<_> = (0..5).map(|_| open_with(&transport, config())).collect();
    for _ in 0..3 {
        for session in &sessions {
            assert!(session.deliver(&delivery()).await.is_delivered());
            assert!(transport.connections().open <= 2);
        }
    }
    assert!(transport.connections().waited >= 3);
    assert_eq!(transport.connections().waiting, 0);
}

#[tokio::test]
async fn the_cap_is_waited_for_apart_from_the_deadline() {
    let receiver = Receiver::builder().reply(Reply::hang()).start().unwrap();
    let transport = HttpTransport::builder().max_connections(1).max_wait(2 * SHORT).build();
    let config = || receiver.emitter_config("/").unwrap().request_timeout(SHORT);
    let (first, second) = (open_with(&transport, config()), open_with(&transport, config()));
    let (one, other) = (delivery(), delivery());
    let mut hanging = first.deliver(&one);
    tokio::select! {
        _ = &mut hanging => panic!("it hangs"),
        arrived = receiver.wait_for(1, SOON) => drop(arrived.unwrap()),
    }
    // The first one is not polled, so its connection stays taken.
    let outcome = second.deliver(&other).await;
    assert_failed(&outcome, Shortage, "600ms passed while waiting for a place");
    assert_eq!(outcome.failure.unwrap().advice, Advice::Uncounted);
    assert_eq!(transport.connections().shortages, 1);
    drop(hanging);
    assert!(second.deliver(&other).await.is_delivered());
}

#[tokio::test]
async fn a_busy_emitter_makes_room_for_one_that_waits() {
    let receiver = Receiver::start().unwrap();
    let transport = HttpTransport::builder().max_connections(1).build();
    let config = || receiver.emitter_config("/").unwrap();
    let stop = Arc::new(Notify::new());
    let busy = open_with(&transport, config());
    let ended = Arc::clone(&stop);
    let work = tokio::spawn(async move {
        let ended = ended.notified();
        tokio::pin!(ended);
        loop {
            let delivery = delivery();
            tokio::select! {
                biased;
                () = &mut ended => return,
                outcome = busy.deliver(&delivery) => assert!(outcome.is_delivered()),
            }
        }
    });
    let other = open_with(&transport, config());
    for _ in 0..10 {
        assert!(other.deliver(&delivery()).await.is_delivered());
    }
    stop.notify_one();
    work.await.unwrap();
}
