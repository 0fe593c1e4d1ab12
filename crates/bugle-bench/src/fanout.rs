//! One event to many emitters. The receivers are left out: each delivery succeeds at once, so that
//! `emit` and the work of the emitters are measured.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bugle::{ConfigError, Delivery, EmitterConfig, Exchange, Outcome, Runtime, Session, Transport};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::payload::{BYTES, Filler};
use crate::stats::{float, median, micros, millis, process_cpu, thread_cpu};

/// The result.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Fanout {
    /// Microseconds of CPU time of the call of `emit`, for each emitter: the first event, for
    /// which each has to start a courier.
    pub(crate) emit_cold_us: f64,
    /// The same of the events that follow, for which a courier is there and parked.
    pub(crate) emit_warm_us: f64,
    /// Microseconds of CPU time of the whole process, for each delivery of these.
    pub(crate) delivery_us: f64,
    /// Milliseconds until all of them have delivered the first event.
    pub(crate) cold_ms: f64,
    /// Milliseconds until all of them have delivered one that follows.
    pub(crate) warm_ms: f64,
}

/// One event's way to all emitters.
struct Wave {
    emit_cpu: Duration,
    all_cpu: Duration,
    elapsed: Duration,
}

/// Attaches emitters and emits one event after another, each when the one before was delivered.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn part(emitters: usize, events: usize) -> Result<Fanout> {
    let counter = Arc::new(DeliveryCounter { expected: emitters, ..DeliveryCounter::default() });
    let transport = Instantly(Arc::clone(&counter));
    let runtime = Runtime::builder().transport(transport).start().await?;
    let config = Arc::new(EmitterConfig::new("https://hooks.example.com/")?);
    for number in 0..emitters {
        runtime.attach(format!("emitter-{number}"), "bench.fanout", Arc::clone(&config)).await?;
    }
    let filler = Filler::new(BYTES);
    let cold = wave(&runtime, &filler, &counter).await?;
    let mut warm = Vec::with_capacity(events);
    for _ in 0..events {
        warm.push(wave(&runtime, &filler, &counter).await?);
    }
    runtime.shutdown(Duration::from_secs(10)).await;
    let each = float(emitters.max(1) as u64);
    let middle = |value: fn(&Wave) -> f64| median(warm.iter().map(value)).unwrap_or(f64::NAN);
    Ok(Fanout {
        emit_cold_us: micros(cold.emit_cpu) / each,
        emit_warm_us: middle(|wave| micros(wave.emit_cpu)) / each,
        delivery_us: middle(|wave| micros(wave.all_cpu)) / each,
        cold_ms: millis(cold.elapsed),
        warm_ms: middle(|wave| millis(wave.elapsed)),
    })
}

async fn wave(runtime: &Runtime, filler: &Filler, counter: &DeliveryCounter) -> Result<Wave> {
    counter.delivered.store(0, Ordering::Relaxed);
    let (all_cpu, start) = (process_cpu(), Instant::now());
    let cpu = thread_cpu();
    runtime.emit("bench.fanout", &filler.payload()).await?;
    let emit_cpu = thread_cpu().saturating_sub(cpu);
    counter.all.notified().await;
    let elapsed = start.elapsed();
    // On one thread, whoever is still on its way to park gets there before a timer rings.
    tokio::time::sleep(Duration::from_millis(2)).await;
    Ok(Wave { emit_cpu, all_cpu: process_cpu().saturating_sub(all_cpu), elapsed })
}

/// Counts deliveries, and notifies when all are made.
#[derive(Debug, Default)]
struct DeliveryCounter {
    expected: usize,
    delivered: AtomicUsize,
    all: Notify,
}

/// A transport that delivers without doing anything.
#[derive(Debug, Clone)]
struct Instantly(Arc<DeliveryCounter>);

impl Transport for Instantly {
    fn open(&self, _: &Arc<EmitterConfig>) -> Result<Box<dyn Session>, ConfigError> {
        Ok(Box::new(self.clone()))
    }
}

impl Session for Instantly {
    fn deliver<'a>(
        &'a self,
        _: &'a Delivery,
    ) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
        if self.0.delivered.fetch_add(1, Ordering::Relaxed) + 1 == self.0.expected {
            self.0.all.notify_one();
        }
        Box::pin(ready(Outcome::delivered(Exchange::default())))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_wave_reaches_every_emitter() {
        let found = super::part(20, 3).unwrap();
        for number in [found.emit_cold_us, found.emit_warm_us, found.delivery_us, found.warm_ms] {
            assert!(number > 0.0, "{found:?}");
        }
    }
}
