//! The receiver over HTTP/1.1: what it records, and each way in which it misbehaves.

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use bugle_core::{Secret, Verifier, VerifyError, sign_plain};
use bugle_testkit::{Ledger, Receiver, Reply, Stage};
use common::{SOON, Sender, kind};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test]
async fn replies_come_in_order_and_then_the_default() {
    let receiver = Receiver::builder()
        .reply(Reply::status(500).body("no").header("x-why", "because"))
        .reply(Reply::status(503).retry_after(Duration::from_millis(1_500)))
        .otherwise(Reply::status(202))
        .start()
        .unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    let first = sender.post("/hooks?a=1", "{}").await.unwrap();
    assert_eq!((first.status, first.body.as_slice()), (500, &b"no"[..]));
    assert_eq!(first.header("x-why"), Some("because"));
    let second = sender.post("/hooks", "{}").await.unwrap();
    assert_eq!((second.status, second.header("retry-after")), (503, Some("2")));
    for _ in 0..3 {
        assert_eq!(sender.post("/hooks", "{}").await.unwrap().status, 202);
    }
    receiver.otherwise(Reply::status(204));
    receiver.reply(Reply::gone());
    assert_eq!(sender.post("/hooks", "{}").await.unwrap().status, 410);
    assert_eq!(sender.post("/hooks", "{}").await.unwrap().status, 204);
}

#[tokio::test]
async fn the_ledger_says_what_came_when_and_by_which_connection() {
    let before = Instant::now();
    let receiver = Receiver::start().unwrap();
    let mut one = Sender::connect(receiver.address()).await;
    one.post("/a", "{\"n\":1}").await.unwrap();
    one.post("/b?c=d", "{\"n\":2}").await.unwrap();
    let mut two = Sender::connect(receiver.address()).await;
    two.post("/e", "").await.unwrap();

    let requests = receiver.wait_for(3, SOON).await.unwrap();
    let seen: Vec<_> = requests
        .iter()
        .map(|r| (r.number, r.connection, r.path.as_str(), &r.body[..], r.complete))
        .collect();
    assert_eq!(
        seen,
        [
            (1, 1, "/a", &b"{\"n\":1}"[..], true),
            (2, 1, "/b?c=d", b"{\"n\":2}", true),
            (3, 2, "/e", b"", true),
        ]
    );
    let first = &requests[0];
    assert_eq!((first.method.as_str(), first.version), ("POST", http::Version::HTTP_11));
    assert_eq!((first.event(), first.request_id()), (Some("a.b"), Some("7")));
    assert_eq!(first.peer, one.stream.local_addr().unwrap());
    assert!(requests.is_sorted_by_key(|r| r.at) && first.at >= before);

    drop((one, two));
    receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
    assert_eq!(receiver.ledger(Ledger::connections_opened), 2);
    assert_eq!(receiver.ledger(Ledger::connections_closed), 2);
    assert_eq!(receiver.ledger(Ledger::answered), 3);
}

#[tokio::test]
async fn a_reply_can_be_chosen_by_the_request() {
    let receiver = Receiver::builder()
        .reply(Reply::status(201))
        .choose(|request| match (request.path.as_str(), &request.body[..], request.number) {
            ("/poison", ..) | (_, b"poison", _) => Reply::status(422),
            (_, _, number) if number % 2 == 0 => Reply::status(500),
            _ => Reply::status(200),
        })
        .start()
        .unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    for (path, body, expected) in [
        ("/a", "", 201),
        ("/a", "", 500),
        ("/a", "", 200),
        ("/poison", "", 422),
        ("/a", "poison", 422),
    ] {
        assert_eq!(sender.post(path, body).await.unwrap().status, expected, "{path} {body}");
    }
}

#[tokio::test]
async fn each_stage_can_be_reset_or_closed() {
    let stages = [
        Stage::OnAccept,
        Stage::BeforeReading,
        Stage::AfterHead,
        Stage::AfterBody,
        Stage::InResponseHead,
        Stage::InResponseBody,
    ];
    for stage in stages {
        for reset in [true, false] {
            let fault = if reset { Reply::reset(stage) } else { Reply::close(stage) };
            let receiver = Receiver::builder().reply(fault).start().unwrap();
            let mut sender = match Sender::try_connect(receiver.address()).await {
                Ok(sender) => sender,
                // The reset may come before the sender has written.
                Err(error) if reset && stage == Stage::OnAccept => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            let (bytes, ended) = timeout(SOON, sender.send_to_the_end("/a", "{}")).await.unwrap();
            let expected = reset.then_some(ErrorKind::ConnectionReset);
            let ended = kind(&ended).map(|kind| match kind {
                ErrorKind::BrokenPipe => ErrorKind::ConnectionReset,
                kind => kind,
            });
            assert_eq!(ended, expected, "{stage:?}");
            let text = String::from_utf8(bytes).unwrap();
            match stage {
                Stage::InResponseHead => {
                    assert!(text.starts_with("HTTP/1.1") && !text.contains("\r\n\r\n"))
                }
                Stage::InResponseBody => assert!(text.ends_with("\r\n\r\n{\"receiv"), "{text}"),
                _ => assert_eq!(text, ""),
            }
            drop(sender);

            let recorded = !matches!(stage, Stage::OnAccept | Stage::BeforeReading);
            receiver.wait_until(SOON, |ledger| ledger.connections_closed() == 1).await.unwrap();
            assert_eq!(receiver.requests().len(), usize::from(recorded), "{stage:?}");
            assert_eq!(receiver.ledger(Ledger::misbehaved), u64::from(recorded));
            if recorded {
                assert_eq!(receiver.requests()[0].complete, stage != Stage::AfterHead);
            }

            // The fault was for one request only.
            let mut sender = Sender::connect(receiver.address()).await;
            assert_eq!(sender.post("/a", "{}").await.unwrap().status, 204);
        }
    }
}

#[tokio::test]
async fn a_hang_lasts_until_the_sender_gives_up() {
    for stage in [
        Stage::OnAccept,
        Stage::BeforeReading,
        Stage::AfterHead,
        Stage::AfterBody,
        Stage::InResponseHead,
        Stage::InResponseBody,
    ] {
        let receiver = Receiver::builder().otherwise(Reply::hang_at(stage)).start().unwrap();
        let mut sender = Sender::connect(receiver.address()).await;
        sender.send("/a", "{}").await.unwrap();
        if !matches!(stage, Stage::OnAccept | Stage::BeforeReading) {
            receiver.wait_in_flight(1, SOON).await.unwrap();
        }
        receiver.wait_until(SOON, |ledger| ledger.connections_open() == 1).await.unwrap();
        drop(sender);
        receiver
            .wait_until(SOON, |ledger| ledger.connections_open() == 0 && ledger.in_flight() == 0)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_late_reply_is_late_and_may_be_abandoned() {
    let delay = Duration::from_millis(80);
    let receiver = Receiver::builder()
        .reply(Reply::status(200).after(delay))
        .reply(Reply::status(200).after(Duration::from_secs(3_600)))
        .start()
        .unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    let start = Instant::now();
    assert_eq!(sender.post("/a", "{}").await.unwrap().status, 200);
    assert!(start.elapsed() >= delay);
    sender.send("/a", "{}").await.unwrap();
    receiver.wait_in_flight(1, SOON).await.unwrap();
    drop(sender);
    receiver.wait_until(SOON, |ledger| ledger.abandoned() == 1).await.unwrap();
    assert_eq!(receiver.in_flight(), 0);
}

#[tokio::test]
async fn a_gate_holds_every_response() {
    let receiver = Receiver::start().unwrap();
    let gate = receiver.hold();
    let second_gate = receiver.hold();
    let mut senders = Vec::new();
    for _ in 0..5 {
        let mut sender = Sender::connect(receiver.address()).await;
        sender.send("/a", "{}").await.unwrap();
        senders.push(sender);
    }
    receiver.wait_in_flight(5, SOON).await.unwrap();
    gate.open();
    assert_eq!(receiver.ledger(Ledger::answered), 0);
    drop(second_gate);
    for sender in &mut senders {
        assert_eq!(sender.answer().await.unwrap().status, 204);
    }
    receiver.wait_until(SOON, |ledger| ledger.answered() == 5).await.unwrap();
    assert_eq!(receiver.ledger(Ledger::most_in_flight), 5);
}

#[tokio::test]
async fn a_drip_comes_a_few_bytes_at_a_time() {
    let every = Duration::from_millis(5);
    for (reply, steps) in [
        (Reply::status(200).body("0123456789").drip(1, every), 9),
        (Reply::status(200).drip_head(3, every), 10),
    ] {
        let receiver = Receiver::builder().otherwise(reply).start().unwrap();
        let mut sender = Sender::connect(receiver.address()).await;
        let start = Instant::now();
        assert_eq!(sender.post("/a", "{}").await.unwrap().status, 200);
        assert!(start.elapsed() >= every * steps);
    }
    let endless = Reply::status(200).body("0123456789").drip(1, Duration::from_secs(3_600));
    let receiver = Receiver::builder().otherwise(endless).start().unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    sender.send("/a", "{}").await.unwrap();
    receiver.wait_until(SOON, |ledger| ledger.body_bytes_sent() == 1).await.unwrap();
    drop(sender);
    receiver.wait_until(SOON, |ledger| ledger.abandoned() == 1).await.unwrap();
}

#[tokio::test]
async fn a_huge_body_is_sent_as_far_as_it_is_read() {
    const HUGE: u64 = 100_000_000;
    let receiver = Receiver::builder()
        .reply(Reply::huge(HUGE))
        .otherwise(Reply::huge(u64::MAX))
        .start()
        .unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    let answer = sender.post("/a", "{}").await.unwrap();
    assert_eq!(answer.body.len() as u64, HUGE);
    receiver.wait_until(SOON, |ledger| ledger.body_bytes_sent() == HUGE).await.unwrap();
    sender.send("/a", "{}").await.unwrap();
    receiver.wait_until(SOON, |ledger| ledger.body_bytes_sent() > HUGE).await.unwrap();
    drop(sender);
    receiver.wait_until(SOON, |ledger| ledger.abandoned() == 1).await.unwrap();
}

#[tokio::test]
async fn responses_can_be_wrong() {
    let cases: [(Reply, &str); 5] = [
        (Reply::garbage_of("~~~"), "~~~"),
        (
            Reply::status(200).body("abc").content_length(5),
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        ),
        (
            Reply::status(200).body("abcde").content_length(3).then_close(),
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcde",
        ),
        (
            Reply::status(299).body("abc").chunked().drip(2, Duration::ZERO).connection_close(),
            "HTTP/1.1 299 Unknown\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n\
             2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ),
        (Reply::status(204).body("never sent").then_close(), "HTTP/1.1 204 No Content\r\n\r\n"),
    ];
    for (reply, expected) in cases {
        let receiver = Receiver::builder().otherwise(reply).start().unwrap();
        let mut sender = Sender::connect(receiver.address()).await;
        sender.send("/a", "{}").await.unwrap();
        let (bytes, ended) = timeout(SOON, sender.rest()).await.unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
        assert_eq!(kind(&ended), None);
    }
}

#[tokio::test]
async fn a_connection_can_end_after_a_response() {
    let receiver = Receiver::builder()
        .reply(Reply::status(204).then_reset())
        .requests_per_connection(2)
        .start()
        .unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    sender.send("/a", "{}").await.unwrap();
    let (bytes, ended) = sender.rest().await;
    assert!(bytes.starts_with(b"HTTP/1.1 204"));
    assert_eq!(kind(&ended), Some(ErrorKind::ConnectionReset));

    let mut sender = Sender::connect(receiver.address()).await;
    for _ in 0..2 {
        let answer = sender.post("/a", "{}").await.unwrap();
        assert_eq!((answer.status, answer.header("connection")), (204, None));
    }
    let (bytes, ended) = timeout(SOON, sender.rest()).await.unwrap();
    assert_eq!((bytes.len(), kind(&ended)), (0, None));
}

#[tokio::test]
async fn requests_are_read_however_they_are_sent() {
    let receiver = Receiver::start().unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    let chunked = "POST /chunked HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n\
                   4;x=y\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n";
    let pipelined = "POST /one HTTP/1.1\r\ncontent-length: 1\r\n\r\n1\
                     POST /two HTTP/1.1\r\ncontent-length: 1\r\n\r\n2";
    // A byte at a time.
    for byte in chunked.as_bytes() {
        sender.stream.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(sender.answer().await.unwrap().status, 204);
    sender.stream.write_all(pipelined.as_bytes()).await.unwrap();
    for _ in 0..2 {
        assert_eq!(sender.answer().await.unwrap().status, 204);
    }
    let expecting = "POST /expecting HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n";
    sender.stream.write_all(expecting.as_bytes()).await.unwrap();
    assert_eq!(sender.answer().await.unwrap().status, 100);
    sender.stream.write_all(b"abc").await.unwrap();
    assert_eq!(sender.answer().await.unwrap().status, 204);

    let bodies: Vec<_> =
        receiver.requests().iter().map(|r| (r.path.clone(), r.body.clone())).collect();
    let expected = [("/chunked", "abcde"), ("/one", "1"), ("/two", "2"), ("/expecting", "abc")];
    assert_eq!(bodies, expected.map(|(path, body)| (path.to_owned(), body.into())));
}

#[tokio::test]
async fn it_goes_down_and_comes_back_on_the_same_port() {
    let receiver = Receiver::start().unwrap();
    let address = receiver.address();
    for _ in 0..3 {
        let mut sender = Sender::connect(address).await;
        assert_eq!(sender.post("/a", "{}").await.unwrap().status, 204);
        receiver.go_down().await;
        assert_eq!(receiver.ledger(Ledger::connections_open), 0);
        let _ = timeout(SOON, sender.rest()).await.unwrap();
        assert_eq!(kind(&TcpStream::connect(address).await), Some(ErrorKind::ConnectionRefused));
        receiver.come_back().unwrap();
        receiver.come_back().unwrap();
    }
    assert_eq!(receiver.requests().len(), 3);
    let mut sender = Sender::connect(address).await;
    drop(receiver);
    let _ = timeout(SOON, sender.rest()).await.unwrap();
}

#[tokio::test]
async fn a_port_can_refuse() {
    let receiver = Receiver::refusing().unwrap();
    let refused = TcpStream::connect(receiver.address()).await;
    assert_eq!(kind(&refused), Some(ErrorKind::ConnectionRefused));
    receiver.come_back().unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    assert_eq!(sender.post("/a", "{}").await.unwrap().status, 204);
}

#[tokio::test]
async fn a_wait_that_fails_says_what_was_seen() {
    let receiver = Receiver::start().unwrap();
    Sender::connect(receiver.address()).await.post("/a", "{}").await.unwrap();
    let error = receiver.wait_for(2, Duration::from_millis(10)).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("2 requests did not happen within 10ms; so far: 1 requests"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn it_works_while_the_test_s_clock_is_paused() {
    let receiver = Receiver::builder()
        .otherwise(Reply::status(204).after(Duration::from_millis(30)))
        .start()
        .unwrap();
    let address = receiver.address();
    let sending = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut tcp = std::net::TcpStream::connect(address).unwrap();
        tcp.write_all(b"POST / HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
        tcp.read_to_end(&mut Vec::new()).unwrap();
    });
    receiver.wait_until(SOON, |ledger| ledger.answered() == 1).await.unwrap();
    sending.join().unwrap();
}

#[tokio::test]
async fn urls_and_settings_lead_to_it() {
    let receiver = Receiver::start().unwrap();
    let port = receiver.address().port();
    assert_eq!(receiver.url("/a"), format!("http://127.0.0.1:{port}/a"));
    assert_eq!(receiver.url_at("localhost", "a"), format!("http://localhost:{port}/a"));
    let config = receiver.emitter_config("/a?b=c").unwrap();
    assert_eq!(config.url.as_str(), receiver.url("/a?b=c"));
}

#[tokio::test]
async fn a_request_s_signature_is_verified() {
    let secret = Secret::plain("supersecret").unwrap();
    let verifier = Verifier::new([secret.verifying_key()]);
    let receiver = Receiver::start().unwrap();
    for signature in [sign_plain("supersecret", b"{}"), sign_plain("another", b"{}")] {
        let mut sender = Sender::connect(receiver.address()).await;
        let request = format!(
            "POST / HTTP/1.1\r\nx-webhooks-signature: {signature}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        sender.stream.write_all(request.as_bytes()).await.unwrap();
        sender.answer().await.unwrap();
    }
    let verified: Vec<_> =
        receiver.requests().iter().map(|request| request.verify(&verifier)).collect();
    assert_eq!(verified, [Ok(()), Err(VerifyError::Mismatch)]);
}

#[tokio::test]
async fn a_sender_that_has_closed_its_side_is_answered() {
    let receiver = Receiver::start().unwrap();
    let mut sender = Sender::connect(receiver.address()).await;
    sender.send("/a", "{}").await.unwrap();
    sender.stream.shutdown().await.unwrap();
    assert_eq!(sender.answer().await.unwrap().status, 204);
}
