//! The result of a delivery run.

use std::fmt;
use std::time::Duration;

use bugle::{AttemptCode, Runtime};
use console::style;
use serde::Serialize;

use super::feed::Feed;
use super::target::Target;
use super::watcher;
use crate::error::JsonError;
use crate::table::Table;
use crate::ui::{count, plural};

/// The summary, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct DeliverSummary {
    /// The number of events that were accepted.
    accepted: u64,
    /// The number of lines that were not events.
    invalid_lines: u64,
    /// The number of events that no receiver wants.
    #[serde(skip_serializing_if = "is_zero")]
    unwanted: u64,
    /// The number of requests that were made, over all emitters.
    attempts: u64,
    /// The time from the first line to the last settlement, in milliseconds.
    elapsed_ms: u64,
    emitters: Vec<DeliverEmitter>,
    /// The errors: of lines, of reading, and the last failure of each receiver that lacks
    /// something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<JsonError>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Debug, Serialize)]
struct DeliverEmitter {
    id: String,
    url: String,
    delivered: u64,
    dead_lettered: u64,
    /// The number of events that still wait.
    pending: u64,
    /// The number of events that waited longer than the store lets them, or were dropped to make
    /// room.
    #[serde(skip_serializing_if = "is_zero")]
    dropped: u64,
    #[serde(skip)]
    attempts: u64,
    #[serde(skip)]
    last_failure: Option<(AttemptCode, String)>,
}

impl DeliverSummary {
    /// Sums up a runtime that has shut down.
    pub(super) fn new(
        runtime: &Runtime,
        targets: &[Target],
        feed: &Feed<'_>,
        elapsed: Duration,
        mut errors: Vec<JsonError>,
    ) -> Self {
        let accepted = runtime.journal_stats().appended;
        let emitters: Vec<_> = targets
            .iter()
            .map(|target| {
                let last = runtime.describe(&target.id);
                let last = last.as_ref();
                let delivered = last.map_or(0, |emitter| emitter.delivered_since_start);
                let dead_lettered = last.map_or(0, |emitter| emitter.dead_lettered_since_start);
                let failed = last.map_or(0, |emitter| emitter.failed_attempts_since_start);
                let last_failure = last.and_then(|emitter| emitter.last_failure.as_ref());
                DeliverEmitter {
                    id: target.id.clone(),
                    url: target.url.clone(),
                    delivered,
                    dead_lettered,
                    pending: last.map_or(0, |emitter| emitter.depth),
                    dropped: last.map_or(0, |emitter| emitter.dropped_since_start),
                    attempts: delivered + failed,
                    last_failure: last_failure.map(|failure| {
                        (failure.code, watcher::in_words(failure.code, &failure.message))
                    }),
                }
            })
            .collect();
        errors.extend(emitters.iter().filter_map(|emitter| {
            let (code, why) = emitter.why()?;
            Some(JsonError::new(code, format_args!("{}: {why}", emitter.url)))
        }));
        Self {
            accepted,
            invalid_lines: feed.invalid_lines(),
            unwanted: feed.unwanted(),
            attempts: emitters.iter().map(|emitter| emitter.attempts).sum(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            emitters,
            errors,
        }
    }

    /// The number of events that still wait, over all emitters.
    pub(super) fn pending(&self) -> u64 {
        self.emitters.iter().map(|emitter| emitter.pending).sum()
    }

    /// True when every line was an event, and every event reached every receiver.
    pub(super) fn is_all_delivered(&self) -> bool {
        let all = |emitter: &DeliverEmitter| emitter.undelivered() == 0;
        self.invalid_lines + self.unwanted == 0 && self.emitters.iter().all(all)
    }
}

impl DeliverEmitter {
    fn undelivered(&self) -> u64 {
        self.dead_lettered + self.pending + self.dropped
    }

    /// The last failure that kept an event from being delivered.
    fn why(&self) -> Option<&(AttemptCode, String)> {
        self.last_failure.as_ref().filter(|_| self.undelivered() > 0)
    }
}

impl fmt::Display for DeliverSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table =
            Table::new(&["receiver", "#delivered", "#given up", "#pending", "#attempts"]);
        let zero_is_fine = |number: u64| match number {
            0 => count(0),
            some => style(count(some)).red().to_string(),
        };
        for emitter in &self.emitters {
            table.row([
                emitter.url.clone(),
                count(emitter.delivered),
                zero_is_fine(emitter.dead_lettered),
                zero_is_fine(emitter.pending),
                count(emitter.attempts),
            ]);
        }
        writeln!(f, "{table}")?;
        for emitter in &self.emitters {
            let label = style(format!("{}:", emitter.url)).yellow();
            if let Some((_, why)) = emitter.why() {
                writeln!(f, "{label} {why}")?;
            }
            if emitter.dropped > 0 {
                let dropped = plural(emitter.dropped, "event");
                writeln!(f, "{label} {dropped} dropped by the store, for age or for room")?;
            }
        }
        let seconds = self.elapsed_ms as f64 / 1000.0;
        let delivered: u64 = self.emitters.iter().map(|emitter| emitter.delivered).sum();
        write!(f, "{} accepted", plural(self.accepted, "event"))?;
        if self.invalid_lines > 0 {
            let lines = plural(self.invalid_lines, "invalid line");
            write!(f, ", {}", style(lines).red())?;
        }
        if self.unwanted > 0 {
            write!(f, ", {} wanted by no receiver", style(count(self.unwanted)).red())?;
        }
        write!(f, ", {} delivered in {seconds:.1} s", count(delivered))?;
        if seconds >= 1.0 {
            write!(f, " ({} a second)", count((delivered as f64 / seconds) as u64))?;
        }
        Ok(())
    }
}
