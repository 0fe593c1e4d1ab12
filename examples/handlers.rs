//! In-process handlers: functions in place of receivers, with all features of an emitter.
//!
//! ```sh
//! cargo run -p bugle-examples --example handlers
//! ```
//!
//! It prints (and the panics' own reports on standard error):
//!
//! ```text
//! -- a pattern: member.* takes one token after the dot
//! audit: member.created of Ada
//! audit: member.updated of Ada
//! -- an error is retried
//! mail to Grace: attempt 1 fails
//! mail to Grace: attempt 2 fails
//! mail to Grace: sent
//! -- a panic is contained, and its event given up after three in a row
//! imported member 1
//! imported member 3
//! {"id":2,"name":null} is a dead letter: panicked: a member has no name
//! the importer is running, after 3 restarts
//! -- the order holds within a key
//! Ada: placed, paid, shipped
//! Grace: placed, paid, shipped
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bugle::{DeadLetterQuery, EmitOptions, Event, HandlerConfig, Order, RetryPolicy, Runtime};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

#[derive(Deserialize)]
struct Member {
    name: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::builder().start().await?;
    patterns(&runtime).await?;
    retries(&runtime).await?;
    panics(&runtime).await?;
    order_per_key(&runtime).await?;
    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

fn quick() -> HandlerConfig {
    let retry = RetryPolicy::exponential(Duration::from_millis(20), Duration::from_millis(200));
    HandlerConfig::default().retry(retry)
}

/// A handler is any function from an event to a future of a result.
async fn audit(event: Arc<Event>) -> Result<(), serde_json::Error> {
    let member: Member = serde_json::from_slice(&event.payload)?;
    println!("audit: {} of {}", event.name, member.name);
    Ok(())
}

async fn patterns(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    println!("-- a pattern: member.* takes one token after the dot");
    runtime.attach_handler("audit", ["member.*"], audit, quick()).await?;
    for name in ["member.created", "invoice.paid", "member.address.changed", "member.updated"] {
        runtime.emit(name, &json!({ "name": "Ada" })).await?.settled().await;
    }
    Ok(())
}

async fn retries(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    println!("-- an error is retried");
    let attempts = Arc::new(AtomicU32::new(0));
    let mail = move |event: Arc<Event>| {
        let attempt = attempts.fetch_add(1, Ordering::Relaxed) + 1;
        async move {
            let member: Member = serde_json::from_slice(&event.payload)?;
            if attempt < 3 {
                println!("mail to {}: attempt {attempt} fails", member.name);
                return Err("the mail server is busy".into());
            }
            println!("mail to {}: sent", member.name);
            Ok::<(), Box<dyn Error + Send + Sync>>(())
        }
    };
    runtime.attach_handler("mail", ["welcome"], mail, quick()).await?;
    runtime.emit("welcome", &json!({ "name": "Grace" })).await?.settled().await;
    Ok(())
}

async fn panics(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    println!("-- a panic is contained, and its event given up after three in a row");
    let import = |event: Arc<Event>| async move {
        let row: serde_json::Value = serde_json::from_slice(&event.payload)?;
        assert!(row["name"].is_string(), "a member has no name");
        println!("imported member {}", row["id"]);
        Ok::<(), serde_json::Error>(())
    };
    runtime.attach_handler("importer", ["import.>"], import, quick()).await?;
    for (id, name) in [(1, Some("Ada")), (2, None), (3, Some("Grace"))] {
        let row = json!({ "id": id, "name": name });
        runtime.emit("import.member", &row).await?.settled().await;
    }
    for letter in runtime.dead_letters().page(DeadLetterQuery::new(), None).await?.items {
        let payload = String::from_utf8_lossy(&letter.event.payload);
        println!("{payload} is a dead letter: {}", letter.message);
    }
    if let Some(importer) = runtime.describe("importer") {
        println!(
            "the importer is {}, after {} restarts",
            importer.status, importer.restarts_since_start
        );
    }
    Ok(())
}

async fn order_per_key(runtime: &Runtime) -> Result<(), Box<dyn Error>> {
    println!("-- the order holds within a key");
    let (done, mut log) = mpsc::unbounded_channel();
    let track = move |event: Arc<Event>| {
        let done = done.clone();
        async move {
            let customer = event.key.as_ref().map(ToString::to_string).unwrap_or_default();
            // Ada's take longer, and delay no other customer's.
            let work = if customer == "Ada" { 50 } else { 5 };
            tokio::time::sleep(Duration::from_millis(work)).await;
            let step = event.name.as_str().trim_start_matches("order.").to_owned();
            done.send((customer, step))
        }
    };
    let config = quick().order(Order::PerKey { window: 8 });
    runtime.attach_handler("tracking", ["order.*"], track, config).await?;
    let mut receipts = Vec::new();
    for step in ["order.placed", "order.paid", "order.shipped"] {
        for customer in ["Ada", "Grace"] {
            let key = EmitOptions::new().key(customer);
            receipts.push(runtime.emit_with(step, &json!({}), key).await?);
        }
    }
    for receipt in receipts {
        receipt.settled().await;
    }
    let done: Vec<(String, String)> = std::iter::from_fn(|| log.try_recv().ok()).collect();
    for customer in ["Ada", "Grace"] {
        let own = done.iter().filter(|(whose, _)| whose == customer);
        println!("{customer}: {}", own.map(|(_, step)| &**step).collect::<Vec<_>>().join(", "));
    }
    Ok(())
}
