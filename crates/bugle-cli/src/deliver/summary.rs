//! What became of it all.

use std::fmt;
use std::time::Duration;

use bugle::Runtime;
use console::style;
use serde::Serialize;

use super::target::Target;
use super::watcher;
use crate::table::Table;
use crate::ui::{count, plural};

/// The summary, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// How many events were accepted.
    accepted: u64,
    /// How many lines were not events.
    invalid_lines: u64,
    /// How many requests were made, over all emitters.
    attempts: u64,
    /// From the first line to the last settlement, in milliseconds.
    elapsed_ms: u64,
    emitters: Vec<EmitterSummary>,
}

#[derive(Debug, Serialize)]
struct EmitterSummary {
    id: String,
    url: String,
    delivered: u64,
    dead_lettered: u64,
    /// What still waits.
    pending: u64,
    #[serde(skip)]
    attempts: u64,
    #[serde(skip)]
    last_failure: Option<String>,
}

impl Summary {
    /// Of a runtime that has shut down.
    pub(super) fn new(
        runtime: &Runtime,
        targets: &[Target],
        invalid_lines: u64,
        elapsed: Duration,
    ) -> Self {
        let accepted = runtime.journal_stats().appended;
        let emitters: Vec<_> = targets
            .iter()
            .map(|target| {
                let last = runtime.describe(&target.id);
                let last = last.as_ref();
                let delivered = last.map_or(0, |emitter| emitter.delivered);
                let dead_lettered = last.map_or(0, |emitter| emitter.dead_lettered);
                let failed = last.map_or(0, |emitter| emitter.failed_attempts);
                let last_failure = last.and_then(|emitter| emitter.last_failure.as_ref());
                EmitterSummary {
                    id: target.id.clone(),
                    url: target.url.clone(),
                    delivered,
                    dead_lettered,
                    pending: last.map_or(0, |emitter| emitter.depth),
                    attempts: delivered + failed,
                    last_failure: last_failure
                        .map(|failure| watcher::in_words(failure.code, &failure.message)),
                }
            })
            .collect();
        Self {
            accepted,
            invalid_lines,
            attempts: emitters.iter().map(|emitter| emitter.attempts).sum(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            emitters,
        }
    }

    /// How many events still wait, over all emitters.
    pub(super) fn pending(&self) -> u64 {
        self.emitters.iter().map(|emitter| emitter.pending).sum()
    }

    /// Whether every line was an event, and every event reached every receiver.
    pub(super) fn is_all_delivered(&self) -> bool {
        let all = |emitter: &EmitterSummary| emitter.dead_lettered + emitter.pending == 0;
        self.invalid_lines == 0 && self.emitters.iter().all(all)
    }
}

impl EmitterSummary {
    /// What was last in the way of what was not delivered.
    fn why(&self) -> Option<&str> {
        let undelivered = self.dead_lettered + self.pending > 0;
        self.last_failure.as_deref().filter(|_| undelivered)
    }
}

impl fmt::Display for Summary {
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
            if let Some(why) = emitter.why() {
                writeln!(f, "{} {why}", style(format!("{}:", emitter.url)).yellow())?;
            }
        }
        let seconds = self.elapsed_ms as f64 / 1000.0;
        let delivered: u64 = self.emitters.iter().map(|emitter| emitter.delivered).sum();
        write!(f, "{} accepted", plural(self.accepted, "event"))?;
        if self.invalid_lines > 0 {
            let lines = plural(self.invalid_lines, "invalid line");
            write!(f, ", {}", style(lines).red())?;
        }
        write!(f, ", {} delivered in {seconds:.1} s", count(delivered))?;
        if seconds >= 1.0 {
            write!(f, " ({} a second)", count((delivered as f64 / seconds) as u64))?;
        }
        Ok(())
    }
}
