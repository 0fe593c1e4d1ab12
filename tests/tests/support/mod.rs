//! The shared parts of these tests: a runtime, its events, and waits that end.
#![allow(dead_code, unreachable_pub)]

use std::time::Duration;

use bugle::{
    Attempt, AttemptQuery, EmitOptions, EmitterConfig, EmitterId, Fate, Receipt, RetryPolicy,
    Runtime, RuntimeEvent, Status, Transport, Watch,
};
use serde_json::json;

/// The time for an action that should take none: far more than a busy machine needs, and by the
/// test's clock.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Awaits a future for [`DEADLINE`] at most.
pub async fn within<T>(what: &str, future: impl IntoFuture<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Waits for a runtime event that matches.
pub async fn wait(watch: &mut Watch, fits: impl FnMut(&RuntimeEvent) -> bool) -> RuntimeEvent {
    within("a runtime event", watch.wait_for(fits)).await.expect("the runtime is gone")
}

/// Waits until a condition holds, and tests it after each runtime event.
pub async fn until(watch: &mut Watch, mut holds: impl FnMut() -> bool) {
    within("what should come to hold", async {
        while !holds() {
            watch.next().await.expect("the runtime is gone");
        }
    })
    .await;
}

/// Starts a runtime with the memory store, and this transport.
pub async fn runtime(transport: impl Transport) -> Runtime {
    Runtime::builder().transport(transport).start().await.unwrap()
}

/// Delivers to a URL, with only short delays between attempts.
pub fn config(url: &str) -> EmitterConfig {
    EmitterConfig::new(url).unwrap().allow_private_destinations().retry(quick())
}

/// Three attempts, with very short delays between them.
pub fn quick() -> RetryPolicy {
    RetryPolicy::exponential(Duration::from_millis(1), Duration::from_millis(1)).jitter(0.0)
}

/// The same interval after every failure, without jitter.
pub fn every(interval: Duration) -> RetryPolicy {
    RetryPolicy::exponential(interval, interval).jitter(0.0)
}

/// Emits an event under this request id.
pub async fn emit(runtime: &Runtime, name: &str, id: &str) -> Receipt {
    emit_with(runtime, name, EmitOptions::new().request_id(id)).await
}

/// Emits an event with an ordering key, under this request id.
pub async fn emit_keyed(runtime: &Runtime, name: &str, id: &str, key: &str) -> Receipt {
    emit_with(runtime, name, EmitOptions::new().request_id(id).key(key)).await
}

async fn emit_with(runtime: &Runtime, name: &str, options: EmitOptions) -> Receipt {
    let payload = json!({ "invoice": 7 });
    within("emit", runtime.emit_with(name, &payload, options)).await.unwrap()
}

/// The fates of an event, by emitter, once it is settled everywhere.
pub async fn fates(receipt: &Receipt) -> Vec<(String, Option<Fate>)> {
    let settled = within("settled", receipt.settled()).await;
    settled.into_iter().map(|at| (at.emitter.to_string(), at.fate)).collect()
}

/// The fate of an event that one emitter alone wants.
pub async fn fate(receipt: &Receipt) -> Option<Fate> {
    let fates = fates(receipt).await;
    assert_eq!(fates.len(), 1, "{fates:?}");
    fates[0].1
}

/// The recorded attempts of one emitter, the oldest first; at most a hundred.
pub async fn attempts(runtime: &Runtime, id: &str) -> Vec<Attempt> {
    let query = AttemptQuery::new().webhook_ids([EmitterId::new(id).unwrap()]);
    let log = runtime.attempts();
    let mut page = log.page(&query, None).await.unwrap();
    page.items.reverse();
    page.items
}

/// The observed status of an emitter.
pub fn status(runtime: &Runtime, id: &str) -> Option<Status> {
    runtime.describe(id).map(|described| described.status)
}
