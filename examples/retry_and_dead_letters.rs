//! Events that a receiver does not take: retries by a policy, a `Retry-After` that is honoured,
//! dead letters, and the log of attempts that gives the reasons.
//!
//! ```sh
//! cargo run -p bugle-examples --example retry_and_dead_letters
//! ```
//!
//! It prints:
//!
//! ```text
//! 3 attempts; 50ms before the second, 100ms before the third
//! invoice-1 attempt 1: HTTP POST request returned status 503; again in 1s
//! invoice-1 attempt 2: delivered
//! invoice-2 attempt 1: HTTP POST request returned status 500; again in 50ms
//! invoice-2 attempt 2: HTTP POST request returned status 500; again in 100ms
//! invoice-2 attempt 3: HTTP POST request returned status 500; given up
//! invoice-3 attempt 1: delivered
//! dead letter at billing: invoice-2 {"invoice":2}, badHttpStatus after 3 attempts
//! page 1 of the attempts that failed, newest first
//!   invoice-2 attempt 3 answered 500 "no such customer" in …
//!   invoice-2 attempt 2 answered 500 "no such customer" in …
//! page 2 of the attempts that failed, newest first
//!   invoice-2 attempt 1 answered 500 "no such customer" in …
//!   invoice-1 attempt 1 answered 503 "" in …
//! replayed: invoice-2, delivered
//! ```

use std::error::Error;
use std::time::Duration;

use bugle::{
    AttemptQuery, DeadLetterQuery, EmitOptions, RetryPolicy, Runtime, RuntimeEvent, Watch,
};
use bugle_testkit::{Receiver, Reply};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The first event meets a busy receiver, the second one that can't take it.
    let receiver = Receiver::builder()
        .reply(Reply::status(503).retry_after(Duration::from_secs(1)))
        .reply(Reply::status(204))
        .replies(3, Reply::status(500).body("no such customer"))
        .start()?;

    // Without jitter, so that the output is the same each time. Leave jitter on in a service. By
    // default: 3 attempts, 1 s and more apart; `RetryPolicy::patient()` goes on for more than a
    // day.
    let policy = RetryPolicy::exponential(Duration::from_millis(50), Duration::from_secs(5))
        .max_attempts(3)
        .jitter(0.0);
    let (second, third) = (policy.delay(1, 0), policy.delay(2, 0));
    let attempts = policy.max_attempts;
    println!("{attempts} attempts; {second:?} before the second, {third:?} before the third");

    let runtime = Runtime::builder().start().await?;
    let config = receiver
        .emitter_config("/hooks")?
        .retry(policy)
        // A receiver may ask for patience, but not for more than this. Default: 1 hour.
        .retry_after_limit(Duration::from_secs(60));
    runtime.attach("billing", "invoice.paid", config).await?;

    let mut watch = runtime.watch();
    for invoice in 1..=3 {
        let options = EmitOptions::new().request_id(format!("invoice-{invoice}"));
        runtime.emit_with("invoice.paid", &json!({ "invoice": invoice }), options).await?;
    }
    print_attempts(&mut watch, 3).await?;

    // An event that was given up is kept, with its payload and the last failure.
    let letters = runtime.dead_letters().page(DeadLetterQuery::new(), None).await?.items;
    for letter in &letters {
        let payload = String::from_utf8_lossy(&letter.event.payload);
        let (emitter, id) = (&letter.emitter, letter.request_id());
        let (code, attempts) = (letter.code, letter.attempts);
        println!("dead letter at {emitter}: {id} {payload}, {code} after {attempts} attempts");
    }
    print_log(&runtime).await?;

    // Once the receiver is repaired: the same event to the same emitter, under its old id.
    for letter in &letters {
        let receipt = runtime.replay(&letter.emitter, letter.request_id()).await?;
        let fate = receipt.settled().await.ok_or("the runtime was shut down first")?;
        println!("replayed: {}, {fate}", receipt.request_id());
    }
    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Prints every attempt until this many events are settled.
async fn print_attempts(watch: &mut Watch, mut unsettled: usize) -> Result<(), Box<dyn Error>> {
    while unsettled > 0 {
        match watch.next().await.ok_or("the runtime is gone")? {
            RuntimeEvent::Delivered { request_id, attempt, .. } => {
                println!("{request_id} attempt {attempt}: delivered");
                unsettled -= 1;
            }
            RuntimeEvent::AttemptFailed { request_id, attempt, message, retry_in, .. } => {
                let next = match retry_in {
                    Some(delay) => format!("again in {delay:?}"),
                    None => "given up".to_owned(),
                };
                println!("{request_id} attempt {attempt}: {message}; {next}");
            }
            RuntimeEvent::DeadLettered { .. } => unsettled -= 1,
            _ => {}
        }
    }
    Ok(())
}

/// Reads the attempt log page by page, as an admin page of a service would.
async fn print_log(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    let log = runtime.attempts();
    let query = AttemptQuery::new().limit(2);
    let mut cursor = None;
    for number in 1.. {
        let page = log.page(&query, cursor).await?;
        println!("page {number} of the attempts that failed, newest first");
        for attempt in &page.items {
            let (id, nth, body) = (&attempt.event_id, attempt.attempt, &attempt.body);
            let status = attempt.status.unwrap_or_default();
            let elapsed = attempt.elapsed.total;
            println!("  {id} attempt {nth} answered {status} {body:?} in {elapsed:?}");
        }
        // The cursor is a text for the next request; it stays valid while attempts are written.
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}
