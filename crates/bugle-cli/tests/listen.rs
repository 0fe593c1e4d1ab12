//! `bugle listen`: what it prints, how it judges signatures, how it misbehaves.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use common::{Ran, bugle, finish, run, signal, wait_for_note};
use serde_json::Value;
use tokio::process::Child;

const EVENT: &str = r#"{"name":"invoice.paid","request_id":"r-1","payload":{"big":12345678901234567890123,"a":[]}}"#;

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
