//! `-v`, `-vv` and `RUST_LOG`: what is logged to standard error, and that it is no more than
//! Bugle's.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use bugle_testkit::{Receiver, Reply};
use common::{Ran, bugle, feed};

const EVENT: &str = r#"{"name":"invoice.paid","request_id":"r-1","payload":{"id":1}}"#;

/// Delivers an event that is given up after two attempts.
async fn give_up(more: &[&str], rust_log: Option<&str>) -> Ran {
    let receiver = Receiver::builder().otherwise(Reply::status(500)).start().unwrap();
    let url = receiver.url("/hooks");
    let args = ["deliver", "--to", &url, "--allow-private", "--retry-first", "1ms"];
    let mut command = bugle(&[&args[..], &["--max-attempts", "2", "--json"], more].concat());
    command.envs(rust_log.map(|log| ("RUST_LOG", log)));
    let ran = feed(command.spawn().unwrap(), EVENT).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), 1, "what is logged is not in the output: {ran:?}");
    ran
}

/// The number of lines of this level, all of Bugle's own crates.
fn lines(ran: &Ran, level: &str) -> usize {
    let is_logged = |line: &&str| line.split_whitespace().nth(1) == Some(level);
    let logged: Vec<&str> = ran.stderr.lines().filter(is_logged).collect();
    assert!(logged.iter().all(|line| line.contains(" bugle")), "{}", ran.stderr);
    logged.len()
}

#[tokio::test]
async fn each_v_shows_more_and_rust_log_decides() {
    let quiet = give_up(&[], None).await;
    for level in ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"] {
        assert_eq!(lines(&quiet, level), 0, "the command tells it by itself: {}", quiet.stderr);
    }
    let info = give_up(&["-v"], None).await;
    assert!(lines(&info, "INFO") > 0 && lines(&info, "WARN") > 0, "{}", info.stderr);
    assert_eq!(lines(&info, "DEBUG"), 0, "{}", info.stderr);
    let debug = give_up(&["-vv"], None).await;
    assert!(lines(&debug, "DEBUG") >= 2, "each attempt: {}", debug.stderr);
    assert_eq!(lines(&debug, "TRACE"), 0, "{}", debug.stderr);
    // It decides, whatever -v says; and what is empty says nothing.
    let warnings = give_up(&["-vv"], Some("bugle=warn")).await;
    assert!(lines(&warnings, "WARN") > 0, "{}", warnings.stderr);
    assert_eq!(lines(&warnings, "INFO") + lines(&warnings, "DEBUG"), 0, "{}", warnings.stderr);
    assert_eq!(lines(&give_up(&["-vv"], Some("off")).await, "WARN"), 0);
    assert!(lines(&give_up(&["-v"], Some(" ")).await, "INFO") > 0);
}
