//! One deadline covers a whole attempt.

use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bugle_core::AttemptCode::{BadConnection, Shortage, Timeout};
use bugle_core::{Advice, BoxFuture, EmitterConfig, SpokenVersion};
use bugle_http::{HttpTransport, Resolve};
use bugle_testkit::{Receiver, Reply, Tls};

use crate::support::{SHORT, assert_failed, deliver, delivery, open, open_with, phases, private};

/// Never answers.
#[derive(Debug)]
struct Silent;

impl Resolve for Silent {
    fn resolve<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn while_resolving() {
    let transport = HttpTransport::builder().resolver(Silent).build();
    let config = EmitterConfig::new("http://slow.test/").unwrap().request_timeout(SHORT);
    let outcome = open_with(&transport, config).deliver(&delivery()).await;
    // No answer says anything about the receiver.
    assert_failed(&outcome, Shortage, "no resolver answers: 300ms passed while resolving");
    assert_eq!(outcome.failure.as_ref().unwrap().advice, Advice::Uncounted);
    assert_eq!((outcome.exchange.connected_to, outcome.exchange.http_version), (None, None));
    assert_eq!(phases(&outcome.exchange), [true, false, false, false]);
    assert!(outcome.exchange.elapsed.total >= SHORT);
}

#[tokio::test]
async fn while_connecting() {
    // A port whose queue of connections is full accepts no more.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    loop {
        let connect = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(SHORT, connect).await {
            Ok(connected) => waiting.push(connected.unwrap()),
            Err(_) => break,
        }
    }
    let outcome = deliver(private(address).request_timeout(SHORT)).await;
    assert_failed(&outcome, Timeout, "while connecting");
    assert_eq!(phases(&outcome.exchange)[1..], [true, false, false]);
}

#[tokio::test]
async fn in_the_tls_handshake() {
    let receiver = Receiver::builder().tls(Tls::hang()).start().unwrap();
    let outcome = deliver(receiver.emitter_config("/").unwrap().request_timeout(SHORT)).await;
    assert_failed(&outcome, Timeout, "waiting for the TLS handshake");
    assert_eq!(outcome.exchange.connected_to, Some(receiver.address()));
    assert_eq!(phases(&outcome.exchange)[1..], [true, true, false]);
}

#[tokio::test]
async fn it_is_anew_for_each_attempt() {
    // Each answer takes half the deadline: all of them together take more than one, and the last
    // one, which never comes, is cut off no sooner than it should be.
    let receiver = Receiver::builder()
        .replies(4, Reply::status(204).after(SHORT / 2))
        .replies(2, Reply::hang())
        .start()
        .unwrap();
    let session = open(receiver.emitter_config("/").unwrap().request_timeout(SHORT));
    for _ in 0..4 {
        assert!(session.deliver(&delivery()).await.is_delivered());
    }
    let start = Instant::now();
    let outcome = session.deliver(&delivery()).await;
    assert_failed(&outcome, Timeout, "waiting for the response");
    // The kept connection brought no byte: the request was made again on a new one, with a deadline
    // of its own.
    assert!(start.elapsed() >= 2 * SHORT);
    assert_eq!(outcome.exchange.made_again, 1);
    assert_eq!(phases(&outcome.exchange)[2..], [false, true]);
    assert_eq!(outcome.exchange.http_version, Some(SpokenVersion::Http11));
    assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 2);
}

#[tokio::test]
async fn it_is_not_waited_for_when_the_lookup_fails() {
    let transport = crate::support::Names::default().transport();
    let config = EmitterConfig::new("http://nowhere.test/").unwrap();
    let start = Instant::now();
    let outcome = open_with(&transport, config).deliver(&delivery()).await;
    assert_failed(&outcome, BadConnection, "nowhere.test can't be resolved: no such name");
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn it_may_be_as_long_as_one_likes() {
    let receiver = Receiver::start().unwrap();
    let config = receiver.emitter_config("/").unwrap().request_timeout(Duration::MAX);
    let session = open(config.idle_timeout(Duration::MAX));
    for _ in 0..2 {
        assert!(session.deliver(&delivery()).await.is_delivered());
    }
}
