//! The supervision tree, live: one emitter's receiver works, one's fails, and one's handler panics.
//! Each has its own trouble, and delays no other.
//!
//! ```sh
//! cargo run -p bugle-examples --example supervision_tree
//! ```
//!
//! It prints (and the panics' own reports on standard error):
//!
//! ```text
//! -- three emitters are attached
//! root supervisor
//! ├── audit    running    life 1  waiting 0  delivered 0  dead letters 0
//! ├── billing  running    life 1  waiting 0  delivered 0  dead letters 0
//! └── crm      running    life 1  waiting 0  delivered 0  dead letters 0
//!    audit crashed in life 1: panicked: no such table; again in 10ms
//!    audit started life 2
//!    audit crashed in life 2: panicked: no such table; again in 20ms
//!    audit started life 3
//!    audit crashed in life 3: panicked: no such table; again in 40ms
//!    audit started life 4
//!    audit failed: panicked: no such table
//! -- four orders later
//! root supervisor
//! ├── audit    failed     life 4  waiting 3  delivered 0  dead letters 1
//! ├── billing  running    life 1  waiting 0  delivered 4  dead letters 0
//! └── crm      running    life 1  waiting 0  delivered 0  dead letters 4
//!    crm paused
//! -- the CRM is paused until its receiver is repaired
//! root supervisor
//! ├── audit    failed     life 4  waiting 3  delivered 0  dead letters 1
//! ├── billing  running    life 1  waiting 0  delivered 4  dead letters 0
//! └── crm      paused     life 1  waiting 0  delivered 0  dead letters 4
//!    audit started life 5
//!    crm started life 2
//! -- both are repaired and restarted, and one order more came
//! root supervisor
//! ├── audit    running    life 5  waiting 0  delivered 4  dead letters 1
//! ├── billing  running    life 1  waiting 0  delivered 5  dead letters 0
//! └── crm      running    life 2  waiting 0  delivered 1  dead letters 4
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bugle::{Event, HandlerConfig, RetryPolicy, Runtime, RuntimeEvent, Watch};
use bugle_testkit::{Receiver, Reply};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let steady = Receiver::start()?;
    let failing = Receiver::builder().otherwise(Reply::status(503)).start()?;
    let repaired = Arc::new(AtomicBool::new(false));

    let runtime = Runtime::builder().start().await?;
    let retry = RetryPolicy::exponential(Duration::from_millis(10), Duration::from_millis(100));
    let to_steady = steady.emitter_config("/orders")?.retry(retry.clone());
    runtime.attach("billing", "order.placed", to_steady).await?;
    let to_failing = failing.emitter_config("/orders")?.retry(retry);
    runtime.attach("crm", "order.placed", to_failing).await?;
    let is_repaired = Arc::clone(&repaired);
    let audit = move |_: Arc<Event>| {
        // A bug: it should return an error. A panic makes its emitter crash.
        assert!(is_repaired.load(Ordering::Relaxed), "no such table");
        async { Ok::<(), String>(()) }
    };
    runtime.attach_handler("audit", ["order.placed"], audit, HandlerConfig::default()).await?;
    print_tree(&runtime, "three emitters are attached");

    // A watch shows the events from now on, and can be waited on.
    let mut watch = runtime.watch();
    for order in 1..=4 {
        runtime.emit("order.placed", &json!({ "order": order })).await?;
    }
    // A failing receiver costs retries and in the end dead letters; its emitter goes on. A crash
    // costs a life. Over its budget of 3 in 5 seconds the emitter is failed, and its backlog waits.
    let mut failed = false;
    follow(&mut watch, |event| {
        failed |= matches!(event, RuntimeEvent::Failed { .. });
        failed && nothing_waits(&runtime, &["billing", "crm"])
    })
    .await?;
    print_tree(&runtime, "four orders later");

    runtime.pause("crm").await?;
    follow(&mut watch, |event| matches!(event, RuntimeEvent::Paused { .. })).await?;
    print_tree(&runtime, "the CRM is paused until its receiver is repaired");

    failing.otherwise(Reply::status(204));
    repaired.store(true, Ordering::Relaxed);
    for id in ["audit", "crm"] {
        runtime.restart(id).await?;
        follow(&mut watch, |event| matches!(event, RuntimeEvent::Started { .. })).await?;
    }
    runtime.emit("order.placed", &json!({ "order": 5 })).await?;
    follow(&mut watch, |_| nothing_waits(&runtime, &["audit", "billing", "crm"])).await?;
    print_tree(&runtime, "both are repaired and restarted, and one order more came");

    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Prints the events of the emitters, until the condition holds.
async fn follow(
    watch: &mut Watch,
    mut done: impl FnMut(&RuntimeEvent) -> bool,
) -> Result<(), &'static str> {
    loop {
        let event = watch.next().await.ok_or("the runtime is gone")?;
        match &event {
            RuntimeEvent::Started { emitter, incarnation } => {
                println!("   {emitter} started life {incarnation}");
            }
            RuntimeEvent::Crashed { emitter, incarnation, reason, restart_in } => println!(
                "   {emitter} crashed in life {incarnation}: {reason}; again in {restart_in:?}"
            ),
            RuntimeEvent::Failed { emitter, reason } => println!("   {emitter} failed: {reason}"),
            RuntimeEvent::Paused { emitter } => println!("   {emitter} paused"),
            _ => {}
        }
        if done(&event) {
            return Ok(());
        }
    }
}

fn nothing_waits(runtime: &Runtime, emitters: &[&str]) -> bool {
    emitters.iter().all(|id| runtime.describe(id).is_some_and(|emitter| emitter.depth == 0))
}

fn print_tree(runtime: &Runtime, title: &str) {
    println!("-- {title}\nroot supervisor");
    let emitters = runtime.emitters();
    for (nth, one) in emitters.iter().enumerate() {
        let branch = if nth + 1 == emitters.len() { "└──" } else { "├──" };
        println!(
            "{branch} {:<8} {:<10} life {}  waiting {}  delivered {}  dead letters {}",
            one.id.as_str(),
            one.status,
            one.incarnation,
            one.depth,
            one.delivered_since_start,
            one.dead_letters,
        );
    }
}
