//! A process that may have few file descriptors, and many receivers.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "these are tests")]

mod common;

use std::process::Stdio;

use bugle_testkit::Receiver;
use common::feed;
use tokio::process::Command;

#[tokio::test]
async fn more_receivers_than_descriptors_cost_nobody_an_attempt() {
    let receiver = Receiver::start().unwrap();
    for (limit, host) in [(256, "127.0.0.1"), (64, "127.0.0.1"), (64, "localhost")] {
        let before = receiver.requests().len();
        // Both limits, so that the binary can't raise the soft one.
        let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_bugle"), "deliver", "--event", "a.b"]);
        command.args(["--allow-private", "--max-attempts", "1"]);
        for n in 0..300 {
            command.arg("--to").arg(receiver.url_at(host, &n.to_string()));
        }
        command.env_remove("BUGLE_SECRET").env_remove("RUST_LOG").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = feed(command.spawn().unwrap(), "{\"a\":1}\n").await;
        assert_eq!(ran.code, 0, "{limit} {host}: {}", ran.all());
        assert_eq!(receiver.requests().len() - before, 300, "{limit} {host}");
    }
}
