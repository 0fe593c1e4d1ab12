//! A durable service that survives its own kill: every accepted event is on the disk, and one that
//! was not delivered before the kill is delivered after the next start.
//!
//! ```sh
//! cargo run -p bugle-examples --example durable_service
//! ```
//!
//! It starts itself as the service, kills that with SIGKILL in the middle of a delivery, and starts
//! it again. It prints:
//!
//! ```text
//! service: started, 0 events are left from the last time
//! service: accepted invoice 1
//! service: accepted invoice 2
//! service: accepted invoice 3
//! killed, while the receiver had the first one and had not answered
//! service: started, 3 events are left from the last time
//! the receiver got invoice 1, signed v1,…
//! the receiver got invoice 1, signed v1,…
//! the receiver got invoice 2, signed v1,…
//! the receiver got invoice 3, signed v1,…
//! service: shut down, 0 events are left
//! ```

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use bugle::{EmitterConfig, Runtime, Secret, Store};
use bugle_testkit::{Receiver, Reply};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// The lines that a service process prints.
type Printed = Lines<BufReader<ChildStdout>>;

/// The service. It can be copied as it is; the rest of this file is only there to kill it.
async fn service(directory: &str, url: &str) -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::builder().store(Store::open(directory)?).start().await?;

    // A service attaches its emitters when it starts. An emitter of the last run continues from its
    // cursor, also if its subscription or its configuration has changed.
    let config = EmitterConfig::new(url)?
        .secret(Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?)
        // Private addresses are refused by default. This one is intended.
        .allow_private_destinations();
    let waited = runtime.journal_stats().events;
    runtime.ensure("billing", ["invoice.paid"], config).await?;
    println!("service: started, {waited} events are left from the last time");

    if waited == 0 {
        for invoice in 1..=3 {
            // Once this returns, the event is safe: from a kill, and from a power cut.
            runtime.emit("invoice.paid", &json!({ "invoice": invoice })).await?;
            println!("service: accepted invoice {invoice}");
        }
    }

    // It runs until it is told to stop: here, until its input ends.
    tokio::task::spawn_blocking(|| std::io::read_to_string(std::io::stdin())).await??;
    let report = runtime.shutdown(Duration::from_secs(5)).await;
    let left: u64 = report.emitters.iter().map(|emitter| emitter.pending).sum();
    println!("service: shut down, {left} events are left");
    Ok(())
}

/// Starts a service process. Returns it with the lines that it prints.
fn start(directory: &str, url: &str) -> Result<(Child, Printed), Box<dyn Error>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["service", directory, url]).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().ok_or("it is piped")?;
    Ok((child, BufReader::new(out).lines()))
}

async fn show(lines: &mut Printed, count: usize) -> Result<(), Box<dyn Error>> {
    for _ in 0..count {
        println!("{}", lines.next_line().await?.ok_or("the service ended")?);
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, directory, url] = arguments.as_slice()
        && role == "service"
    {
        return service(directory, url).await;
    }

    // The customer's server. It takes the first request, and does not answer it.
    let receiver = Receiver::builder().reply(Reply::hang()).start()?;
    let directory = tempfile::tempdir()?;
    let directory = directory.path().to_str().ok_or("a path of text")?;
    let url = receiver.url("/hooks");

    let (mut first, mut lines) = start(directory, &url)?;
    show(&mut lines, 4).await?;
    receiver.wait_for(1, Duration::from_secs(30)).await?;
    first.kill().await?;
    println!("killed, while the receiver had the first one and had not answered");

    let (mut second, mut lines) = start(directory, &url)?;
    show(&mut lines, 1).await?;
    receiver.wait_for(4, Duration::from_secs(30)).await?;
    for request in receiver.requests() {
        let payload: serde_json::Value = serde_json::from_slice(&request.body)?;
        let signed = request.header("webhook-signature").unwrap_or("by nobody");
        println!("the receiver got invoice {}, signed {signed}", payload["invoice"]);
    }
    drop(second.stdin.take());
    show(&mut lines, 1).await?;
    second.wait().await?;
    Ok(())
}
