//! Runs every example, and expects that it ends by itself and prints what its first comment shows.
//!
//! That comment has the expected output in a block that starts with "```text". In it, `…` stands
//! for text that differs from run to run, or is left out.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use std::{env, fs};

use bugle_testkit::Postgres;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// The time that one example may take, on a machine that is busy with other things.
const DEADLINE: Duration = Duration::from_secs(60);

/// The output that an example's first comment shows.
fn expected(name: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let source = fs::read_to_string(format!("{}/{name}.rs", env!("CARGO_MANIFEST_DIR")))?;
    let comment = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text = |line: &str| line.strip_prefix(' ').unwrap_or(line).to_owned();
    let block = comment.map(text).skip_while(|line| line != "```text").skip(1);
    let lines: Vec<String> = block.take_while(|line| line != "```").collect();
    assert!(!lines.is_empty(), "{name}.rs says what it prints, in a block of ```text");
    Ok(lines)
}

/// True when a line is as expected, where `…` stands for any text.
fn fits(line: &str, expected: &str) -> bool {
    let mut parts = expected.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// Starts an example that cargo has built beside this test.
fn start(name: &str, arguments: &[&str]) -> Result<Child, Box<dyn std::error::Error>> {
    start_with(name, arguments, "")
}

/// Starts an example as [`start`] does, with the URL of a database.
fn start_with(
    name: &str,
    arguments: &[&str],
    database: &str,
) -> Result<Child, Box<dyn std::error::Error>> {
    // target/debug/deps/output-… and target/debug/examples/NAME
    let this = env::current_exe()?;
    let target = this.ancestors().nth(2).ok_or("cargo keeps a test two levels deep")?;
    let program: PathBuf =
        target.join("examples").join(format!("{name}{}", env::consts::EXE_SUFFIX));
    assert!(
        program.exists(),
        "{} is not built: run `cargo test -p bugle-examples`, which builds the examples too",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("DATABASE_URL", database)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    Ok(command.spawn()?)
}

async fn check(name: &str) -> TestResult {
    check_child(name, start(name, &[])?).await
}

async fn check_child(name: &str, child: Child) -> TestResult {
    let output = timeout(DEADLINE, child.wait_with_output()).await??;
    let (printed, errors) =
        (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    let (lines, expected) = (printed.lines().collect::<Vec<_>>(), expected(name)?);
    for (nth, (line, expected)) in lines.iter().zip(&expected).enumerate() {
        assert!(
            fits(line, expected),
            "line {} of {name}\n  is       {line}\n  and not  {expected}\n\n{printed}\n{errors}",
            nth + 1
        );
    }
    assert_eq!(lines.len(), expected.len(), "lines of {name}:\n{printed}\n{errors}");
    assert!(output.status.success(), "{name}: {}\n{printed}\n{errors}", output.status);
    Ok(())
}

#[tokio::test]
async fn quickstart() -> TestResult {
    check("quickstart").await
}

#[tokio::test]
async fn supervision_tree() -> TestResult {
    check("supervision_tree").await
}

#[tokio::test]
async fn durable_service() -> TestResult {
    check("durable_service").await
}

#[tokio::test]
async fn handlers() -> TestResult {
    check("handlers").await
}

#[tokio::test]
async fn replay() -> TestResult {
    check("replay").await
}

#[tokio::test]
async fn retry_and_dead_letters() -> TestResult {
    check("retry_and_dead_letters").await
}

#[tokio::test]
async fn verify_receiver() -> TestResult {
    check("verify_receiver").await
}

#[tokio::test]
async fn typed_events() -> TestResult {
    check("typed_events").await
}

#[tokio::test]
async fn flow_catalogue() -> TestResult {
    check("flow_catalogue").await
}

/// Sends a request, and returns the response.
async fn request(address: &str, head: &str) -> Result<String, Box<dyn std::error::Error>> {
    let mut tcp = TcpStream::connect(address).await?;
    let request = format!("{head} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    tcp.read_to_string(&mut response).await?;
    Ok(response)
}

async fn next_line(lines: &mut Lines<BufReader<ChildStdout>>, expected: &str) -> TestResult {
    let line = timeout(DEADLINE, lines.next_line()).await??.ok_or("its output ended")?;
    assert!(fits(&line, expected), "\n  is       {line}\n  and not  {expected}");
    Ok(())
}

/// The service is paid an invoice over HTTP, then stopped by SIGTERM while the webhook is in
/// flight.
#[cfg(unix)]
#[tokio::test]
async fn axum_service() -> TestResult {
    let mut service = start("axum_service", &["127.0.0.1:0"])?;
    let mut lines = BufReader::new(service.stdout.take().ok_or("it is piped")?).lines();
    let listening = timeout(DEADLINE, lines.next_line()).await??.ok_or("its output ended")?;
    let expected = expected("axum_service")?;
    assert!(fits(&listening, &expected[0]), "{listening}");
    let address = listening.rsplit('/').next().unwrap_or_default().to_owned();

    let paid = request(&address, "POST /invoices/7/pay").await?;
    assert!(paid.starts_with("HTTP/1.1 202") && paid.contains("request_id"), "{paid}");
    let described = request(&address, "GET /emitters").await?;
    assert!(described.contains(r#""id":"billing""#), "{described}");
    next_line(&mut lines, &expected[1]).await?;

    let id = service.id().ok_or("it runs")?.to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await?.success());
    for expected in &expected[2..] {
        next_line(&mut lines, expected).await?;
    }
    let status = timeout(DEADLINE, service.wait()).await??;
    assert!(status.success(), "{status}");
    assert!(TcpStream::connect(&address).await.is_err(), "nobody listens any more");
    Ok(())
}

#[tokio::test]
async fn audited_tables() -> TestResult {
    let Some(postgres) = Postgres::shared() else { return Ok(()) };
    let child = start_with("audited_tables", &[], &postgres.create_database()?)?;
    check_child("audited_tables", child).await
}

/// The service is paid an invoice twice over HTTP, then stopped by SIGTERM.
#[cfg(unix)]
#[tokio::test]
async fn axum_outbox() -> TestResult {
    let Some(postgres) = Postgres::shared() else { return Ok(()) };
    let directory = tempfile::tempdir()?;
    let store = directory.path().to_str().ok_or("a path of text")?;
    let url = postgres.create_database()?;
    let mut service = start_with("axum_outbox", &["127.0.0.1:0", store], &url)?;
    let mut lines = BufReader::new(service.stdout.take().ok_or("it is piped")?).lines();
    let listening = timeout(DEADLINE, lines.next_line()).await??.ok_or("its output ended")?;
    let expected = expected("axum_outbox")?;
    assert!(fits(&listening, &expected[0]), "{listening}");
    let address = listening.rsplit('/').next().unwrap_or_default().to_owned();

    let paid = request(&address, "POST /invoices/7/pay").await?;
    assert!(paid.starts_with("HTTP/1.1 202"), "{paid}");
    next_line(&mut lines, &expected[1]).await?;
    next_line(&mut lines, &expected[2]).await?;
    let twice = request(&address, "POST /invoices/7/pay").await?;
    assert!(twice.starts_with("HTTP/1.1 409"), "{twice}");
    next_line(&mut lines, &expected[3]).await?;

    let id = service.id().ok_or("it runs")?.to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await?.success());
    next_line(&mut lines, &expected[4]).await?;
    let status = timeout(DEADLINE, service.wait()).await??;
    assert!(status.success(), "{status}");
    Ok(())
}

#[test]
fn three_dots_stand_for_anything() {
    for (line, expected, fitting) in [
        ("a", "a", true),
        ("ab", "a", false),
        ("a 17 b", "a … b", true),
        ("a 17 b", "a … c", false),
        ("a 17 b 18", "a … b …", true),
        ("b", "…b", true),
        ("a", "…b", false),
        ("x 1 y 2 z", "x … y … z", true),
    ] {
        assert_eq!(fits(line, expected), fitting, "{line} / {expected}");
    }
}
