//! Faults of a command line, or of what it names: each with its exit code and its code for
//! programs, so that like faults end alike, and nothing less than was asked for is done.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use std::fs;

use common::{Ran, bugle, feed, run};
use serde_json::Value;

/// The kinds, and the exit code of each.
const KINDS: [(&str, i32); 6] = [
    ("invalidUsage", 2),
    ("notReadable", 2),
    ("notFound", 1),
    ("storeUnusable", 3),
    ("databaseUnusable", 3),
    ("systemRefused", 3),
];

fn exit_code(kind: &str) -> i32 {
    KINDS.iter().find(|(name, _)| *name == kind).unwrap().1
}

/// Runs a command line that is written with spaces, with and without `--json`, and sees to it that
/// both say the same.
async fn fails(line: &str, variables: &[(&str, &str)], kind: &str, said: &str) {
    let args: Vec<&str> = line.split(' ').collect();
    let with = async |more: &[&str]| -> Ran {
        let mut command = bugle(&[&args[..], more].concat());
        command.envs(variables.iter().copied());
        feed(command.spawn().unwrap(), "").await
    };
    let (text, json) = (with(&[]).await, with(&["--json"]).await);
    assert_eq!((text.code, json.code), (exit_code(kind), exit_code(kind)), "{line}: {text:?}");
    assert!(text.stderr.contains(said), "{line}: {said}: {}", text.stderr);
    assert_eq!(text.stdout, "", "{line}");
    assert_eq!(json.stderr, "", "{line}");
    let errors = json.json();
    let error = &errors["errors"][0];
    assert_eq!(error["code"], kind, "{line}: {errors}");
    let keys: Vec<_> = error.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "message"], "{line}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(said), "{line}: {said}: {message}");
    for raw in ["os error", "SQLITE", "Error {", "unable to open database"] {
        assert!(!message.contains(raw), "{line}: {message}");
    }
}

#[tokio::test]
async fn like_faults_end_alike() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (file, empty, missing) = (path("file"), path("empty"), path("missing"));
    fs::write(&file, "{}\n").unwrap();
    fs::create_dir(&empty).unwrap();
    let (foreign, damaged) = (path("foreign"), path("damaged"));
    fs::create_dir(&damaged).unwrap();
    fs::write(format!("{damaged}/bugle.db"), "this is no database".repeat(1_000)).unwrap();
    fs::create_dir(&foreign).unwrap();
    let beneath = format!("{file}/store");
    // A store that is not there, or none, is said alike by all that read one.
    for command in [
        "attempts",
        "attempts 7",
        "dead-letters",
        "events list",
        "events show r-1",
        "replay r-1 --emitter a",
        "deliver",
    ] {
        for (store, said) in [
            (&missing, "there is no such directory"),
            (&file, "is a file, and a store is a directory"),
            (&empty, "has none of a store's files"),
            (&beneath, "there is no store in"),
        ] {
            fails(&format!("{command} --store {store}"), &[], "notReadable", said).await;
        }
        fails(&format!("{command} --store {damaged}"), &[], "storeUnusable", "is damaged").await;
    }
    for store in [&file, &beneath, &"/proc/none/store".to_owned()] {
        let line = format!("deliver - --to http://a --store {store}");
        fails(&line, &[], "notReadable", store).await;
    }
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0, "looking makes nothing");
    // So are files, wherever one is named.
    for line in [
        "deliver FILE --to http://a",
        "deliver - --to http://a --secret-file FILE",
        "deliver - --to http://a --ca FILE",
        "deliver - --to http://a --client-cert FILE --client-key FILE",
        "events validate FILE",
        "sign --secret a FILE",
        "verify --secret a FILE",
        "verify --secret a --headers FILE -",
        "verify --secret-file FILE -",
        "listen --secret-file FILE",
        "relay --postgres postgres://a/b --audit a --to http://a --secret-file FILE",
        "relay --postgres postgres://a/b --postgres-ca FILE --audit a --to http://a",
    ] {
        for (name, said) in [(&missing, "there is no such file"), (&empty, "is a directory")] {
            fails(&line.replace("FILE", name), &[], "notReadable", said).await;
        }
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let said = "something listens there already";
    fails(&format!("listen --port {port}"), &[], "systemRefused", said).await;
    let line = "relay --postgres postgres://a@127.0.0.1:1/b --audit a --to http://a";
    fails(line, &[], "databaseUnusable", "127.0.0.1").await;
    fails("listen --host no.such.host.invalid", &[], "invalidUsage", "is not known").await;
    fails("listen --host 192.0.2.1", &[], "invalidUsage", "no address of this machine's").await;
}

#[tokio::test]
async fn signing_is_never_left_out_by_accident() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys").to_str().unwrap().to_owned();
    let commands = [
        "deliver - --to http://a",
        "sign",
        "verify",
        "listen --port 0",
        "relay --postgres postgres://a/b --audit a --to http://a",
    ];
    for command in commands {
        for empty in ["", "\n \n", "# no key yet\n", "\u{feff}"] {
            fs::write(&path, empty).unwrap();
            let line = format!("{command} --secret-file {path}");
            fails(&line, &[], "invalidUsage", &format!("--secret-file {path} has no key")).await;
        }
        for empty in ["", " ", "\n"] {
            let said = "the variable BUGLE_SECRET is set, and empty";
            fails(command, &[("BUGLE_SECRET", empty)], "invalidUsage", said).await;
        }
        let said = "the variable BUGLE_SECRET holds no key";
        fails(command, &[("BUGLE_SECRET", "whsec_%")], "invalidUsage", said).await;
        let args: Vec<&str> = command.split(' ').chain(["--secret", ""]).collect();
        let ran = run(&args, "").await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("--secret: a secret is empty"), "{ran:?}");
    }
}

#[tokio::test]
async fn what_would_have_no_effect_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let headers = dir.path().join("headers").to_str().unwrap().to_owned();
    fs::write(&headers, "HTTP/1.1 200 OK\n\n").unwrap();
    let table = [
        ("deliver --store d --secret a", "--secret: it goes with --to"),
        ("deliver --store d --timeout 3s", "--to <URL>"),
        ("deliver --store d --rate 5", "--to <URL>"),
        ("deliver --store d --header a:b", "--to <URL>"),
        ("deliver --store d --allow-private", "--to <URL>"),
        ("deliver --store d --identifier Acme", "--to <URL>"),
        ("deliver --store d --event a.b", "--event: there is no file to read"),
        ("deliver --store d --again", "--again: there is no file to read"),
        ("deliver --store d --strict", "--strict: there is no file to read"),
        ("deliver - --to http://a --window 4", "--window: strict order"),
        ("deliver - --to http://a --to http://a/", "stands there twice"),
        ("deliver - --to http://a/x?k=s3cret --to http://A./x?k=s3cret", "stands there twice"),
        ("listen --tolerance 5m", "--tolerance: there is no key"),
        ("listen --hang --status 500", "--status: nothing is answered"),
        ("listen --reset --delay 1s", "--delay: nothing is answered"),
        ("replay --store d --emitter a --since 9999-01-01", "is in the future"),
        ("replay --store d --emitter a r-1 --rate 5", "--rate: it goes with --since"),
        ("attempts --store d --after 9999-01-01", "--after: 9999-01-01 00:00:00.000"),
        ("dead-letters --store d --after 1h --before 2h", "nothing is between them"),
        ("events list --store d --after 2026-01-02 --before 2026-01-02", "nothing is between them"),
        ("relay --postgres postgres://a/b --audit a --to http://a --to http://a/", "twice"),
    ];
    for (line, said) in table {
        fails(line, &[], "invalidUsage", said).await;
    }
    let line = format!("verify --secret a --headers {headers}");
    fails(&line, &[], "invalidUsage", "has no header").await;
    for garbage in ["garbage", "warm", "bugle=loud", "info,nonsense"] {
        for command in ["keygen", "deliver - --to http://a", "attempts --store d"] {
            fails(command, &[("RUST_LOG", garbage)], "invalidUsage", "RUST_LOG: ").await;
        }
    }
}

#[tokio::test]
async fn the_table_of_exit_codes_is_in_the_help() {
    let help = run(&["--help"], "").await.stdout;
    for (_, code) in KINDS {
        assert!(help.contains(&format!("\n  {code}  ")), "{help}");
    }
    let ran = run(&["--version", "--json"], "").await;
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:?}");
    assert!(serde_json::from_str::<Value>(&ran.stdout).is_err(), "it is the version: {ran:?}");
}
