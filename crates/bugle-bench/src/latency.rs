//! Measures the time that `emit` takes, and the time that an event is on its way, at a steady rate
//! below what the machine can.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::lanes::Lanes;
use crate::payload::{BYTES, Filler};
use crate::receiver::{Receiver, Recorded};
use crate::stats::{float, histogram};

/// Events a second, over all emitters together.
const RATE: f64 = 2000.0;

/// The result, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Latency {
    pub(crate) emit_p50_us: f64,
    pub(crate) emit_p99_us: f64,
    /// From the call of `emit` until the receiver has read the request.
    pub(crate) received: Recorded,
}

/// Emits at a steady rate, to one emitter after another, whether or not the earlier events have
/// arrived. The clock ticks once a millisecond, and the events due then are emitted at once.
pub(crate) async fn measure(lanes: &Lanes, to: &Receiver, time: Duration) -> Result<Latency> {
    let filler = Filler::new(BYTES);
    let mut emits = histogram()?;
    let mut names = lanes.names().cycle();
    let mut sent = 0.0;
    to.record()?;
    let mut clock = tokio::time::interval(Duration::from_millis(1));
    let start = Instant::now();
    while start.elapsed() < time {
        clock.tick().await;
        while sent < start.elapsed().as_secs_f64() * RATE {
            let Some(name) = names.next() else { break };
            let called = Instant::now();
            lanes.runtime.emit(name, &filler.payload()).await?;
            emits.saturating_record(u64::try_from(called.elapsed().as_nanos())?);
            sent += 1.0;
        }
    }
    lanes.drain().await?;
    let received = to.recorded()?;
    ensure!(received.events == emits.len(), "{} of {} arrived", received.events, emits.len());
    let emit = |quantile| float(emits.value_at_quantile(quantile)) / 1e3;
    Ok(Latency { emit_p50_us: emit(0.5), emit_p99_us: emit(0.99), received })
}
