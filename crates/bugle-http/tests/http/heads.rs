//! Answers as real servers write them.

use bugle_core::AttemptCode::BadConnection;
use bugle_core::Outcome;
use bugle_testkit::{Ledger, Receiver, Reply, Tls};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    SOON, assert_failed, delivery, delivery_of, event, open, private, raw_receiver,
};

/// Sends an answer in these bytes, twice, plain and over TLS; the receiver leaves the connection
/// open. Returns the outcome and the number of connections.
async fn answered(bytes: &[u8]) -> (Outcome, u64) {
    let (mut last, mut opened) = (None, 0);
    for tls in [false, true] {
        let builder = Receiver::builder().reply(Reply::raw(bytes.to_vec()));
        let builder = if tls { builder.tls(Tls::trusted()) } else { builder };
        let receiver = builder.start().unwrap();
        let session = open(receiver.emitter_config("/").unwrap().request_timeout(SOON));
        last = Some(session.deliver(&delivery().capturing(true)).await);
        opened = receiver.ledger(Ledger::connections_opened);
    }
    (last.unwrap(), opened)
}

#[tokio::test]
async fn untidy_heads_are_taken() {
    let hundreds = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-many: y\r\n".repeat(500));
    for bytes in [
        "HTTP/1.1 204 No Content\n\n",
        "HTTP/1.1 204\r\n\r\n",
        "\r\nHTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1  204  No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nx-folded: one\r\n two\r\n\tthree\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nx-space : before the colon\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nthis is no header\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n: no name\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nx-latin: \u{e4}\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 103 Early Hints\nlink: </x>\n\nHTTP/1.1 204 No Content\n\n",
        &hundreds.replace("200 OK", "204 No Content"),
    ] {
        let (outcome, _) = answered(bytes.as_bytes()).await;
        assert!(outcome.is_delivered(), "{bytes:?}: {outcome:?}");
        assert_eq!(outcome.exchange.status, Some(204), "{bytes:?}");
    }
}

#[tokio::test]
async fn a_folded_header_is_one_line() {
    let (outcome, _) = answered(b"HTTP/1.1 204 X\r\nX-Folded: one\r\n two\r\n\r\n").await;
    let headers = outcome.exchange.head.unwrap().headers;
    assert_eq!(headers, [("x-folded".to_owned(), "one two".to_owned())]);
}

#[tokio::test]
async fn a_head_is_bounded_by_bytes_alone() {
    for (length, taken) in [(60_000, true), (70_000, false)] {
        let head = format!("HTTP/1.1 204 X\r\nx: {}\r\n\r\n", "x".repeat(length));
        // All at once, and in pieces of which the last is as small as possible.
        for piece in [head.len(), 1000, head.len() - 1] {
            let bytes = head.clone();
            let address = raw_receiver(move |mut tcp| {
                let bytes = bytes.clone();
                async move {
                    let _ = tcp.read(&mut [0; 4096]).await?;
                    for piece in bytes.as_bytes().chunks(piece) {
                        tcp.write_all(piece).await?;
                        tokio::task::yield_now().await;
                    }
                    std::future::pending().await
                }
            })
            .await;
            let outcome = open(private(address)).deliver(&delivery()).await;
            match taken {
                true => assert!(outcome.is_delivered(), "{outcome:?}"),
                false => assert_failed(&outcome, BadConnection, "longer than 64 KiB"),
            }
        }
    }
}

#[tokio::test]
async fn a_switch_of_protocols_is_no_success() {
    let (outcome, _) = answered(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n").await;
    assert_eq!(outcome.exchange.status, Some(101));
    assert!(!outcome.is_delivered());
}

/// Requests continue on the connection after these answers, or use another one.
#[tokio::test]
async fn nothing_is_reused_in_doubt() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = "transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for (answer, reused) in [
        (format!("{ok}content-length: 2\r\n\r\nok"), true),
        (format!("{ok}content-length: 2\r\ncontent-length: 2\r\n\r\nok"), true),
        (format!("{ok}{chunked}"), true),
        ("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok".into(), true),
        ("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok".into(), false),
        (format!("{ok}connection: close\r\ncontent-length: 2\r\n\r\nok"), false),
        (format!("{ok}content-length: 2\r\n\r\nok!"), false),
        (format!("{ok}content-length: 2\r\ncontent-length: 3\r\n\r\nok"), false),
        (format!("{ok}content-length: 2\r\n{chunked}"), false),
        (format!("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n{chunked}"), false),
    ] {
        let (connections, mut opened) = tokio::sync::mpsc::unbounded_channel();
        let bytes = Bytes::from(answer.clone());
        let address = raw_receiver(move |mut tcp| {
            let _ = connections.send(());
            let bytes = bytes.clone();
            async move {
                while tcp.read(&mut [0; 4096]).await? > 0 {
                    tcp.write_all(&bytes).await?;
                }
                Ok(())
            }
        })
        .await;
        let session = open(private(address));
        for _ in 0..3 {
            let outcome = session.deliver(&delivery()).await;
            assert!(outcome.is_delivered(), "{answer:?}: {outcome:?}");
        }
        opened.recv().await.unwrap();
        assert_eq!(opened.len(), if reused { 0 } else { 2 }, "{answer:?}");
    }
}

/// A server gives up an idle connection with a 408 and a close.
#[tokio::test]
async fn what_is_said_while_idle_is_nobodys_answer() {
    let address = raw_receiver(|mut tcp| async move {
        let _ = tcp.read(&mut [0; 4096]).await?;
        tcp.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?;
        tokio::task::yield_now().await;
        tcp.write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n").await?;
        Ok(())
    })
    .await;
    let session = open(private(address));
    for _ in 0..5 {
        let outcome = session.deliver(&delivery()).await;
        assert!(outcome.is_delivered(), "{outcome:?}");
        // Lets the runtime ask the system for the state of its sockets.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A receiver that accepts before it has read the whole request still gets all of it.
#[tokio::test]
async fn an_early_success_lets_the_request_be_sent() {
    const LENGTH: usize = 8 << 20;
    let mut event = event();
    event.payload = Bytes::from(vec![b'x'; LENGTH]);
    let (read, mut lengths) = tokio::sync::mpsc::unbounded_channel();
    let address = raw_receiver(move |mut tcp| {
        let read = read.clone();
        async move {
            let mut buffer = vec![0; 1 << 20];
            for _ in 0..2 {
                let mut length = tcp.read(&mut buffer).await?;
                tcp.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").await?;
                while length < LENGTH {
                    length += tcp.read(&mut buffer).await?;
                }
                let _ = read.send(length);
            }
            Ok(())
        }
    })
    .await;
    let session = open(private(address));
    for _ in 0..2 {
        let outcome = session.deliver(&delivery_of(event.clone())).await;
        assert!(outcome.is_delivered() && !outcome.exchange.body_cut, "{outcome:?}");
        assert!(lengths.recv().await.unwrap() > LENGTH);
    }
}
