//! Retries: their times, their number, and the events that they delay. On paused time hours pass in
//! an instant; the statuses are tried over real connections too.

mod backoff;
mod gone;
mod orders;
mod retry_after;
mod statuses;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use bugle::EmitterConfig;
use bugle_testkit::Attempted;
use serde_json::Value;

const URL: &str = "https://receiver.test/hooks";

fn config() -> EmitterConfig {
    EmitterConfig::new(URL).unwrap()
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn gaps(attempts: &[Attempted]) -> Vec<Duration> {
    attempts.windows(2).map(|pair| pair[1].started - pair[0].started).collect()
}

/// The observations of the original under traffic, by name.
fn observed(name: &str) -> Value {
    let text = include_str!("../../../crates/bugle-runtime/tests/data/otp.json");
    let data: Value = serde_json::from_str(text).unwrap();
    let traffic = data["traffic"].as_array().unwrap();
    traffic.iter().find(|observation| observation["name"] == name).unwrap().clone()
}
