//! `bugle deliver`: what arrives, what is reported, and with which exit code.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use std::time::Duration;

use bugle::{Secret, Verifier, VerifyingKey};
use bugle_testkit::{Received, Receiver, Reply};
use common::{DEADLINE, Ran, bugle, feed, finish, run, signal};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

const SYMMETRIC: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn event(number: u64) -> String {
    format!("{{\"name\":\"invoice.paid\",\"payload\":{{\"id\":{number}}}}}\n")
}

fn events(count: u64) -> String {
    (1..=count).map(event).collect()
}

/// `deliver --to URL --allow-private --json`, and more.
async fn deliver(receiver: &Receiver, more: &[&str], input: impl AsRef<[u8]>) -> Ran {
    let url = receiver.url("/hooks");
    let args = ["deliver", "--to", &url, "--allow-private", "--json", "--retry-first", "10ms"];
    run(&[&args[..], more].concat(), input).await
}

fn verify(keys: &[&str], received: &Received) {
    let keys = keys.iter().map(|key| VerifyingKey::parse(key).unwrap());
    let header = |name: &str| received.header(name);
    Verifier::new(keys).verify(header, &received.body, jiff::Timestamp::now()).unwrap();
}

#[tokio::test]
async fn an_event_arrives_byte_for_byte_and_signed() {
    let receiver = Receiver::start().unwrap();
    let (private, public) = Secret::generate_signing_key().unwrap();
    let payload = r#"{ "b":1.0, "a":[1e2,12345678901234567890123], "u":"\u00e9é" }"#;
    let line =
        format!("{{\"name\":\"invoice.paid\",\"request_id\":\"r-1\",\"payload\":{payload}}}\n");
    let secrets = ["--secret", "supersecret", "--secret", SYMMETRIC, "--secret", private.reveal()];
    let extra = ["--header", "X-Tenant: seven", "--identifier", "Acme"];
    let ran = deliver(&receiver, &[&secrets[..], &extra].concat(), line).await;
    assert_eq!(ran.code, 0, "{ran:?}");

    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/hooks");
    assert_eq!(request.body, payload);
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-acme-event", "invoice.paid"),
        ("x-acme-delivery", "r-1"),
        ("webhook-id", "r-1"),
        ("x-tenant", "seven"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert!(request.header("user-agent").unwrap().starts_with("Bugle/"));
    verify(&[SYMMETRIC], request);
    verify(&[&public.to_string()], request);
    let plain = Verifier::new([VerifyingKey::parse("supersecret").unwrap()]);
    let plain = plain.header_identifier("Acme");
    let now = jiff::Timestamp::now();
    plain.verify(|name| request.header(name), &request.body, now).unwrap();

    let mut summary = ran.json();
    assert!(summary["elapsed_ms"].is_u64());
    summary["elapsed_ms"] = json!(0);
    let id = receiver.address().to_string();
    let emitter = json!({"id": id, "url": receiver.url("/hooks"), "delivered": 1,
                         "dead_lettered": 0, "pending": 0});
    let expected = json!({"accepted": 1, "invalid_lines": 0, "attempts": 1, "elapsed_ms": 0,
                          "emitters": [emitter]});
    assert_eq!(summary, expected);
}

#[tokio::test]
async fn a_secret_may_come_from_the_environment_or_a_file_and_is_never_shown() {
    let receiver = Receiver::start().unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("# the receiver's\n\n{SYMMETRIC}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let url = receiver.url("/");
    let args = ["deliver", "-vvv", "--to", &url, "--allow-private", "--secret-file", path];
    let child = bugle(&args).env("BUGLE_SECRET", "supersecret").spawn().unwrap();
    let ran = feed(child, event(1)).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    verify(&[SYMMETRIC], &receiver.requests()[0]);
    verify(&["supersecret"], &receiver.requests()[0]);
    let secret_part = SYMMETRIC.trim_start_matches("whsec_");
    assert!(!ran.all().contains("supersecret") && !ran.all().contains(secret_part));

    for bad in ["whsec_c2hvcnQ=", "whsk_%%%%secret", " padded-secret"] {
        let ran = run(&["deliver", "--to", "http://a", "--secret", bad], "").await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(!ran.all().contains(bad.trim().trim_start_matches("whsec_")), "{ran:?}");
    }
    let help = bugle(&["deliver", "--help"]).env("BUGLE_SECRET", "supersecret").spawn().unwrap();
    assert!(!finish(help).await.all().contains("supersecret"));
}

#[tokio::test]
async fn bad_lines_are_reported_and_stop_nothing() {
    let receiver = Receiver::start().unwrap();
    let long = format!("{{\"name\":\"x\",\"payload\":{{\"a\":\"{}\"}}}}", "x".repeat(20_000));
    let input = [
        event(1).trim_end(),
        "nonsense",
        "",
        "[1]",
        r#"{"payload":{}}"#,
        r#"{"name":"a"}"#,
        r#"{"name":"a b","payload":{}}"#,
        r#"{"name":"a","payload":[]}"#,
        r#"{"name":"a","payload":{},"request_id":"a.b"}"#,
        &long,
        r#"{"name":"a","payload":{},"colour":"red"}"#,
        &format!("{}\r", event(2).trim_end()),
    ]
    .join("\n");
    let ran = deliver(&receiver, &["--max-payload", "1000"], input).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let summary = ran.json();
    assert_eq!((&summary["accepted"], &summary["invalid_lines"]), (&json!(3), &json!(8)));
    assert_eq!(summary["emitters"][0]["delivered"], 3);
    for reason in [
        "line 2: it is not JSON",
        "line 4: invalid type: sequence",
        "line 5: `name` is missing",
        "line 6: `payload` is missing",
        "line 7: event name \"a b\"",
        "line 8: a payload is a JSON object, not a list",
        "line 9: request id \"a.b\"",
        "line 10: it is longer than",
        "\"colour\" (line 11) is passed over",
    ] {
        assert!(ran.stderr.contains(reason), "{reason}: {}", ran.stderr);
    }
    let bodies: Vec<_> = receiver.requests().iter().map(|request| request.body.clone()).collect();
    assert_eq!(bodies, ["{\"id\":1}", "{}", "{\"id\":2}"]);
}

#[tokio::test]
async fn strict_stops_at_the_first_bad_line_and_delivers_what_was_before() {
    let receiver = Receiver::start().unwrap();
    let input = format!("{}nonsense\n{}", events(2), event(3));
    let ran = deliver(&receiver, &["--strict"], input).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let summary = ran.json();
    assert_eq!((&summary["accepted"], &summary["invalid_lines"]), (&json!(2), &json!(1)));
    assert_eq!(summary["emitters"][0]["delivered"], 2);
}

#[tokio::test]
async fn with_a_name_for_all_each_line_is_a_payload() {
    let receiver = Receiver::start().unwrap();
    let ran = deliver(&receiver, &["--event", "app.logged"], " {\"name\": 7, \"a\":[ ]} \n").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let request = &receiver.requests()[0];
    assert_eq!(request.event(), Some("app.logged"));
    assert_eq!(request.body, "{\"name\": 7, \"a\":[ ]}");
}

#[tokio::test]
async fn loopback_is_refused_until_it_is_allowed() {
    let receiver = Receiver::start().unwrap();
    let url = receiver.url("/");
    let ran = run(&["deliver", "--to", &url, "--json"], events(3)).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("--allow-private"), "{ran:?}");
    assert!(ran.stderr.contains("127.0.0.1 is a loopback address"), "{ran:?}");
    assert!(!ran.stderr.contains("allow_private_destinations"), "{ran:?}");
    assert_eq!(ran.stderr.lines().count(), 1, "said once: {ran:?}");
    assert_eq!(ran.json()["emitters"][0]["dead_lettered"], 3);
    assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 0);

    let args = ["deliver", "--to", &url, "--allow-destination", "127.0.0.0/8"];
    assert_eq!(run(&args, events(3)).await.code, 0);
}

#[tokio::test]
async fn a_receiver_in_trouble_is_no_trouble_for_another() {
    let healthy = Receiver::start().unwrap();
    let failing = Receiver::builder().otherwise(Reply::status(500)).start().unwrap();
    let (to_healthy, to_failing) = (healthy.url("/a"), failing.url("/b"));
    let another = healthy.url("/c");
    let args = ["deliver", "--to", &to_failing, "--to", &to_healthy, "--to", &another];
    let more = ["--allow-private", "--json", "--max-attempts", "2", "--retry-first", "1ms"];
    let input = format!("{}\nnonsense\n{}", event(1), events(2));
    let ran = run(&[&args[..], &more].concat(), input).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    for line in [1, 4, 5] {
        assert!(ran.stderr.contains(&format!("gave up on line {line} (id ")), "{ran:?}");
    }
    assert!(ran.stderr.contains("HTTP POST request returned status 500"), "{ran:?}");
    let summary = ran.json();
    assert_eq!(summary["attempts"], 3 * 2 + 3 + 3);
    let of = |at: usize, field: &str| summary["emitters"][at][field].clone();
    assert_eq!((of(0, "delivered"), of(0, "dead_lettered")), (json!(0), json!(3)));
    assert_eq!((of(1, "delivered"), of(2, "delivered")), (json!(3), json!(3)));
    assert_ne!(of(1, "id"), of(2, "id"), "two emitters at one address");
    assert_eq!(healthy.requests().len(), 6);
    let codes: Vec<_> = summary["errors"].as_array().unwrap().iter().map(|e| &e["code"]).collect();
    assert_eq!(codes, ["invalidLine", "badHttpStatus"]);
}

#[tokio::test]
async fn order_and_window_are_the_emitters() {
    let receiver = Receiver::start().unwrap();
    let gate = receiver.hold();
    let url = receiver.url("/");
    let args =
        ["deliver", "--to", &url, "--allow-private", "--order", "unordered", "--window", "4"];
    let running = tokio::spawn(feed(bugle(&args).spawn().unwrap(), events(9)));
    // A window opens gradually, so that more than one at a time is what can be waited for.
    receiver.wait_for(1, DEADLINE).await.unwrap();
    gate.open();
    assert_eq!(running.await.unwrap().code, 0);
    assert_eq!(receiver.requests().len(), 9);

    let ran = deliver(&receiver, &["--order", "per-key", "--window", "0"], "").await;
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[tokio::test]
async fn many_lines_go_through_in_order() {
    let receiver = Receiver::start().unwrap();
    let count = 5_000;
    let ran = deliver(&receiver, &[], events(count)).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.json()["emitters"][0]["delivered"], count);
    let numbers: Vec<u64> = receiver
        .requests()
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["id"].as_u64())
        .map(Option::unwrap)
        .collect();
    assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_line_is_delivered_while_the_input_goes_on() {
    let receiver = Receiver::start().unwrap();
    let url = receiver.url("/");
    let mut child = bugle(&["deliver", "--to", &url, "--allow-private"]).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for number in 1..=3 {
        stdin.write_all(event(number).as_bytes()).await.unwrap();
        receiver.wait_for(usize::try_from(number).unwrap(), DEADLINE).await.unwrap();
    }
    drop(stdin);
    assert_eq!(finish(child).await.code, 0);
}

#[tokio::test]
async fn a_signal_lets_what_is_in_flight_finish_and_reports_the_rest() {
    for name in ["TERM", "INT"] {
        let receiver = Receiver::start().unwrap();
        let gate = receiver.hold();
        let url = receiver.url("/");
        let args = ["deliver", "--to", &url, "--allow-private", "--json", "--timeout", "50s"];
        let mut child = bugle(&args).spawn().unwrap();
        // The input stays open, as that of `tail -f` does.
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(events(5).as_bytes()).await.unwrap();
        receiver.wait_in_flight(1, DEADLINE).await.unwrap();
        signal(&child, name).await;
        common::wait_for_note(&mut child, |line| line.contains("in flight may finish")).await;
        gate.open();
        let ran = finish(child).await;
        assert_eq!(ran.code, 1, "{ran:?}");
        let summary = ran.json();
        let accepted = summary["accepted"].as_u64().unwrap();
        assert!((1..=5).contains(&accepted));
        let of = |field: &str| summary["emitters"][0][field].as_u64().unwrap();
        assert_eq!(of("delivered") + of("pending"), accepted, "{summary}");
        // Nothing that was in flight was cut off.
        assert_eq!(receiver.ledger(|ledger| ledger.abandoned()), 0);
        assert_eq!(receiver.requests().len() as u64, of("delivered"), "{summary}");
        drop(stdin);
    }
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let receiver = Receiver::builder().otherwise(Reply::hang()).start().unwrap();
    let url = receiver.url("/");
    let args = ["deliver", "--to", &url, "--allow-private", "--json"];
    let patience = ["--timeout", "10m", "--grace", "10m"];
    let mut child = bugle(&[&args[..], &patience].concat()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(event(1).as_bytes()).await.unwrap();
    receiver.wait_in_flight(1, DEADLINE).await.unwrap();
    signal(&child, "TERM").await;
    common::wait_for_note(&mut child, |line| line.contains("in flight may finish")).await;
    signal(&child, "TERM").await;
    let ran = finish(child).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.json()["emitters"][0]["pending"], 1);
}

#[tokio::test]
async fn what_is_not_understood_is_said_with_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let table: [(&[&str], &str); 15] = [
        (&[], "--to <URL>"),
        (&["--to", "http://a", "--window", "2"], "--window: strict order sends one at a time"),
        (&["--to", "http://a", "--patient", "--retry-max", "2m"], "cannot be used with"),
        (&["--to", "http://a", "--to", "HTTP://A:80/#x"], "http://a/ stands there twice"),
        (&["--to", "example.com"], "write it like https://example.com/hooks"),
        (&["--to", "https://u:hunter2@example.com"], "credentials"),
        (&["/no/such/file", "--to", "http://a"], "/no/such/file can't be read"),
        (&[dir, "--to", "http://a"], "is a directory"),
        (&["--to", "http://a", "--event", "a b"], "--event: event name"),
        (&["--to", "http://a", "--max-attempts", "0"], "--max-attempts: an event gets at least 1"),
        (&["--to", "http://a", "--retry-first", "2m"], "--retry-first: the first interval"),
        (&["--to", "http://a", "-H", "nonsense"], "--header: write it like"),
        (&["--to", "http://a", "-H", "Host: b"], "--header: \"Host\" belongs to the delivery"),
        (&["--to", "http://a", "--ca", "/no/ca.pem"], "--ca /no/ca.pem"),
        (&["--to", "http://a", "--timeout", "soon"], "write it like 500ms"),
    ];
    for (args, expected) in table {
        let ran = run(&[&["deliver"], args].concat(), "").await;
        assert_eq!(ran.code, 2, "{args:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{args:?}: {ran:?}");
        assert!(!ran.all().contains("hunter2"), "{ran:?}");
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
}

#[tokio::test]
async fn the_summary_for_a_person_has_a_line_for_each_receiver() {
    let receiver = Receiver::start().unwrap();
    let refusing = Receiver::refusing().unwrap();
    let (good, bad) = (receiver.url("/good"), refusing.url("/bad"));
    let args = ["deliver", "--to", &good, "--to", &bad, "--allow-private", "--max-attempts", "1"];
    let ran = run(&args, events(2)).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let line = |url: &str| ran.stdout.lines().find(|line| line.starts_with(url)).unwrap();
    let cells = |url: &str| line(url).split_whitespace().skip(1).take(4).collect::<Vec<_>>();
    assert_eq!(cells(&good), ["2", "0", "0", "2"]);
    assert_eq!(cells(&bad), ["0", "2", "0", "2"]);
    assert!(ran.stdout.contains(&format!("{bad}: connecting to")), "{ran:?}");
    assert!(ran.stdout.contains("2 events accepted"), "{ran:?}");
    assert!(!ran.stdout.contains('\u{1b}'), "no colours into a pipe: {ran:?}");
}

#[tokio::test]
async fn a_slow_receiver_is_waited_for_no_longer_than_told() {
    let receiver = Receiver::builder().otherwise(Reply::hang()).start().unwrap();
    let ran = deliver(&receiver, &["--timeout", "50ms", "--max-attempts", "1"], event(1)).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("50ms passed while waiting for the response"), "{ran:?}");
    let slow = Receiver::builder().otherwise(Reply::status(200).after(Duration::from_millis(50)));
    assert_eq!(deliver(&slow.start().unwrap(), &[], event(1)).await.code, 0);
}
