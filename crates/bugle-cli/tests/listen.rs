//! `bugle listen`: what it prints, how it judges signatures, how it misbehaves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use common::{Ran, bugle, finish, run, signal, wait_for_note};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Child;

const EVENT: &str = concat!(
    r#"{"name":"invoice.paid","request_id":"r-1","#,
    r#""payload":{"big":12345678901234567890123,"a":[]}}"#,
);

/// A listening command, and its URL.
async fn listen(more: &[&str]) -> (Child, String) {
    let mut child = bugle(&[&["listen", "--port", "0"], more].concat()).spawn().unwrap();
    let line = wait_for_note(&mut child, |line| line.starts_with("listening on ")).await;
    (child, line.trim_start_matches("listening on ").to_owned())
}

async fn deliver(url: &str, more: &[&str], input: &str) -> Ran {
    let args = ["deliver", "--to", url, "--allow-private", "--json", "--retry-first", "1ms"];
    run(&[&args[..], more].concat(), input).await
}

fn lines(ran: &Ran) -> Vec<Value> {
    ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn it_says_what_came_and_whether_the_signature_holds() {
    let symmetric = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let table: [(&[&str], &[&str], &str); 6] = [
        (&["--secret", "s3cret"], &["--secret", "s3cret"], "holds"),
        (&["--secret", symmetric], &["--secret", symmetric], "holds"),
        (&["--secret", "other"], &["--secret", "s3cret"], "does_not_hold"),
        (&["--secret", symmetric], &["--secret", "s3cret"], "does_not_hold"),
        (&["--secret", "s3cret"], &[], "unsigned"),
        (&[], &["--secret", "s3cret"], "no_secret_given"),
    ];
    for (listening, delivering, verdict) in table {
        let (child, url) = listen(&[listening, &["--once", "--json"]].concat()).await;
        assert_eq!(deliver(&url, delivering, EVENT).await.code, 0);
        let ran = finish(child).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let webhook = &lines(&ran)[0];
        assert_eq!(webhook["signature"], verdict, "{webhook}");
        assert_eq!(webhook["event"], "invoice.paid");
        assert_eq!(webhook["request_id"], "r-1");
        assert_eq!(webhook["status"], 204);
        assert!(ran.stdout.contains(r#""body":{"big":12345678901234567890123,"a":[]}"#));
    }
}

#[tokio::test]
async fn a_person_reads_it_without_effort() {
    let (child, url) = listen(&["--once", "--secret", "s3cret"]).await;
    assert_eq!(deliver(&format!("{url}/hooks"), &["--secret", "s3cret"], EVENT).await.code, 0);
    let ran = finish(child).await;
    for part in [
        "invoice.paid",
        "r-1",
        "POST /hooks → 204 No Content",
        "signature holds",
        "\"big\": 12345678901234567890123,",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
    assert!(!ran.all().contains("s3cret"));
}

#[tokio::test]
async fn it_misbehaves_on_request() {
    let (child, url) =
        listen(&["--json", "--count", "3", "--status", "500", "--status", "200"]).await;
    let ran = deliver(&url, &[], &format!("{EVENT}\n{EVENT}")).await;
    // 500 and 200 for the first, 500 for the second: then it is gone.
    assert_eq!(ran.json()["emitters"][0]["delivered"], 1, "{ran:?}");
    let ran = finish(child).await;
    let statuses: Vec<_> = lines(&ran).iter().map(|line| line["status"].clone()).collect();
    assert_eq!(statuses, [500, 200, 500]);

    let (child, url) = listen(&["--reset", "--once"]).await;
    let ran = deliver(&url, &["--max-attempts", "1"], EVENT).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("reset the connection"), "{ran:?}");
    assert!(finish(child).await.stdout.contains("connection reset"));

    let (child, url) = listen(&["--hang"]).await;
    let ran = deliver(&url, &["--max-attempts", "1", "--timeout", "100ms"], EVENT).await;
    assert!(ran.stderr.contains("100ms passed"), "{ran:?}");
    signal(&child, "INT").await;
    let ran = finish(child).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("never answered"), "{ran:?}");
}

#[tokio::test]
async fn what_is_not_json_is_shown_harmlessly() {
    let (child, url) = listen(&["--once"]).await;
    let address = url.trim_start_matches("http://");
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = b"PUT /x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhi \x1b[31m\xff";
    tokio::io::AsyncWriteExt::write_all(&mut tcp, request).await.unwrap();
    let ran = finish(child).await;
    assert!(ran.stdout.contains("PUT /x"), "{ran:?}");
    assert!(ran.stdout.contains("hi \u{fffd}[31m\u{fffd}"), "{ran:?}");
    assert!(ran.stdout.contains("unsigned"), "{ran:?}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_an_error_in_words() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = run(&["listen", "--port", &port], "").await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("try another --port"), "{ran:?}");
}

/// Sends a request and answers its connection, which is still open.
async fn send(url: &str, name: &str) -> tokio::net::TcpStream {
    let address = url.trim_start_matches("http://");
    let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST / HTTP/1.1\r\nhost: x\r\nx-webhooks-event: {name}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    tcp
}

#[tokio::test]
async fn what_was_not_answered_in_full_is_not_shown_and_takes_no_place() {
    let (child, url) = listen(&["--json", "--count", "2", "--delay", "300ms"]).await;
    // Two that do not wait for their answer, before and between two that do.
    drop(send(&url, "gone.one").await);
    let mut tcp = send(&url, "here.one").await;
    let mut head = [0; 12];
    tcp.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 204");
    drop(send(&url, "gone.two").await);
    let mut tcp = send(&url, "here.two").await;
    tcp.read_exact(&mut head).await.unwrap();
    let ran = finish(child).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let events: Vec<_> = lines(&ran).iter().map(|line| line["event"].clone()).collect();
    assert_eq!(events, ["here.one", "here.two"]);
}

#[tokio::test]
async fn a_stop_shows_nothing_that_was_not_answered() {
    let (child, url) = listen(&["--json", "--delay", "1h"]).await;
    let mut tcp = send(&url, "waits").await;
    signal(&child, "TERM").await;
    let ran = finish(child).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:?}");
    let mut rest = Vec::new();
    // The connection ends, or is reset.
    let _ = tcp.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn it_ends_with_the_reader_of_its_output() {
    // At once, without a webhook that would have to be printed, and after one.
    for webhooks in [0, 1] {
        let (mut child, url) = listen(&["--json"]).await;
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..webhooks {
            assert_eq!(deliver(&url, &[], EVENT).await.code, 0);
            assert!(output.next_line().await.unwrap().is_some());
        }
        drop(output);
        let ran = finish(child).await;
        assert_eq!((ran.code, ran.all().contains("error")), (0, false), "{ran:?}");
    }
}

#[tokio::test]
async fn it_listens_on_a_name_and_in_brackets() {
    for host in ["localhost", "127.0.0.1", "[::1]", "::1", "0.0.0.0"] {
        let has_six = std::net::TcpListener::bind("[::1]:0").is_ok();
        if host.contains("::1") && !has_six {
            continue;
        }
        let (child, url) = listen(&["--once", "--json", "--host", host]).await;
        let url = url.replace("0.0.0.0", "127.0.0.1");
        assert_eq!(deliver(&url, &[], EVENT).await.code, 0, "{host}");
        assert_eq!(lines(&finish(child).await).len(), 1, "{host}");
    }
}

#[tokio::test]
async fn http_2_is_shown_once_answered_too() {
    let (child, url) = listen(&["--count", "3", "--json"]).await;
    let more = ["--http2", "--order", "unordered", "--window", "3"];
    let ran = deliver(&url, &more, &format!("{EVENT}\n").replace("r-1", "r-7").repeat(3)).await;
    assert_eq!(ran.json()["emitters"][0]["delivered"], 3, "{ran:?}");
    assert_eq!(lines(&finish(child).await).len(), 3);
}
