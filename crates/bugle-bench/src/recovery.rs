//! Measures going on after the end of a process: from the opening of a store in which many events
//! wait until the first of them is delivered.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bugle::{
    Backlog, ConfigError, Delivery, Durability, EmitterConfig, Exchange, Outcome, Runtime, Session,
    SqliteOptions, Store, Transport,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::fill::fill;
use crate::stats::{float, millis, peak};

/// The result.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Recovered {
    /// Milliseconds until the store was open.
    pub(crate) open_ms: f64,
    /// Milliseconds until the first delivery.
    pub(crate) first_ms: f64,
    /// The most memory that was resident by then, in MiB.
    pub(crate) peak_mib: f64,
}

/// Has so many events wait in a new store.
pub(crate) async fn prepare(directory: &Path, events: u64) -> Result<()> {
    let options = SqliteOptions::new().durability(Durability::Os);
    let store = Store::open_with(directory, options)?;
    let runtime = Runtime::builder().store(store).transport(Telling::default()).start().await?;
    runtime.attach("bench", ">", config()?).await?;
    runtime.pause_with("bench", Backlog::Keep).await?;
    fill(&runtime, events).await?;
    runtime.shutdown(Duration::ZERO).await;
    Ok(())
}

/// Opens that store, in a process that has done nothing else.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn part(directory: PathBuf) -> Result<Recovered> {
    let first = Telling::default();
    let start = Instant::now();
    let store = Store::open(directory)?;
    let open_ms = millis(start.elapsed());
    let runtime = Runtime::builder().store(store).transport(first.clone()).start().await?;
    runtime.attach("bench", ">", config()?).await?;
    first.0.notified().await;
    let first_ms = millis(start.elapsed());
    let peak_mib = float(peak()?) / f64::from(1 << 20);
    runtime.shutdown(Duration::ZERO).await;
    Ok(Recovered { open_ms, first_ms, peak_mib })
}

fn config() -> Result<EmitterConfig> {
    Ok(EmitterConfig::new("https://hooks.example.com/")?)
}

/// A transport that delivers at once, and notifies of it.
#[derive(Debug, Clone, Default)]
struct Telling(Arc<Notify>);

impl Transport for Telling {
    fn open(&self, _: &Arc<EmitterConfig>) -> Result<Box<dyn Session>, ConfigError> {
        Ok(Box::new(self.clone()))
    }
}

impl Session for Telling {
    fn deliver<'a>(
        &'a self,
        _: &'a Delivery,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        self.0.notify_one();
        Box::pin(async { Outcome::delivered(Exchange::default()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(prepare(directory.path(), 2_500)).unwrap();
        let found = part(directory.path().to_owned()).unwrap();
        assert!(0.0 < found.open_ms && found.open_ms < found.first_ms, "{found:?}");
    }
}
