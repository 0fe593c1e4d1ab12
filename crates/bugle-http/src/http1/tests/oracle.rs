//! hyper as the oracle: our client accepts all answers that hyper's does, with the same meaning.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use super::super::answer::{End, Whole};
use super::{pieces, read};

/// An answer as hyper reads it.
#[derive(Debug)]
struct Seen {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// True when the body was whole.
    whole: bool,
    /// True when another request may follow.
    reusable: bool,
}

/// Sends these bytes to hyper's client, and closes once it is clear that hyper waits for more.
/// `None` where it refuses the head.
async fn by_hyper(bytes: &[u8]) -> Option<Seen> {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post("/").header("host", "x").body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request);
    tokio::pin!(answer);
    let receiver = send(theirs, bytes);
    tokio::pin!(receiver);
    let mut receiver = Some(tokio::select! {
        biased;
        theirs = &mut receiver => theirs,
        _ = &mut answer => unreachable!("it answered nothing yet"),
    });
    let answer = match timeout(PATIENCE, &mut answer).await {
        Ok(answer) => answer,
        Err(_) => {
            receiver = None;
            answer.await
        }
    };
    let (head, body) = Response::into_parts(answer.ok()?);
    let (body, whole) = collect(body, &mut receiver).await;
    let ready = timeout(PATIENCE, sender.ready()).await;
    let reusable = receiver.is_some() && matches!(ready, Ok(Ok(())));
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let (status, headers) = (head.status.as_u16(), sorted(headers.collect()));
    Some(Seen { status, headers, body, whole, reusable })
}

/// The clock is paused, so this passes when nothing else can happen.
const PATIENCE: Duration = Duration::from_secs(1);

async fn send(mut theirs: DuplexStream, bytes: &[u8]) -> DuplexStream {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        theirs.read_buf(&mut request).await.unwrap();
    }
    theirs.write_all(bytes).await.unwrap();
    theirs
}

async fn collect(mut body: Incoming, receiver: &mut Option<DuplexStream>) -> (Vec<u8>, bool) {
    let mut collected = Vec::new();
    loop {
        let frame = match timeout(PATIENCE, body.frame()).await {
            Ok(frame) => frame,
            Err(_) => {
                *receiver = None;
                body.frame().await
            }
        };
        match frame {
            None => return (collected, true),
            Some(Err(_)) => return (collected, false),
            Some(Ok(frame)) => collected.extend(frame.into_data().unwrap_or_default()),
        }
    }
}

/// Sorts by name; headers of one name keep their order, which has a meaning.
fn sorted(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    headers
}

fn compare(bytes: &[u8]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    let Some(seen) = runtime.block_on(by_hyper(bytes)) else { return Ok(()) };
    let ours = match read(bytes, &[]) {
        Ok(Some(ours)) => ours,
        other => return Err(TestCaseError::fail(format!("hyper sees {seen:?}, we {other:?}"))),
    };
    let Whole { head, body, end } = ours;
    prop_assert_eq!(head.status.as_u16(), seen.status);
    prop_assert_eq!(sorted(head.headers), seen.headers);
    prop_assert!(body.starts_with(&seen.body));
    if seen.whole {
        prop_assert_eq!(body, seen.body);
        prop_assert_ne!(end, End::Cut);
    }
    prop_assert!(seen.reusable || end != End::Clean, "hyper would not reuse the connection");
    Ok(())
}

/// Answers of which hyper accepts most.
fn tidy() -> impl Strategy<Value = String> {
    let interim = select(vec!["", "", "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"]);
    let status = select(vec!["1.1 200 OK", "1.1 204 X", "1.1 304 X", "1.0 200 OK", "1.1 101 X"]);
    let header = select(vec![
        "connection: close",
        "connection: keep-alive",
        "Connection: x, Close",
        "content-length: 5",
        "content-length: 5",
        "Content-Length: 5, 5",
        "content-length: 0",
        "transfer-encoding: chunked",
        "transfer-encoding: gzip, CHUNKED",
        "transfer-encoding: gzip",
        "x: y",
    ]);
    let body = select(vec![
        "",
        "hello",
        "hello, world",
        "hell",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;x=y\r\nhello\r\n0\r\nx: y\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "5\r\nhello\r\n",
    ]);
    (interim, status, vec(header, 0..4), body).prop_map(|(interim, status, headers, body)| {
        let headers: String = headers.into_iter().map(|line| format!("{line}\r\n")).collect();
        format!("{interim}HTTP/{status}\r\n{headers}\r\n{body}")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn what_hyper_takes_we_take(bytes in tidy()) {
        compare(bytes.as_bytes())?;
    }

    #[test]
    fn what_hyper_takes_of_odd_bytes_we_take(bytes in pieces::answer()) {
        compare(&bytes)?;
    }

    #[test]
    fn good_answers(
        status in 100_u16..=999,
        headers in vec("[a-z-]{1,8}: [ -~]{0,8}", 0..40),
        body in vec(any::<u8>(), 0..100),
        chunk in 0_usize..40,
    ) {
        let mut answer = format!("HTTP/1.1 {status} OK\r\n").into_bytes();
        for header in headers {
            answer.extend_from_slice(format!("x{header}\r\n").as_bytes());
        }
        if chunk == 0 {
            answer.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
            answer.extend_from_slice(&body);
        } else {
            answer.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            for chunk in body.chunks(chunk) {
                answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                answer.extend_from_slice(chunk);
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"0\r\n\r\n");
        }
        compare(&answer)?;
    }
}

/// Answers that hyper's client in its usual settings refuses or breaks off, and ours accepts: each
/// with the reason.
#[tokio::test(start_paused = true)]
async fn what_hyper_refuses_and_we_take() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for (bytes, why) in [
        ("HTTP/1.1  200  OK\r\n\r\n".to_owned(), "Python takes several spaces"),
        ("HTTP/1.1 200 OK\r\nx : y\r\n\r\n".to_owned(), "curl and Python take the space"),
        ("HTTP/1.1 200 OK\r\nx: y\r\n z\r\n\r\n".to_owned(), "all three unfold"),
        ("HTTP/1.1 200 OK\r\nno header\r\n\r\n".to_owned(), "Python passes over it"),
        (
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101)),
            "curl and node count bytes, not headers",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n".to_owned(), "the head decides"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n".to_owned(),
            "the head decides",
        ),
        (
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
            "RFC 9112 has the connection close, and nothing more",
        ),
        (format!("{chunked}2\nok\n0\n\n"), "curl and Python take lines that end in LF"),
        (format!("{chunked}2\r\nok"), "the head decides"),
    ] {
        let taken = read(bytes.as_bytes(), &[]);
        assert!(matches!(taken, Ok(Some(_))), "{bytes:?}: {taken:?}");
        let seen = by_hyper(bytes.as_bytes()).await;
        assert!(seen.is_none_or(|seen| !seen.whole), "hyper takes it too: {why}");
    }
}
