//! What a person sees meanwhile: a bar for each receiver, on a terminal.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bugle::{EmitterDescription, Runtime, Status};
use console::truncate_str;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::args::DeliverArgs;
use super::source::Bytes;
use super::target::Target;
use crate::ui;

/// How many receivers have a bar of their own.
const MOST_BARS: usize = 12;

/// How wide an emitter's id is shown.
const ID_WIDTH: usize = 28;

const REDRAW: Duration = Duration::from_millis(100);

const BAR: &str = "{prefix:.bold} {bar:24.cyan/dim} {wide_msg}";
const SPINNER: &str = "{prefix:.bold} {spinner:.cyan} {wide_msg}";

/// The bars, and the lines above them.
pub(super) struct Progress {
    bars: MultiProgress,
    of_emitters: Vec<(String, ProgressBar)>,
    bytes: Bytes,
    all_read: AtomicBool,
}

impl Progress {
    pub(super) fn new(args: &DeliverArgs, targets: &[Target], bytes: Bytes) -> Self {
        let visible = !args.quiet && console::user_attended_stderr();
        let bars = MultiProgress::with_draw_target(match visible {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        let width = targets.iter().map(|target| target.id.len()).max().unwrap_or_default();
        let of_emitters = targets.iter().take(MOST_BARS).map(|target| {
            let bar = bars.add(ProgressBar::no_length());
            bar.set_style(style(if bytes.total.is_some() { BAR } else { SPINNER }));
            let id = truncate_str(&target.id, ID_WIDTH, "…");
            bar.set_prefix(format!("{id:width$}", width = width.min(ID_WIDTH)));
            (target.id.clone(), bar)
        });
        let of_emitters = of_emitters.collect();
        Self { bars, of_emitters, bytes, all_read: AtomicBool::new(false) }
    }

    /// Writes a line to standard error, above the bars.
    pub(super) fn note(&self, line: impl Display) {
        self.bars.suspend(|| ui::note(line));
    }

    /// Every line was read: what was accepted is now the whole.
    pub(super) fn all_read(&self) {
        self.all_read.store(true, Ordering::Relaxed);
    }

    /// Draws the bars until the task is aborted.
    pub(super) fn draw(self: &Arc<Self>, runtime: Runtime) -> JoinHandle<()> {
        let progress = Arc::clone(self);
        tokio::spawn(async move {
            if progress.bars.is_hidden() {
                return;
            }
            let mut ticks = tokio::time::interval(REDRAW);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                progress.redraw(&runtime);
            }
        })
    }

    fn redraw(&self, runtime: &Runtime) {
        let accepted = runtime.journal_stats().appended;
        for (id, bar) in &self.of_emitters {
            let Some(emitter) = runtime.describe(id) else { continue };
            let settled = emitter.delivered + emitter.dead_lettered;
            if let Some(unread) = self.unread(accepted) {
                bar.set_length((settled + emitter.depth + unread).max(1));
            }
            bar.set_position(settled);
            bar.set_message(in_words(&emitter));
            bar.tick();
        }
    }

    /// How many events are still to be read: none, or guessed from the part of the file that was
    /// read.
    fn unread(&self, accepted: u64) -> Option<u64> {
        if self.all_read.load(Ordering::Relaxed) {
            return Some(0);
        }
        let fraction = self.bytes.fraction().filter(|fraction| *fraction > 0.0)?;
        Some((accepted as f64 / fraction) as u64 - accepted)
    }

    /// Takes the bars away.
    pub(super) fn clear(&self) {
        for (_, bar) in &self.of_emitters {
            bar.finish_and_clear();
        }
        // What can't be erased stays; that is all.
        let _ = self.bars.clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn in_words(emitter: &EmitterDescription) -> String {
    let mut text = format!("{} delivered", ui::count(emitter.delivered));
    if emitter.depth > 0 {
        text += &format!(" · {} waiting", ui::count(emitter.depth));
    }
    if emitter.dead_lettered > 0 {
        text += &format!(" · {} given up", ui::count(emitter.dead_lettered));
    }
    match emitter.status {
        Status::Running if emitter.failures_in_a_row > 0 => {
            let failures = ui::plural(emitter.failures_in_a_row.into(), "failure");
            text += &format!(" · {failures} in a row, backing off");
        }
        Status::Running => {}
        other => text += &format!(" · {other}"),
    }
    text
}
