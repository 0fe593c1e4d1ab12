//! The smallest service that delivers webhooks: attach an emitter, emit, and see the result.
//!
//! ```sh
//! cargo run -p bugle-examples --example quickstart
//! ```
//!
//! It prints:
//!
//! ```text
//! accepted invoice 1
//! accepted invoice 2
//! accepted invoice 3
//! invoice 1 at billing: Delivered
//! invoice 2 at billing: Delivered
//! invoice 3 at billing: Delivered
//! the receiver got invoice.paid {"invoice":1,"total":12.5,"currency":"EUR"}, signed v1,…
//! the receiver got invoice.paid {"invoice":2,"total":80.0,"currency":"EUR"}, signed v1,…
//! the receiver got invoice.paid {"invoice":3,"total":7.25,"currency":"EUR"}, signed v1,…
//! shut down: 0 pending, 0 aborted at billing
//! ```

use std::error::Error;
use std::time::Duration;

use bugle::{EmitterConfig, Runtime, Secret};
use bugle_testkit::Receiver;
use serde::Serialize;

#[derive(Serialize)]
struct InvoicePaid {
    invoice: u64,
    total: f64,
    currency: &'static str,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The customer's server: a development receiver on this machine.
    let receiver = Receiver::start()?;

    let runtime = Runtime::builder().start().await?;

    // One emitter delivers to one receiver. The customer verifies with the same secret.
    let config = EmitterConfig::new(receiver.url("/hooks"))?
        .secret(Secret::generate()?)
        // Private addresses are refused by default. This one is intended.
        .allow_private_destinations();
    runtime.attach("billing", "invoice.paid", config).await?;

    // `emit` returns once the event is accepted; the delivery happens in the background.
    let mut receipts = Vec::new();
    for (invoice, total) in [(1, 12.5), (2, 80.0), (3, 7.25)] {
        let event = InvoicePaid { invoice, total, currency: "EUR" };
        receipts.push((invoice, runtime.emit("invoice.paid", &event).await?));
        println!("accepted invoice {invoice}");
    }

    // Few services wait for the end of a delivery. Those that do ask the receipt.
    for (invoice, receipt) in &receipts {
        for at in receipt.settled().await {
            let fate = at.fate.ok_or("the runtime was shut down first")?;
            println!("invoice {invoice} at {}: {fate:?}", at.emitter);
        }
    }
    for request in receiver.requests() {
        println!(
            "the receiver got {} {}, signed {}",
            request.event().unwrap_or("nothing"),
            String::from_utf8_lossy(&request.body),
            request.header("webhook-signature").unwrap_or("by nobody"),
        );
    }

    // Deliveries in flight may finish within the grace time; the report says what was left.
    let report = runtime.shutdown(Duration::from_secs(5)).await;
    for left in &report.emitters {
        println!("shut down: {} pending, {} aborted at {}", left.pending, left.aborted, left.id);
    }
    Ok(())
}
