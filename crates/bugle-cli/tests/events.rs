//! `bugle events`: types, schemas, and a file of events with good and bad lines.

#![allow(clippy::unwrap_used)]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const FILE: &str = r#"{"type":"wait_timed_out","created_on":"2006-01-02T15:04:05Z"}

{"type":"do_the_foo"}
{"created_on":"2006-01-02T15:04:05Z"}
{"type":"email_created","created_on":"2006-01-02T15:04:05Z"}
not json
{"type":"contact_name_changed","created_on":"2006-01-02T15:04:05Z","name":"Bob"}"#;

fn events(args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bugle"))
        .arg("events")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn the_types_are_listed() {
    let listed = lines(&events(&["types"], ""));
    assert_eq!(listed.len(), 24, "{listed:#?}");
    assert!(listed[1].starts_with("broadcast_created "), "{}", listed[1]);
    let described = lines(&events(&["types", "--json"], ""));
    let first: Value = serde_json::from_str(&described[0]).unwrap();
    assert_eq!(first["name"], "broadcast_created");
    assert!(!first["description"].as_str().unwrap().is_empty());
}

#[test]
fn a_schema_is_printed() {
    let output = events(&["schema", "msg_wait"], "");
    let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["properties"]["type"]["const"], "msg_wait");
    let output = events(&["schema", "do_the_foo"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("unknown type: 'do_the_foo'"));
}

#[test]
fn each_line_that_fails_is_told_with_its_number() {
    let output = events(&["validate", "-"], FILE);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        lines(&output),
        [
            "line 3: unknown type: 'do_the_foo'",
            "line 4: field 'type' is required",
            "line 5: field 'addresses' is required, field 'subject' is required",
            "line 6: it is not JSON: expected ident at column 2",
            "2 valid events, 4 invalid",
        ]
    );
}

#[test]
fn the_lines_that_are_delivered_are_checked_too() {
    let table = [
        (r#"{"name":"invoice.paid","payload":{"id":1},"request_id":"r-1","key":"k"}"#, None),
        (
            concat!(
                r#" {"name":"wait_timed_out","payload":{"type":"wait_timed_out","#,
                r#""created_on":"2006-01-02T15:04:05Z"}}"#,
            ),
            None,
        ),
        (r#"{"name":"wait_timed_out","payload":{}}"#, Some("payload: field 'type' is required")),
        (r#"{"name":"invoice paid","payload":{}}"#, Some("event name \"invoice paid\"")),
        (r#"{"name":"a","payload":[1]}"#, Some("a payload is a JSON object, not [1]")),
        (r#"{"name":"a"}"#, Some("`payload` is missing")),
        (r#"{"payload":{}}"#, Some("`name` is missing")),
        (r#"{"name":"a","payload":{},"request_id":"a.b"}"#, Some("request id \"a.b\"")),
        (r#"{"name":"Bob","type":"do_the_foo"}"#, Some("unknown type: 'do_the_foo'")),
    ];
    for (line, wrong) in table {
        let output = events(&["validate"], line);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        match wrong {
            None => assert_eq!(lines(&output), ["1 valid event, 0 invalid"], "{line}"),
            Some(wrong) => {
                assert!(lines(&output)[0].contains(wrong), "{line}: {:?}", lines(&output));
                assert!(stderr.contains("a line is a typed event, like {"), "{stderr}");
            }
        }
    }
}

#[test]
fn programs_are_told_in_json() {
    let output = events(&["validate", "--json"], FILE);
    assert_eq!(output.status.code(), Some(1));
    let told: Vec<Value> =
        lines(&output).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        told[0],
        json!({"line": 3, "code": "invalidEvent", "message": "unknown type: 'do_the_foo'"})
    );
    assert_eq!(told[4], json!({"valid": 2, "invalid": 4}));
}

#[test]
fn good_events_and_a_missing_file_have_their_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("events.jsonl");
    std::fs::write(&file, FILE.lines().next().unwrap()).unwrap();
    let output = events(&["validate", file.to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(lines(&output), ["1 valid event, 0 invalid"]);
    let output = events(&["validate", "/there/is/no/such.file"], "");
    assert_eq!(output.status.code(), Some(2));
}
