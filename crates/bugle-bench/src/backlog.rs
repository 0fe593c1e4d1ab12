//! Measures memory while large events wait at many emitters, whose receivers all hang.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use bugle::{ConfigError, Delivery, EmitterConfig, Outcome, Runtime, Session, Transport};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::payload::Filler;
use crate::stats::{float, resident};

/// The result, in MiB.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// Resident memory of the whole process.
    pub(crate) resident_mib: f64,
    /// The part of it that came with the events: the emitters were attached before.
    pub(crate) added_mib: f64,
}

/// Attaches emitters, emits the events, and measures once every emitter is at its first.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn part(emitters: usize, events: usize, bytes: usize) -> Result<Waiting> {
    let begun = Arc::new(Begun { expected: emitters, ..Begun::default() });
    let runtime = Runtime::builder().transport(Hanging(Arc::clone(&begun))).start().await?;
    let config = EmitterConfig::new("https://hooks.example.com/")?;
    let config = Arc::new(config.request_timeout(Duration::from_secs(3600)));
    for number in 0..emitters {
        runtime.attach(format!("emitter-{number}"), "bench.backlog", Arc::clone(&config)).await?;
    }
    let before = resident()?;
    let filler = Filler::new(bytes);
    for _ in 0..events {
        runtime.emit("bench.backlog", &filler.payload()).await?;
    }
    begun.all.notified().await;
    let after = resident()?;
    runtime.shutdown(Duration::ZERO).await;
    let mib = |bytes| float(bytes) / f64::from(1 << 20);
    Ok(Waiting { resident_mib: mib(after), added_mib: mib(after.saturating_sub(before)) })
}

/// Counts deliveries that have begun, and notifies when each emitter has begun one.
#[derive(Debug, Default)]
struct Begun {
    expected: usize,
    count: AtomicUsize,
    all: Notify,
}

/// A transport that never answers.
#[derive(Debug, Clone)]
struct Hanging(Arc<Begun>);

impl Transport for Hanging {
    fn open(&self, _: &Arc<EmitterConfig>) -> Result<Box<dyn Session>, ConfigError> {
        Ok(Box::new(self.clone()))
    }
}

impl Session for Hanging {
    fn deliver<'a>(
        &'a self,
        _: &'a Delivery,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        if self.0.count.fetch_add(1, Ordering::Relaxed) + 1 == self.0.expected {
            self.0.all.notify_one();
        }
        Box::pin(pending())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_events_wait_while_the_receivers_hang() {
        let found = super::part(20, 4, 1 << 20).unwrap();
        // The rest of the memory of this process depends on the other tests.
        assert!(found.resident_mib > 4.0, "{found:?}");
    }
}
