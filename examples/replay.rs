//! A receiver is down for a while. Once it is back, the events that its emitter gave up on are
//! delivered again: in order, under the old request ids, and to no other receiver.
//!
//! ```sh
//! cargo run -p bugle-examples --example replay
//! ```
//!
//! It prints:
//!
//! ```text
//! the receiver is down: 5 events, 5 dead letters
//!   invoice-5 badConnection after 2 attempts
//!   invoice-4 badConnection after 2 attempts
//!   invoice-3 badConnection after 2 attempts
//!   invoice-2 badConnection after 2 attempts
//!   invoice-1 badConnection after 2 attempts
//! it is back
//! one of them again: invoice-3, delivered
//! a dry run finds 4
//! the rest again: 4 queued, 4 delivered
//! the receiver got invoice-3 invoice-1 invoice-2 invoice-4 invoice-5
//! 0 dead letters are left
//! ```

use std::error::Error;
use std::time::Duration;

use bugle::{DeadLetterQuery, EmitOptions, RateLimit, RetryPolicy, Runtime, Timestamp};
use bugle_testkit::Receiver;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let receiver = Receiver::start()?;
    // In a service: `.store(Store::open("./bugle-data")?)`, so that dead letters outlive it.
    let runtime = Runtime::builder().start().await?;
    let millisecond = Duration::from_millis(1);
    let policy = RetryPolicy::exponential(millisecond, millisecond).max_attempts(2);
    let config = receiver.emitter_config("/hooks")?.retry(policy);
    runtime.attach("billing", "invoice.paid", config).await?;

    // The start of the outage, as a monitor would know it.
    let since = Timestamp::now();
    receiver.go_down().await;
    for number in 1..=5 {
        let options = EmitOptions::new().request_id(format!("invoice-{number}"));
        let invoice = json!({ "invoice": number });
        runtime.emit_with("invoice.paid", &invoice, options).await?.settled().await;
    }
    let dead = runtime.dead_letters();
    println!("the receiver is down: 5 events, {} dead letters", dead.count(all()).await?);
    for letter in dead.page(all(), None).await?.items {
        let (id, code, attempts) = (letter.request_id(), letter.code, letter.attempts);
        println!("  {id} {code} after {attempts} attempts");
    }

    receiver.come_back()?;
    println!("it is back");
    let receipt = runtime.replay("billing", "invoice-3").await?;
    let fate = receipt.settled().await.ok_or("the runtime was shut down first")?;
    println!("one of them again: {}, {fate}", receipt.request_id());

    let dry = runtime.replay_since("billing", since).dry_run().await?;
    println!("a dry run finds {}", dry.found);
    // A receiver that has just come back must not be flooded: 500 a second at most.
    let limit = RateLimit::per_second(500);
    let report = runtime.replay_since("billing", since).rate_limit(limit).await?;
    let fates = report.settled().await;
    println!("the rest again: {} queued, {} delivered", report.queued, fates.delivered);

    let got: Vec<String> =
        receiver.requests().iter().filter_map(|it| it.request_id().map(str::to_owned)).collect();
    println!("the receiver got {}", got.join(" "));
    println!("{} dead letters are left", dead.count(all()).await?);
    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn all() -> DeadLetterQuery {
    DeadLetterQuery::new()
}
