//! `bugle relay`: install, relay, be killed and go on, and errors that a stranger understands.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "these are tests")]

mod common;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;

use bugle_testkit::{Postgres, Receiver};
use common::{DEADLINE, bugle, finish, run, signal};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// A database of the shared server; `None`, said loudly, where there is no PostgreSQL.
fn database() -> Option<String> {
    Some(Postgres::shared()?.create_database().unwrap())
}

fn psql(url: &str, sql: &str) -> String {
    let psql = Postgres::binaries().unwrap().join("psql");
    let output = Command::new(psql)
        .args(["-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

const MEMBERS: &str = "create table members (id int primary key, first_name text);
                       create table logs (line text)";

#[tokio::test]
async fn it_is_installed_relays_and_is_taken_away_again() {
    let Some(url) = database() else { return };
    psql(&url, MEMBERS);
    let install = ["relay", "install", "--postgres", &url, "--audit", "members", "--outbox"];
    let shown = run(&[&install[..], &["--dry-run"]].concat(), "").await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.stdout.contains("create table if not exists \"public\".\"bugle_audit\""));
    let planned = run(&[&install[..], &["--dry-run", "--json"]].concat(), "").await.json();
    assert_eq!(planned["dry_run"], true);
    let statements = planned["statements"].as_array().unwrap();
    assert!(statements.iter().any(|sql| sql.as_str().unwrap().contains("bugle_outbox")));
    assert_eq!(psql(&url, "select to_regclass('bugle_audit') is null"), "t", "nothing was done");
    for _ in 0..2 {
        let installed = run(&install, "").await;
        assert_eq!(installed.code, 0, "{installed:?}");
    }
    psql(&url, "insert into members values (7, 'Ada')");
    psql(&url, "insert into bugle_outbox (name, payload) values ('invoice.paid', '{\"id\":1}')");

    let receiver = Receiver::start().unwrap();
    let to = receiver.url("/hooks");
    let relay = ["relay", "--postgres", &url, "--to", &to, "--allow-private"];
    let ran =
        run(&[&relay[..], &["--audit", "members", "--outbox", "--once", "--json"]].concat(), "")
            .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["emitters"][0]["delivered"], 2, "{ran:?}");
    let requests = receiver.requests();
    let names: BTreeSet<_> = requests.iter().map(|request| request.event().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["invoice.paid", "members.created"]));

    let uninstall = ["relay", "uninstall", "--postgres", &url, "--audit", "members", "--outbox"];
    let gone = run(&[&uninstall[..], &["--drop-table", "--json"]].concat(), "").await;
    assert_eq!((gone.code, &gone.json()["dry_run"]), (0, &false.into()), "{gone:?}");
    let left = "select count(*) from pg_trigger where not tgisinternal";
    assert_eq!(psql(&url, left), "0");
    assert_eq!(psql(&url, "select to_regclass('bugle_audit') is null"), "t");
    psql(&url, "insert into members values (8, 'Grace')");
}

#[tokio::test]
async fn what_is_wrong_is_told_in_words() {
    let Some(url) = database() else { return };
    psql(&url, MEMBERS);
    psql(&url, "create role weak login; create table bugle_outbox (id int)");
    let nobody = url.replace("postgres@", "nobody_here@");
    let weak = url.replace("postgres@", "weak@");
    let elsewhere = format!("{url}_not_there");
    let to = "http://127.0.0.1:9/hooks";
    let relay = |url: &str, more: &[&str]| {
        let args = ["relay", "--postgres", url, "--to", to, "--allow-private"];
        let args: Vec<String> = args.iter().chain(more).map(|text| (*text).to_owned()).collect();
        async move { run(&args.iter().map(String::as_str).collect::<Vec<_>>(), "").await }
    };
    for (url, more, said) in [
        (&*url, &["--audit", "members"][..], "there is no table bugle_audit: install it"),
        (&url, &["--outbox"], "table public.bugle_outbox has no column \"position\""),
        (&nobody, &["--audit", "members"], "check the user and the password"),
        (&elsewhere, &["--audit", "members"], "create the database, or name another one"),
        ("postgres://127.0.0.1:1/x", &["--audit", "members"], "no connection to 127.0.0.1:1/x"),
        ("nonsense", &["--audit", "members"], "postgres://user:password@host:5432/database"),
        (&url, &[], "--audit"),
    ] {
        let ran = relay(url, more).await;
        assert!(ran.code != 0 && ran.stderr.contains(said), "{said}\n{}", ran.stderr);
    }
    let install = |tables| run_install(&url, tables);
    assert!(install("logs").await.contains("has no column \"id\""));
    assert!(install("nowhere").await.contains("there is no table nowhere"));
    let args = ["relay", "install", "--postgres", &url, "--audit", "members"];
    assert_eq!(run(&args, "").await.code, 0);
    let ran = relay(&weak, &["--audit", "members"]).await;
    assert!(ran.stderr.contains("grant SELECT on bugle_audit to weak"), "{}", ran.stderr);
    psql(&url, "create table unaudited (id int)");
    let ran = relay(&url, &["--audit", "unaudited"]).await;
    assert!(ran.stderr.contains("table unaudited is not audited"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_table_of_keels_is_numbered_and_until_then_each_start_says_what_can_not_be_promised() {
    let Some(url) = database() else { return };
    let keel = "create table keel_audit (id text primary key, table_name text not null,
          op text not null, data jsonb not null, identity_id text, trace_id text,
          created_at timestamptz not null default now(), event_processed_at timestamptz);
        insert into keel_audit values ('1', 'member', 'insert', '{\"id\": 1}');
        insert into keel_audit values ('2', 'member', 'truncate', '{}')";
    psql(&url, keel);
    let receiver = Receiver::start().unwrap();
    let to = receiver.url("/hooks");
    let table = ["--postgres", &url, "--audit-table", "keel_audit"];
    let relay =
        [&["relay", "--once", "--json", "--to", &to, "--allow-private"], &table[..]].concat();
    let ran = run(&relay, "").await;
    assert_eq!((ran.code, receiver.requests().len()), (1, 1), "{ran:?}");
    assert!(ran.stderr.contains("warning: the order of a record's changes can't be promised"));
    assert!(ran.stderr.contains("table \"member\" was truncated"), "{}", ran.stderr);
    assert_eq!(ran.json()["tables"][0]["warnings"].as_array().unwrap().len(), 1, "{ran:?}");

    let install = [&["relay", "install"], &table[..]].concat();
    let shown = run(&[&install[..], &["--dry-run"]].concat(), "").await;
    assert!(shown.stdout.contains("add column position bigint"), "{shown:?}");
    assert!(shown.stdout.starts_with("-- public.keel_audit gains the column position"));
    let installed = run(&install, "").await;
    assert!(installed.stdout.contains("keel_audit is ready to be followed"), "{installed:?}");
    assert!(installed.stderr.contains("gains the column position"), "{installed:?}");
    psql(&url, "insert into keel_audit values ('3', 'member', 'delete', '{\"id\": 1}')");
    let ran = run(&relay, "").await;
    assert!(!ran.stderr.contains("warning:"), "{}", ran.stderr);
    assert_eq!(receiver.requests().len(), 2, "{ran:?}");
    // A row that was set aside is told of once.
    let ran = run(&relay, "").await;
    assert_eq!((ran.code, receiver.requests().len()), (0, 2), "{ran:?}");
}

async fn run_install(url: &str, tables: &str) -> String {
    let ran = run(&["relay", "install", "--postgres", url, "--audit", tables], "").await;
    assert_eq!(ran.code, 2, "{ran:?}");
    ran.stderr
}

#[tokio::test]
async fn killed_at_any_moment_it_loses_nothing() {
    const ROWS: usize = 3000;
    let Some(url) = database() else { return };
    let install = ["relay", "install", "--postgres", &url, "--outbox"];
    assert_eq!(run(&install, "").await.code, 0);
    let insert = "insert into bugle_outbox (name, payload)
                  select 'a', json_build_object('n', n) from generate_series(1, 3000) n";
    psql(&url, insert);
    let ids: BTreeSet<String> =
        psql(&url, "select id from bugle_outbox").lines().map(str::to_owned).collect();
    let receiver = Receiver::start().unwrap();
    let to = receiver.url("/hooks");
    let store = tempfile::tempdir().unwrap();
    let store = store.path().to_str().unwrap();
    let relay = [
        "relay",
        "--postgres",
        &url,
        "--outbox",
        "--to",
        &to,
        "--allow-private",
        "--store",
        store,
        "--batch",
        "50",
    ];
    for round in 1..=8 {
        let mut child = bugle(&relay).spawn().unwrap();
        // Each a little further on its way than the one before.
        let _ = receiver.wait_for(round * 150, Duration::from_secs(20)).await;
        child.start_kill().unwrap();
        child.wait().await.unwrap();
    }
    let ran = run(&[&relay[..], &["--once", "--json"]].concat(), "").await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let requests = receiver.requests();
    let received: BTreeSet<String> =
        requests.iter().map(|request| request.header("webhook-id").unwrap().to_owned()).collect();
    assert!(received == ids, "{} of {}", received.intersection(&ids).count(), ids.len());
    // Events in flight when it was killed come again; no others do.
    assert!(requests.len() <= ROWS + 8, "{} requests", requests.len());
    assert_eq!(psql(&url, "select count(*) from bugle_outbox"), "0");
}

#[tokio::test]
async fn it_runs_until_it_is_asked_to_stop() {
    let Some(url) = database() else { return };
    psql(&url, MEMBERS);
    let install = ["relay", "install", "--postgres", &url, "--audit", "members"];
    assert_eq!(run(&install, "").await.code, 0);
    let receiver = Receiver::start().unwrap();
    let to = receiver.url("/hooks");
    let relay = ["relay", "--postgres", &url, "--audit", "members", "--to", &to, "--allow-private"];
    let mut child = bugle(&relay).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = tokio::time::timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert_eq!(line, "bugle_audit: follows the table");
    psql(&url, "insert into members values (1, 'Ada')");
    receiver.wait_for(1, DEADLINE).await.unwrap();
    psql(&url, "update members set first_name = 'Grace'");
    let requests = receiver.wait_for(2, DEADLINE).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&requests[1].body).unwrap();
    assert_eq!(body["target"]["previousData"]["firstName"], "Ada");
    signal(&child, "TERM").await;
    let ran = finish(child).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("bugle_audit: 2 rows taken"), "{ran:?}");
}
