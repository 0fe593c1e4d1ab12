//! What the runtime's tests share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    BoxFuture, ConfigError, Delivery, EmitterConfig, Exchange, Outcome, RestartBudget, Session,
    Transport,
};
use bugle_runtime::{Runtime, RuntimeBuilder, RuntimeEvent, Watch};
use bugle_store::Store;

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
    let store = Store::memory();
    RuntimeBuilder::new(store.journal(), store.attempts(), Arc::new(transport))
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
