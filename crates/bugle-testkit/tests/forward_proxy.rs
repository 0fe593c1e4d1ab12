//! The proxies, asked by hand.

#![allow(clippy::unwrap_used)]

mod common;

use bugle_testkit::{ForwardProxy, Receiver};
use common::Sender;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn connect(
    proxy: &ForwardProxy,
    target: &str,
    authorization: &str,
) -> (String, Sender<TcpStream>) {
    let mut sender = Sender::connect(proxy.address()).await;
    let ask = format!("CONNECT {target} HTTP/1.1\r\nhost: {target}\r\n{authorization}\r\n");
    sender.stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(sender.stream.read_u8().await.unwrap());
    }
    (String::from_utf8(answer).unwrap(), sender)
}

#[tokio::test]
async fn connect_leads_to_whom_it_is_asked_for() {
    let receiver = Receiver::start().unwrap();
    let proxy = ForwardProxy::http().start().unwrap();
    assert_eq!(proxy.url(), format!("http://{}", proxy.address()));
    let target = receiver.address().to_string();
    let (answer, mut sender) = connect(&proxy, &target, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(sender.post("/a", "{}").await.unwrap().status, 204);
    assert_eq!(proxy.targets(), [target]);

    let nobody = Receiver::refusing().unwrap();
    let (answer, _) = connect(&proxy, &nobody.address().to_string(), "").await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    let denying = ForwardProxy::http().denying().start().unwrap();
    let (answer, _) = connect(&denying, "example.com:443", "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(denying.targets(), ["example.com:443"]);
}

#[tokio::test]
async fn connect_asks_for_credentials() {
    let receiver = Receiver::start().unwrap();
    let proxy = ForwardProxy::http()
        .credentials("user", "secret")
        .leading_to(receiver.address())
        .start()
        .unwrap();
    assert_eq!(proxy.url(), format!("http://user:secret@{}", proxy.address()));
    assert_eq!(proxy.proxy().unwrap().url().password(), Some("secret"));
    for (header, status) in [
        ("", "407"),
        ("proxy-authorization: Basic dXNlcjp3cm9uZw==\r\n", "407"),
        ("proxy-authorization: Basic dXNlcjpzZWNyZXQ=\r\n", "200"),
    ] {
        let (answer, mut sender) = connect(&proxy, "example.com:80", header).await;
        assert_eq!(answer.split(' ').nth(1), Some(status));
        if status == "200" {
            assert_eq!(sender.post("/a", "{}").await.unwrap().status, 204);
        }
    }
    assert_eq!((proxy.unauthorized(), proxy.targets().len()), (2, 1));
}

/// Sends each part, and reads an answer of this length after it.
async fn talk(proxy: &ForwardProxy, parts: &[(&[u8], usize)]) -> (Vec<Vec<u8>>, Sender) {
    let mut sender = Sender::connect(proxy.address()).await;
    let mut answers = Vec::new();
    for (part, length) in parts {
        sender.stream.write_all(part).await.unwrap();
        let mut answer = vec![0; *length];
        sender.stream.read_exact(&mut answer).await.unwrap();
        answers.push(answer);
    }
    (answers, sender)
}

const WELCOME: [u8; 10] = [5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

#[tokio::test]
async fn socks5_leads_to_whom_it_is_asked_for() {
    let receiver = Receiver::start().unwrap();
    let proxy = ForwardProxy::socks5().leading_to(receiver.address()).start().unwrap();
    assert_eq!(proxy.url(), format!("socks5://{}", proxy.address()));
    let mut v6 = vec![5, 1, 0, 4];
    v6.extend([0; 15]);
    v6.extend([1, 0, 80]);
    for ask in [&[5, 1, 0, 1, 10, 0, 0, 7, 0, 80][..], b"\x05\x01\x00\x03\x06a.test\x01\xbb", &v6] {
        let (answers, mut sender) = talk(&proxy, &[(&[5, 1, 0], 2), (ask, 10)]).await;
        assert_eq!(answers, [vec![5, 0], WELCOME.to_vec()]);
        assert_eq!(sender.post("/a", "{}").await.unwrap().status, 204);
    }
    assert_eq!(proxy.targets(), ["10.0.0.7:80", "a.test:443", "[::1]:80"]);

    let denying = ForwardProxy::socks5().denying().start().unwrap();
    let ask = [5, 1, 0, 1, 10, 0, 0, 7, 0, 80];
    let (answers, _) = talk(&denying, &[(&[5, 1, 0], 2), (&ask, 10)]).await;
    assert_eq!(answers[1][1], 2);
}

#[tokio::test]
async fn socks5_asks_for_credentials() {
    let receiver = Receiver::start().unwrap();
    let proxy = ForwardProxy::socks5()
        .credentials("user", "secret")
        .leading_to(receiver.address())
        .start()
        .unwrap();
    let (answers, _) = talk(&proxy, &[(&[5, 1, 0], 2)]).await;
    assert_eq!(answers, [[5, 0xff]]);
    let (answers, _) = talk(&proxy, &[(&[5, 2, 0, 2], 2), (b"\x01\x04user\x05wrong", 2)]).await;
    assert_eq!(answers, [[5, 2], [1, 1]]);
    let ask = [5, 1, 0, 1, 10, 0, 0, 7, 0, 80];
    let parts: [(&[u8], usize); 3] =
        [(&[5, 2, 0, 2], 2), (b"\x01\x04user\x06secret", 2), (&ask, 10)];
    let (answers, mut sender) = talk(&proxy, &parts).await;
    assert_eq!(answers, [vec![5, 2], vec![1, 0], WELCOME.to_vec()]);
    assert_eq!(sender.post("/a", "{}").await.unwrap().status, 204);
    assert_eq!((proxy.unauthorized(), proxy.targets().len()), (2, 1));
}
