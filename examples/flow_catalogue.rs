//! The flow event types: reads an event by its type, changes it, and writes it back; records the
//! calls that deliver it as events too; and calls a resthook whose subscriber goes.
//!
//! ```sh
//! cargo run -p bugle-examples --example flow_catalogue
//! ```
//!
//! It prints:
//!
//! ```text
//! -- the catalogue
//! 23 types, from broadcast_created to webhook_called
//! -- a field was cleared: its null stays
//! gender is cleared
//! {"type":"contact_field_changed","created_on":"2018-10-18T14:20:30.000123456Z",…,"value":null}
//! -- a resthook, with a subscriber that stays and one that goes
//! recorded: new-registration of Bob
//! called …/stays: success 204
//! recorded: new-registration of Eve
//! called …/goes: subscriber_gone 410
//! called …/stays: success 204
//! subscribers: crm
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bugle::events::flow::{self, ContactFieldChanged, ResthookCalled, WebhookCalled};
use bugle::events::{RecordCalls, Resthooks, Uuid4};
use bugle::{Event, HandlerConfig, HttpTransport, Runtime, RuntimeEvent};
use bugle_testkit::{Receiver, Reply};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let registry = flow::registry();
    println!("-- the catalogue");
    let names: Vec<_> = registry.names().collect();
    let (first, last) = (names.first().unwrap_or(&""), names.last().unwrap_or(&""));
    println!("{} types, from {first} to {last}", names.len());

    println!("-- a field was cleared: its null stays");
    let mut event = registry.read_event(
        br#"{
            "type": "contact_field_changed",
            "created_on": "2018-10-18T14:20:30.000123456Z",
            "field": {"key": "gender", "name": "Gender"},
            "value": null
        }"#,
    )?;
    event.set_step_uuid(Uuid4::new("5a9b7d8e-3c2f-4a1b-9d8e-7f6a5b4c3d2e"));
    if let Some(changed) = event.downcast_ref::<ContactFieldChanged>() {
        let what = if changed.value.is_none() { "cleared" } else { "set" };
        println!("{} is {what}", changed.field.key);
    }
    event.check()?;
    println!("{}", serde_json::to_string(&event)?);

    println!("-- a resthook, with a subscriber that stays and one that goes");
    resthook().await
}

async fn resthook() -> Result<(), Box<dyn Error>> {
    let stays = Receiver::start()?;
    let goes = Receiver::builder().otherwise(Reply::gone()).start()?;
    let (sender, calls) = std::sync::mpsc::channel();
    let record = move |called: WebhookCalled| _ = sender.send(called);
    let transport = RecordCalls::new(HttpTransport::default(), record);
    let runtime = Runtime::builder().transport(transport).start().await?;
    let log = |event: Arc<Event>| async move {
        let called: ResthookCalled = serde_json::from_slice(&event.payload)?;
        let payload: serde_json::Value = called.payload.read()?;
        println!("recorded: {} of {}", called.resthook, payload["contact"].as_str().unwrap_or(""));
        Ok::<(), serde_json::Error>(())
    };
    runtime.attach_handler("log", ["resthook_called"], log, HandlerConfig::default()).await?;
    let (mut watch, mut gone) = (runtime.watch(), runtime.watch());

    let hooks = Resthooks::new(&runtime);
    hooks.subscribe("new-registration", "crm", stays.emitter_config("/stays")?).await?;
    call(&hooks, "Bob", &mut watch).await?;
    tell(&calls);
    hooks.subscribe("new-registration", "old", goes.emitter_config("/goes")?).await?;
    call(&hooks, "Eve", &mut watch).await?;
    let detached = |event: &RuntimeEvent| matches!(event, RuntimeEvent::Detached { .. });
    gone.wait_for(detached).await;
    tell(&calls);
    println!("subscribers: {}", hooks.subscribers("new-registration").join(", "));
    runtime.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Calls the hook, and waits until the call is recorded and delivered.
async fn call(
    hooks: &Resthooks,
    contact: &str,
    watch: &mut bugle::Watch,
) -> Result<(), Box<dyn Error>> {
    let receipt = hooks.call("new-registration", &json!({ "contact": contact })).await?;
    let recorded = |event: &RuntimeEvent| match event {
        RuntimeEvent::Delivered { name, .. } => name.as_str() == "resthook_called",
        _ => false,
    };
    watch.wait_for(recorded).await;
    receipt.settled().await;
    Ok(())
}

/// Prints the calls, by URL.
fn tell(calls: &std::sync::mpsc::Receiver<WebhookCalled>) {
    let mut calls: Vec<WebhookCalled> = calls.try_iter().collect();
    let path = |called: &WebhookCalled| called.url.rsplit('/').next().map(str::to_owned);
    calls.sort_by_key(path);
    for called in calls {
        println!("called {}: {} {}", called.url, called.status, called.status_code);
    }
}
