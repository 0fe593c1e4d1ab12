//! `bugle sign`, `verify`, `keygen`, `completions`, and the help.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use common::{bugle, finish, run};

const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Signs a body, and answers a file with the headers.
async fn signed(secrets: &[&str], body: &[u8], more: &[&str]) -> tempfile::NamedTempFile {
    let keys = secrets.iter().flat_map(|secret| ["--secret", secret]);
    let args: Vec<_> = ["sign"].into_iter().chain(keys).chain(more.iter().copied()).collect();
    let ran = run(&args, body).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ran.stdout).unwrap();
    file
}

async fn verified(secret: &str, headers: &tempfile::NamedTempFile, body: &[u8]) -> i32 {
    let headers = headers.path().to_str().unwrap();
    run(&["verify", "--secret", secret, "--headers", headers], body).await.code
}

#[tokio::test]
async fn what_is_signed_verifies_and_nothing_else_does() {
    let pair = run(&["keygen", "--asymmetric"], "").await.stdout;
    let (private, public) = pair.trim_end().split_once('\n').unwrap();
    let fresh = run(&["keygen"], "").await.stdout;
    let body = b"{\"a\": \xff}";
    for (secret, key) in [
        ("supersecret", "supersecret"),
        (SYMMETRIC, SYMMETRIC),
        (private, public),
        (fresh.trim_end(), fresh.trim_end()),
    ] {
        let headers = signed(&[secret], body, &[]).await;
        assert_eq!(verified(key, &headers, body).await, 0, "{key}");
        assert_eq!(verified(key, &headers, b"{\"a\": 2}").await, 1, "{key}");
        assert_eq!(verified("another", &headers, body).await, 1, "{key}");
    }
    // While keys are rotated, either will do.
    let both = signed(&["new", "old"], body, &[]).await;
    assert_eq!((verified("new", &both, body).await, verified("old", &both, body).await), (0, 0));
    // A replay is told from the timestamp.
    let old = signed(&[SYMMETRIC], body, &["--timestamp", "1614265330", "--id", "msg_1"]).await;
    assert_eq!(verified(SYMMETRIC, &old, body).await, 1);
    let path = old.path().to_str().unwrap();
    let args = ["verify", "--secret", SYMMETRIC, "--headers", path, "--at", "1614265400"];
    assert_eq!(run(&args, body).await.code, 0);
}

#[tokio::test]
async fn the_standards_own_example_verifies() {
    // From the specification's test vectors.
    let body = r#"{"test": 2432232314}"#;
    let args = [
        "verify",
        "--secret",
        SYMMETRIC,
        "--at",
        "1614265330",
        "-H",
        "webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek",
        "-H",
        "Webhook-Timestamp: 1614265330",
        "-H",
        "webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "--json",
    ];
    let ran = run(&args, body).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["valid"], true);
    let ran = run(&args, "{}").await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()["valid"], false);
}

#[tokio::test]
async fn headers_are_printed_as_curl_takes_them() {
    let args = ["sign", "--secret", "supersecret", "--id", "r-1", "--timestamp", "7"];
    let more = ["--event", "a.b", "--identifier", "Acme"];
    let ran = run(&[&args[..], &more].concat(), "{}").await;
    let names: Vec<_> =
        ran.stdout.lines().map(|line| line.split_once(": ").unwrap()).collect::<Vec<_>>();
    assert_eq!(names[0], ("X-Acme-Event", "a.b"));
    assert_eq!(names[1], ("X-Acme-Delivery", "r-1"));
    assert_eq!(names[2].0, "X-Acme-Signature");
    assert!(names[2].1.starts_with("sha256:"));
    assert_eq!(names[3], ("webhook-id", "r-1"));
    assert_eq!(names[4], ("webhook-timestamp", "7"));
}

#[tokio::test]
async fn mistakes_are_said_in_words() {
    let table: [(&[&str], &str); 6] = [
        (&["sign"], "bugle keygen"),
        (&["sign", "--secret", "a", "--id", "a.b"], "request id"),
        (&["sign", "--secret", "a", "/no/such"], "/no/such can't be read"),
        (&["verify"], "give --secret, --secret-file"),
        (&["verify", "--secret", "a", "-H", "nonsense"], "write it like 'Name: value'"),
        (&["nonsense"], "unrecognized subcommand"),
    ];
    for (args, expected) in table {
        let ran = run(args, "").await;
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{args:?}: {ran:?}");
    }
}

#[tokio::test]
async fn help_and_completions_are_there_and_a_broken_pipe_is_no_panic() {
    for command in ["deliver", "listen", "demo", "sign", "verify", "keygen", "completions"] {
        let ran = run(&[command, "--help"], "").await;
        assert_eq!(ran.code, 0);
        assert!(ran.stdout.contains("Examples:"), "{command}");
        assert!(ran.stdout.contains(&format!("bugle {command}")), "{command}");
    }
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell], "").await.stdout.contains("deliver"));
    }
    for args in [&["completions", "bash"][..], &["demo", "--seconds", "2"]] {
        let mut child = bugle(args).spawn().unwrap();
        drop(child.stdout.take());
        let ran = finish(child).await;
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        assert_eq!((ran.code, ran.stderr.contains("error")), (0, false), "{ran:?}");
    }
}

#[tokio::test]
async fn every_command_that_prints_ends_in_silence_with_its_reader() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (store, events) = (path("store"), path("events"));
    let receiver = bugle_testkit::Receiver::start().unwrap();
    receiver.otherwise(bugle_testkit::Reply::status(500));
    let url = receiver.url("/");
    std::fs::write(&events, "{\"name\":\"a\",\"payload\":{}}\nnonsense\n".repeat(500)).unwrap();
    let fill = ["deliver", "-", "--to", &url, "--allow-private", "--max-attempts", "1", "--quiet"];
    let more = ["--store", &store, "--retry-first", "1ms", "--retry-max", "1ms"];
    let line = "{\"name\":\"a\",\"request_id\":\"r-1\",\"payload\":{}}\n";
    assert_eq!(run(&[&fill[..], &more].concat(), line).await.code, 1);
    receiver.otherwise(bugle_testkit::Reply::status(204));
    let deliver = ["deliver", &events, "--to", &url, "--allow-private", "--quiet"];
    let table: [(&[&str], i32); 13] = [
        (&["attempts", "--store", &store], 0),
        (&["attempts", "1", "--store", &store, "--json"], 0),
        (&["dead-letters", "--store", &store, "--all"], 0),
        (&["events", "list", "--store", &store, "--json"], 0),
        (&["events", "show", "r-1", "--store", &store], 0),
        (&["events", "types"], 0),
        (&["events", "schema", "msg_created"], 0),
        (&["events", "validate", &events, "--json"], 0),
        (&["keygen"], 0),
        (&["sign", "--secret", "a"], 0),
        (&["--help"], 0),
        // It has not done its work, whether somebody reads that or not.
        (&deliver, 1),
        (&["listen", "--port", "0"], 0),
    ];
    for (args, code) in table {
        let mut child = bugle(args).spawn().unwrap();
        drop(child.stdout.take());
        drop(child.stdin.take());
        let ran = finish(child).await;
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(!ran.stderr.contains("error") && !ran.stderr.contains("panicked"), "{ran:?}");
    }
}
