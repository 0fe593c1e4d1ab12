//! Measures how fast the store on disk accepts events: from one caller, and from many at once.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use bugle::{Runtime, Store};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::disk::Scratch;
use crate::frames;
use crate::payload::{BYTES, Filler};
use crate::stats::{float, histogram, median, micros, process_cpu};

/// The results: medians of the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Accepted {
    /// The time of a sync of 1 KiB, in microseconds.
    pub(crate) sync_us: f64,
    /// The median of a lone `emit`, in microseconds, and in syncs.
    pub(crate) lone_us: f64,
    pub(crate) lone_syncs: f64,
    /// Events accepted a second from one caller, from many, and the ratio of the two.
    pub(crate) lone_rps: f64,
    pub(crate) rps: f64,
    pub(crate) ratio: f64,
    /// Events a second that a bare loop has on the disk in frames, and the ratio of `rps` to it.
    pub(crate) frames_rps: f64,
    pub(crate) frames_ratio: f64,
    /// With many callers: CPU time an event, and the time that `emit` takes, in microseconds.
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Measures in turns: the disk alone, one caller, many callers, the bare loop of frames.
pub(crate) async fn measure(
    disk: &Scratch,
    callers: usize,
    rounds: u32,
    slice: Duration,
) -> Result<Accepted> {
    let directory = disk.store("accept");
    let runtime = Runtime::builder().store(Store::open(&directory)?).start().await?;
    let mut all = Vec::new();
    for round in 0..=rounds {
        let sync_us = disk.sync_us(slice / 2)?;
        let lone = turn(&runtime, 1, slice).await?;
        let many = turn(&runtime, callers, slice).await?;
        let frames_rps = frames::rps(disk, slice / 2)?;
        // The first round is a warm-up.
        if round > 0 {
            all.push(Accepted {
                sync_us,
                lone_us: lone.at(0.5),
                lone_syncs: lone.at(0.5) / sync_us,
                lone_rps: lone.rps,
                rps: many.rps,
                ratio: many.rps / lone.rps,
                frames_rps,
                frames_ratio: many.rps / frames_rps,
                cpu_us: many.cpu_us,
                p50_us: many.at(0.5),
                p99_us: many.at(0.99),
            });
        }
    }
    runtime.shutdown(Duration::ZERO).await;
    drop(runtime);
    remove(&directory);
    let of = |value: fn(&Accepted) -> f64| median(all.iter().map(value)).unwrap_or(f64::NAN);
    Ok(Accepted {
        sync_us: of(|it| it.sync_us),
        lone_us: of(|it| it.lone_us),
        lone_syncs: of(|it| it.lone_syncs),
        lone_rps: of(|it| it.lone_rps),
        rps: of(|it| it.rps),
        ratio: of(|it| it.ratio),
        frames_rps: of(|it| it.frames_rps),
        frames_ratio: of(|it| it.frames_ratio),
        cpu_us: of(|it| it.cpu_us),
        p50_us: of(|it| it.p50_us),
        p99_us: of(|it| it.p99_us),
    })
}

/// Frees the space for the next case; the whole is removed at the end anyway.
pub(crate) fn remove(directory: &Path) {
    let _ = std::fs::remove_dir_all(directory);
}

struct AcceptTurn {
    rps: f64,
    cpu_us: f64,
    taken: Histogram<u64>,
}

impl AcceptTurn {
    fn at(&self, quantile: f64) -> f64 {
        float(self.taken.value_at_quantile(quantile)) / 1e3
    }
}

/// Has so many callers emit, each one event after another.
async fn turn(runtime: &Runtime, callers: usize, slice: Duration) -> Result<AcceptTurn> {
    let filler = Arc::new(Filler::new(BYTES));
    let stopping = Arc::new(AtomicBool::new(false));
    let mut emitting = JoinSet::new();
    let (cpu, start) = (process_cpu(), Instant::now());
    for caller in 0..callers {
        let (runtime, filler) = (runtime.clone(), Arc::clone(&filler));
        let stopping = Arc::clone(&stopping);
        emitting.spawn(async move {
            let name = format!("bench.{caller}");
            let mut taken = histogram()?;
            while !stopping.load(Ordering::Relaxed) {
                let called = Instant::now();
                runtime.emit(&name, &filler.payload()).await?;
                taken.saturating_record(u64::try_from(called.elapsed().as_nanos())?);
            }
            anyhow::Ok(taken)
        });
    }
    tokio::time::sleep(slice).await;
    stopping.store(true, Ordering::Relaxed);
    let mut taken = histogram()?;
    while let Some(one) = emitting.join_next().await {
        taken.add(one??)?;
    }
    let (elapsed, cpu) = (start.elapsed(), process_cpu().saturating_sub(cpu));
    let count = float(taken.len());
    Ok(AcceptTurn { rps: count / elapsed.as_secs_f64(), cpu_us: micros(cpu) / count, taken })
}
