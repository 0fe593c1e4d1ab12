//! Runs the built binary, as a person or a script would.

#![allow(clippy::unwrap_used, dead_code, reason = "tests, which each use a part of it")]

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

/// The longest time that anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// The output of a run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Standard output as the one JSON object that it must be.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Everything that was printed.
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// The command, away from whatever the environment has.
pub(crate) fn bugle(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bugle"));
    command
        .args(args)
        .env_remove("BUGLE_SECRET")
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs it to its end with this input.
pub(crate) async fn run(args: &[&str], input: impl AsRef<[u8]>) -> Ran {
    feed(bugle(args).spawn().unwrap(), input).await
}

/// Gives a started command its input, and waits for its end.
pub(crate) async fn feed(mut child: Child, input: impl AsRef<[u8]>) -> Ran {
    let mut stdin = child.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    let feeding = tokio::spawn(async move {
        // A command that refuses its arguments reads nothing.
        let _ = stdin.write_all(&input).await;
    });
    let ran = finish(child).await;
    feeding.abort();
    ran
}

/// Waits for its end.
pub(crate) async fn finish(child: Child) -> Ran {
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output()).await.unwrap().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal, as `TERM`.
pub(crate) async fn signal(child: &Child, name: &str) {
    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status().await.unwrap();
    assert!(sent.success());
}

/// Reads lines of standard error until one fits. The rest of it is lost.
pub(crate) async fn wait_for_note(child: &mut Child, fits: impl Fn(&str) -> bool) -> String {
    let stderr = child.stderr.take().unwrap();
    let mut lines = BufReader::new(stderr).lines();
    let found = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if fits(&line) {
                return line;
            }
        }
        unreachable!("the command ended before it said so");
    };
    let line = tokio::time::timeout(DEADLINE, found).await.unwrap();
    // Whoever writes to it must not be stopped.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    line
}
