//! The faulty network: each condition, both ways.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bugle_testkit::{Conditions, FaultyNetwork, Receiver, Reply, Way};
use common::{SOON, Sender, kind};
use tokio::time::timeout;

fn network() -> (Receiver, FaultyNetwork) {
    let receiver =
        Receiver::builder().otherwise(Reply::status(200).body("0123456789")).start().unwrap();
    let network = FaultyNetwork::to(receiver.address()).unwrap();
    (receiver, network)
}

#[tokio::test]
async fn a_good_network_forwards_everything_and_counts_it() {
    let (receiver, network) = network();
    let mut sender = Sender::connect(network.address()).await;
    for _ in 0..3 {
        assert_eq!(sender.post("/a", "{}").await.unwrap().body, b"0123456789");
    }
    drop(sender);
    receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
    assert_eq!((network.connections(), receiver.requests().len()), (1, 3));
    let response = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
    assert_eq!(network.forwarded(Way::ToSender), 3 * response.len() as u64);
    assert!(network.forwarded(Way::ToReceiver) > 100);
}

#[tokio::test]
async fn a_stall_lasts_until_the_network_heals() {
    for way in [Way::ToReceiver, Way::ToSender] {
        let (receiver, network) = network();
        let mut sender = Sender::connect(network.address()).await;
        sender.post("/a", "{}").await.unwrap();
        network.set(way, Conditions::good().stalled());
        sender.send("/a", "{}").await.unwrap();
        if way == Way::ToSender {
            receiver.wait_until(SOON, |ledger| ledger.answered() == 2).await.unwrap();
        }
        assert!(timeout(Duration::from_millis(30), sender.answer()).await.is_err());
        network.heal();
        assert_eq!(sender.answer().await.unwrap().status, 200);
        assert_eq!(receiver.requests().len(), 2);
    }
}

#[tokio::test]
async fn a_cut_resets_both_ends() {
    let (receiver, network) = network();
    let _gate = receiver.hold();
    let mut sender = Sender::connect(network.address()).await;
    sender.send("/a", "{}").await.unwrap();
    receiver.wait_in_flight(1, SOON).await.unwrap();
    network.cut();
    let (bytes, ended) = timeout(SOON, sender.rest()).await.unwrap();
    assert_eq!((bytes.len(), kind(&ended)), (0, Some(ErrorKind::ConnectionReset)));
    receiver.wait_until(SOON, |ledger| ledger.abandoned() == 1).await.unwrap();
    receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
}

#[tokio::test]
async fn a_connection_can_be_cut_at_a_byte() {
    let (receiver, network) = network();
    network.set(Way::ToReceiver, Conditions::good().cut_after(20));
    let mut sender = Sender::connect(network.address()).await;
    let (bytes, ended) = timeout(SOON, sender.send_to_the_end("/a", "{}")).await.unwrap();
    assert_eq!((bytes.len(), kind(&ended)), (0, Some(ErrorKind::ConnectionReset)));
    assert_eq!((network.forwarded(Way::ToReceiver), receiver.requests().len()), (20, 0));

    network.heal();
    network.set(Way::ToSender, Conditions::good().cut_after(20));
    let mut sender = Sender::connect(network.address()).await;
    sender.send("/a", "{}").await.unwrap();
    let (bytes, ended) = timeout(SOON, sender.rest()).await.unwrap();
    assert_eq!(kind(&ended), Some(ErrorKind::ConnectionReset));
    assert_eq!(bytes, b"HTTP/1.1 200 OK\r\ncon");
}

#[tokio::test]
async fn a_delay_and_a_throttle_cost_time() {
    let delay = Duration::from_millis(40);
    let (_receiver, network) = network();
    network.set(Way::ToReceiver, Conditions::good().delay(delay));
    network.set(Way::ToSender, Conditions::good().delay(delay));
    let mut sender = Sender::connect(network.address()).await;
    let start = Instant::now();
    sender.post("/a", "{}").await.unwrap();
    assert!(start.elapsed() >= delay * 2);

    // 48 bytes of response at 400 a second.
    network.heal();
    network.set(Way::ToSender, Conditions::good().throttle(400));
    let start = Instant::now();
    sender.post("/a", "{}").await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn bytes_are_corrupted_where_asked() {
    let (receiver, network) = network();
    network.set(Way::ToSender, Conditions::good().corrupt_every(38));
    let mut sender = Sender::connect(network.address()).await;
    // The head has 38 bytes, so the last of them is wrong.
    sender.send("/a", "{}").await.unwrap();
    receiver.wait_until(SOON, |ledger| ledger.answered() == 1).await.unwrap();
    drop(receiver);
    let (bytes, _) = timeout(SOON, sender.rest()).await.unwrap();
    let wrong: Vec<_> = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789"
        .iter()
        .zip(&bytes)
        .enumerate()
        .filter(|(_, (expected, byte))| expected != byte)
        .map(|(index, _)| index + 1)
        .collect();
    assert_eq!((bytes.len(), wrong), (49, vec![38]));
}

#[tokio::test]
async fn nobody_at_the_other_end_is_a_reset() {
    let receiver = Receiver::refusing().unwrap();
    let network = FaultyNetwork::to(receiver.address()).unwrap();
    if let Ok(mut sender) = Sender::try_connect(network.address()).await {
        let (_, ended) = timeout(SOON, sender.send_to_the_end("/a", "{}")).await.unwrap();
        assert!(ended.is_err());
    }
}
