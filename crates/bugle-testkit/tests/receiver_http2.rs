//! The receiver over HTTP/2 with prior knowledge.

#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use bugle_testkit::{Ledger, Receiver, Reply, Stage};
use bytes::Bytes;
use common::{SOON, Sender};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

async fn connect(receiver: &Receiver) -> SendRequest<Full<Bytes>> {
    let tcp = TcpStream::connect(receiver.address()).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(tcp)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn post(
    sender: &mut SendRequest<Full<Bytes>>,
    path: &str,
) -> hyper::Result<Response<Incoming>> {
    let request = Request::post(format!("http://x{path}")).body(Full::from("{}")).unwrap();
    sender.send_request(request).await
}

#[tokio::test]
async fn requests_are_answered_and_recorded() {
    let receiver = Receiver::builder()
        .reply(Reply::status(500).header("x-why", "because").body("no"))
        .reply(Reply::huge(300_000))
        .reply(Reply::status(200).body("abcd").drip(1, Duration::from_millis(1)))
        .choose(|request| Reply::status(if request.path == "/gone?x=1" { 410 } else { 204 }))
        .start()
        .unwrap();
    let mut sender = connect(&receiver).await;
    let first = post(&mut sender, "/a").await.unwrap();
    assert_eq!(
        (first.status().as_u16(), first.headers()["x-why"].to_str().unwrap()),
        (500, "because")
    );
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), "no");
    let huge = post(&mut sender, "/a").await.unwrap();
    assert_eq!(huge.into_body().collect().await.unwrap().to_bytes().len(), 300_000);
    let drip = post(&mut sender, "/a").await.unwrap();
    assert_eq!(drip.into_body().collect().await.unwrap().to_bytes(), "abcd");
    assert_eq!(post(&mut sender, "/gone?x=1").await.unwrap().status(), 410);
    assert_eq!(post(&mut sender, "/a").await.unwrap().status(), 204);

    let requests = receiver.wait_for(5, SOON).await.unwrap();
    assert!(requests.iter().all(|r| r.version == Version::HTTP_2 && r.connection == 1));
    assert_eq!((requests[3].path.as_str(), &requests[3].body[..]), ("/gone?x=1", &b"{}"[..]));
    receiver.wait_until(SOON, |ledger| ledger.answered() == 5).await.unwrap();
    drop(sender);
    receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
}

#[tokio::test]
async fn a_hang_leaves_the_other_streams_alone() {
    let receiver = Receiver::builder()
        .reply(Reply::hang())
        .reply(Reply::reset(Stage::AfterBody))
        .start()
        .unwrap();
    let mut sender = connect(&receiver).await;
    let mut second = sender.clone();
    let hanging = tokio::spawn(async move { post(&mut second, "/a").await });
    receiver.wait_in_flight(1, SOON).await.unwrap();
    assert!(post(&mut sender, "/a").await.is_err());
    assert_eq!(post(&mut sender, "/a").await.unwrap().status(), 204);
    assert_eq!(receiver.in_flight(), 1);
    hanging.abort();
    receiver.wait_until(SOON, |ledger| ledger.in_flight() == 0).await.unwrap();
    assert_eq!(receiver.ledger(Ledger::misbehaved), 2);
    assert_eq!(receiver.ledger(Ledger::connections_open), 1);
}

#[tokio::test]
async fn a_connection_ends_after_so_many_requests() {
    let receiver = Receiver::builder().requests_per_connection(2).start().unwrap();
    let mut sender = connect(&receiver).await;
    for _ in 0..2 {
        assert_eq!(post(&mut sender, "/a").await.unwrap().status(), 204);
    }
    receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
}

#[tokio::test]
async fn a_receiver_can_speak_one_version_only() {
    let receiver = Receiver::builder().http1_only().start().unwrap();
    let mut sender = connect(&receiver).await;
    assert!(post(&mut sender, "/a").await.is_err());
    let mut sender = Sender::connect(receiver.address()).await;
    assert_eq!(sender.post("/a", "{}").await.unwrap().status, 204);

    let receiver = Receiver::builder().http2_only().start().unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    assert!(sender.post("/a", "{}").await.is_err());
    let mut sender = connect(&receiver).await;
    assert_eq!(post(&mut sender, "/a").await.unwrap().status(), 204);
}
