//! The tools that the runtime's tests share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    BoxFuture, ConfigError, Delivery, EmitterConfig, Event, Exchange, Outcome, RestartBudget,
    Session, Transport,
};
use bugle_runtime::{HandlerConfig, Runtime, RuntimeBuilder, RuntimeEvent, Watch};
use bugle_store::Store;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

/// A receiver that takes everything at once.
#[derive(Debug)]
pub struct Takes;

impl Transport for Takes {
    fn open(&self, _config: &Arc<EmitterConfig>) -> Result<Box<dyn Session>, ConfigError> {
        Ok(Box::new(Takes))
    }
}

impl Session for Takes {
    fn deliver<'a>(&'a self, _delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::delivered(Exchange::default()) })
    }
}

pub fn builder() -> RuntimeBuilder {
    builder_with(Takes)
}

pub fn builder_with(transport: impl Transport) -> RuntimeBuilder {
    RuntimeBuilder::new(Store::memory(), Arc::new(transport))
}

pub async fn runtime() -> Runtime {
    builder().start().await.unwrap()
}

pub fn config() -> EmitterConfig {
    EmitterConfig::new("https://example.com/hooks").unwrap()
}

pub fn generous() -> RestartBudget {
    RestartBudget::new(u32::MAX, Duration::from_secs(1))
}

/// Waits for an event, at most a minute of the test's clock.
pub async fn wait(watch: &mut Watch, fits: impl FnMut(&RuntimeEvent) -> bool) -> RuntimeEvent {
    let waited = tokio::time::timeout(Duration::from_secs(60), watch.wait_for(fits)).await;
    waited.expect("it did not happen within a minute").expect("the runtime is gone")
}

/// Waits until something holds, looking again after each runtime event.
pub async fn until(watch: &mut Watch, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !holds() {
            watch.next().await.expect("the runtime is gone");
        }
    });
    waited.await.expect("it did not come to hold within a minute");
}

/// Records what a handler took.
#[derive(Clone, Default)]
pub struct Taken(pub Arc<Mutex<Vec<String>>>);

impl Taken {
    pub fn push(&self, event: &Event) {
        self.0.lock().push(event.request_id.to_string());
    }

    pub fn ids(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

pub async fn emit(runtime: &Runtime, name: &str, id: &str) -> bugle_runtime::Receipt {
    let options = bugle_runtime::EmitOptions::new().request_id(id);
    runtime.emit_with(name, &json!({ "id": id }), options).await.unwrap()
}

pub async fn attach_taking(runtime: &Runtime, id: &str, event: &str, taken: &Taken) {
    let taken = taken.clone();
    let take = move |event: Arc<Event>| {
        taken.push(&event);
        async { Ok::<(), String>(()) }
    };
    runtime.attach_handler(id, [event], take, HandlerConfig::default()).await.unwrap();
}

/// A handler that never ends, and says when it was entered.
pub async fn attach_hanging(runtime: &Runtime, id: &str, event: &str) -> Arc<Notify> {
    let entered = Arc::new(Notify::new());
    let tell = Arc::clone(&entered);
    let hang = move |_: Arc<Event>| {
        tell.notify_one();
        std::future::pending::<Result<(), String>>()
    };
    let config = HandlerConfig::default().timeout(Duration::from_secs(3600));
    runtime.attach_handler(id, [event], hang, config).await.unwrap();
    entered
}
