//! The view of a running delivery on a terminal: a bar for each receiver.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bugle::{EmitterDescription, Runtime, Status};
use console::{Term, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::args::DeliverArgs;
use super::pace::{self, Pace};
use super::source::Bytes;
use super::target::Target;
use crate::ui::{self, Above};

/// The number of receivers that have a bar of their own.
const MOST_BARS: usize = 12;

/// The least width of a terminal, with the widths of an emitter's id and of the bar beside it.
const WIDTHS: [(u16, usize, usize); 4] = [(140, 28, 24), (100, 22, 12), (60, 15, 6), (0, 15, 0)];

const REDRAW: Duration = Duration::from_millis(100);

/// The bars, and the lines above them.
pub(super) struct Progress {
    bars: MultiProgress,
    of_emitters: Vec<Bar>,
    bytes: Bytes,
    all_read: AtomicBool,
    started: Instant,
    /// Directs notes above the bars for as long as there are some.
    _above: Above,
}

/// The bar of one receiver.
struct Bar {
    emitter: String,
    bar: ProgressBar,
    pace: Mutex<Pace>,
}

impl Progress {
    pub(super) fn new(args: &DeliverArgs, targets: &[Target], bytes: Bytes) -> Self {
        let visible = !args.quiet && console::user_attended_stderr();
        let bars = MultiProgress::with_draw_target(match visible {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        let terminal = Term::stderr().size().1;
        let (_, id_width, bar_width) =
            WIDTHS.into_iter().find(|(least, ..)| terminal >= *least).unwrap_or_default();
        let template = match (bytes.total, bar_width) {
            (None, _) => "{prefix:.bold} {spinner:.cyan} {wide_msg}".to_owned(),
            (Some(_), 0) => "{prefix:.bold} {percent:>3} % {wide_msg}".to_owned(),
            (Some(_), width) => {
                format!("{{prefix:.bold}} {{bar:{width}.cyan/dim}} {{percent:>3}} % {{wide_msg}}")
            }
        };
        let width = targets.iter().map(|target| target.id.len()).max().unwrap_or_default();
        let of_emitters = targets.iter().take(MOST_BARS).map(|target| {
            let bar = bars.add(ProgressBar::no_length());
            let style = ProgressStyle::with_template(&template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            let id = truncate_str(&target.id, id_width, "…");
            bar.set_prefix(format!("{id:width$}", width = width.min(id_width)));
            Bar { emitter: target.id.clone(), bar, pace: Mutex::default() }
        });
        Self {
            of_emitters: of_emitters.collect(),
            bytes,
            all_read: AtomicBool::new(false),
            started: Instant::now(),
            _above: Above::bars(&bars),
            bars,
        }
    }

    /// Writes a line to standard error, above the bars.
    pub(super) fn note(&self, line: impl Display) {
        ui::note(line);
    }

    /// Notes that every line was read: what was accepted is now the whole.
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
        let unread = self.unread(accepted);
        for Bar { emitter, bar, pace } in &self.of_emitters {
            let Some(emitter) = runtime.describe(emitter) else { continue };
            let settled = emitter.delivered_since_start + emitter.dead_lettered_since_start;
            let mut pace = pace.lock();
            pace.measure(self.started.elapsed(), settled);
            let left = unread.map(|unread| emitter.depth + unread);
            if let Some(left) = left {
                bar.set_length((settled + left).max(1));
            }
            bar.set_position(settled);
            bar.set_message(in_words(&emitter, &pace, left));
            bar.tick();
        }
    }

    /// The number of events that are still to be read: none, or guessed from the part of the file
    /// that was read.
    fn unread(&self, accepted: u64) -> Option<u64> {
        if self.all_read.load(Ordering::Relaxed) {
            return Some(0);
        }
        let fraction = self.bytes.fraction().filter(|fraction| *fraction > 0.0)?;
        Some((accepted as f64 / fraction) as u64 - accepted)
    }

    /// Takes the bars away.
    pub(super) fn clear(&self) {
        for Bar { bar, .. } in &self.of_emitters {
            bar.finish_and_clear();
        }
        // Bars that can't be erased stay; that is all.
        let _ = self.bars.clear();
    }
}

/// Words a bar's message. The rest and its time stand first, as a narrow terminal cuts the end off.
fn in_words(emitter: &EmitterDescription, pace: &Pace, left: Option<u64>) -> String {
    let mut parts = Vec::new();
    let left = left.filter(|left| *left > 0);
    if let Some(left) = left {
        let time = pace.time_for(left).map(|time| format!(", {}", pace::in_words(time)));
        parts.push(format!("{} left{}", ui::count(left), time.unwrap_or_default()));
    }
    match emitter.status {
        Status::Running if emitter.failures_in_a_row > 0 => {
            let failures = ui::plural(emitter.failures_in_a_row.into(), "failure");
            parts.push(format!("{failures} in a row, backing off"));
        }
        Status::Running => {}
        other => parts.push(other.to_string()),
    }
    if emitter.dead_lettered_since_start > 0 {
        parts.push(format!("{} given up", ui::count(emitter.dead_lettered_since_start)));
    }
    parts.push(format!("{} a second", ui::count(pace.per_second().round() as u64)));
    parts.push(format!("{} delivered", ui::count(emitter.delivered_since_start)));
    if left.is_none() && emitter.depth > 0 {
        parts.push(format!("{} waiting", ui::count(emitter.depth)));
    }
    parts.join(" · ")
}
