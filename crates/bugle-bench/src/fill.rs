//! Many events, as fast as they can be accepted.

use anyhow::Result;
use bugle::{EmitBatch, Runtime};
use indicatif::{ProgressBar, ProgressStyle};

use crate::payload::{BYTES, Filler};

/// The number of different names that the events have.
const NAMES: u64 = 64;

/// The number of events in a batch.
const BATCH: u64 = 500;

/// Shows a bar for work that is not measured, but is waited for.
pub(crate) fn bar(count: u64, what: &'static str) -> Result<ProgressBar> {
    let style = "{msg} {human_pos}/{human_len} {per_sec} {eta} {wide_bar}";
    let bar = ProgressBar::new(count).with_style(ProgressStyle::with_template(style)?);
    Ok(bar.with_message(what))
}

/// Has a runtime accept so many events.
pub(crate) async fn fill(runtime: &Runtime, events: u64) -> Result<()> {
    let filler = Filler::new(BYTES);
    let progress = bar(events, "filling the store: events")?;
    let mut next = 0;
    while next < events {
        let end = events.min(next + BATCH);
        let mut batch = EmitBatch::new();
        for number in next..end {
            batch = batch.event(format!("bench.{}", number % NAMES), &filler.payload())?;
        }
        runtime.emit_batch(batch).await?;
        progress.inc(end - next);
        next = end;
    }
    progress.finish_and_clear();
    Ok(())
}
