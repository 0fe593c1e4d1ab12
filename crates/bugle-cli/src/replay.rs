//! `bugle replay`: delivers again what an emitter gave up on.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bugle::{
    BoxFuture, ConfigError, Delivery, EmitterConfig, Fate, Outcome, RateLimit, ReplayError,
    ReplayFates, Runtime, Session, SqliteOptions, Status, Timestamp, Transport,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::error::{CliError, NOT_DONE};
use crate::records::dead_letters::FilterArgs;
use crate::records::names;
use crate::signals::Signals;
use crate::ui::{self, Above, plural};
use crate::{duration, moment, store};

const EXAMPLES: &str = "\
Examples:
  How much an emitter gave up on since an outage began, and all of it again, gently:
    bugle replay --store ./bugle-data --emitter billing --since 2026-11-22T09:30:00Z --dry-run
    bugle replay --store ./bugle-data --emitter billing --since 2026-11-22T09:30:00Z --rate 50

  One event, by its request id (bugle dead-letters and bugle events list show it):
    bugle replay --store ./bugle-data --emitter billing 0b6d5a52-5f07-4a8e-9d9c-6b4b1c1d4f2a

What is replayed goes behind what waits for the emitter, under its old request id, and is tried as
often as any event. Ctrl-C ends it: what was queued is delivered by the next run, what was not is
still a dead letter, and the same command goes on.

Exit codes: 0 all of it was delivered; 1 something was given up again, or waits; others as of every
command, see bugle --help.";

/// Delivers again what an emitter gave up on.
///
/// The store must not be in use: a running service replays by itself (Runtime::replay).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplayArgs {
    /// The request ids of the events; or --since
    #[arg(value_name = "ID", required_unless_present = "since", conflicts_with = "since")]
    events: Vec<String>,
    /// The store's directory
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// The emitter that is to deliver them
    #[arg(long, value_name = "ID")]
    emitter: String,
    /// The events that it gave up on since then: a date (its start in UTC), a date and time, or how
    /// long ago, as 90m
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    since: Option<Timestamp>,
    /// Every event since then that the store still has, and not only those that it gave up on
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filters: FilterArgs,
    /// Only count: nothing is queued, nothing is delivered
    #[arg(long)]
    dry_run: bool,
    /// Queue at most so many events a second
    #[arg(long, value_name = "N")]
    rate: Option<NonZeroU32>,
    /// Print one JSON object as summary
    #[arg(long)]
    json: bool,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    /// The time that deliveries in flight get to finish when asked to stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    grace: Duration,
}

impl ReplayArgs {
    /// Refuses options that would be passed over otherwise: one that goes with --since alone, and a
    /// --since that is yet to come.
    fn check(&self) -> Result<(), CliError> {
        moment::check("--since", self.since)?;
        names(&self.filters.name)?;
        let choosing = [
            ("--all", self.all),
            ("--dry-run", self.dry_run),
            ("--rate", self.rate.is_some()),
            ("--name", !self.filters.name.is_empty()),
            ("--code", !self.filters.code.is_empty()),
        ];
        match choosing.iter().find(|(_, given)| *given) {
            Some((flag, _)) if self.since.is_none() => Err(CliError::usage(format!(
                "{flag}: it goes with --since, not with single events"
            ))),
            _ => Ok(()),
        }
    }
}

/// The result of a replay, as `--json` prints it.
#[derive(Debug, Default, Serialize)]
struct ReplaySummary {
    /// The number of events that were to be delivered again.
    found: u64,
    /// The number of events that were queued for the emitter.
    queued: u64,
    delivered: u64,
    /// The number of events that the emitter gave up on again.
    dead_lettered: u64,
    /// The number of events that were queued and are not settled.
    pending: u64,
}

impl ReplaySummary {
    fn settle(&mut self, fates: ReplayFates) {
        self.delivered = fates.delivered;
        self.dead_lettered = fates.dead_lettered;
        self.pending = self.queued - fates.delivered - fates.dead_lettered;
    }
}

/// Runs the command.
pub(crate) async fn run(args: ReplayArgs) -> Result<ExitCode, CliError> {
    args.check()?;
    let mut signals = Signals::listen()?;
    let store = store::open_existing(&args.store, SqliteOptions::new())?;
    let mut builder = Runtime::builder().store(store).restore_emitters(true);
    if args.dry_run {
        builder = builder.transport(Held);
    }
    let runtime = builder.start().await.map_err(CliError::store)?;
    let bar = bar(&args);
    let _above = Above::bar(&bar);
    let mut summary = ReplaySummary::default();
    let work = async {
        match args.since {
            Some(since) => all_since(&args, since, &runtime, &bar, &mut summary).await,
            None => one_by_one(&args, &runtime, &bar, &mut summary).await,
        }
    };
    let ended = tokio::select! {
        done = work => Some(done),
        () = signals.next() => None,
    };
    bar.finish_and_clear();
    let grace = if args.dry_run { Duration::ZERO } else { args.grace };
    tokio::select! {
        _ = runtime.shutdown(grace) => {}
        () = signals.next() => {
            runtime.shutdown(Duration::ZERO).await;
        }
    }
    let Some(ended) = ended else {
        ui::note("stopped: what was queued is delivered by the next run, the rest was left");
        return Ok(ExitCode::from(NOT_DONE));
    };
    ended?;
    match args.json {
        true => ui::json(&summary)?,
        false => ui::result(in_words(&args, &summary))?,
    }
    let done = args.dry_run || summary.delivered == summary.found;
    Ok(ExitCode::from(if done { 0 } else { NOT_DONE }))
}

async fn all_since(
    args: &ReplayArgs,
    since: Timestamp,
    runtime: &Runtime,
    bar: &ProgressBar,
    summary: &mut ReplaySummary,
) -> Result<(), CliError> {
    let mut replay = runtime.replay_since(&args.emitter, since);
    if args.all {
        replay = replay.all();
    }
    if let Some(names) = names(&args.filters.name)? {
        replay = replay.names(names);
    }
    replay = replay.codes(args.filters.code.iter().copied());
    if let Some(rate) = args.rate {
        replay = replay.rate_limit(RateLimit::per_second(rate.get()));
    }
    if args.dry_run {
        replay = replay.dry_run();
    }
    let mut progress = replay.progress();
    let report = {
        let mut replaying = std::pin::pin!(replay.into_future());
        loop {
            tokio::select! {
                biased;
                report = &mut replaying => break report.map_err(unfit)?,
                true = progress.changed() => {
                    bar.set_length(progress.found());
                    bar.set_position(progress.queued());
                }
            }
        }
    };
    (summary.found, summary.queued) = (report.found, report.queued);
    summary.pending = report.queued;
    if !args.dry_run && report.queued > 0 && runs(args, runtime) {
        bar.set_message("queued; waiting for the receiver");
        summary.settle(report.settled().await);
    }
    Ok(())
}

async fn one_by_one(
    args: &ReplayArgs,
    runtime: &Runtime,
    bar: &ProgressBar,
    summary: &mut ReplaySummary,
) -> Result<(), CliError> {
    bar.set_length(args.events.len() as u64);
    summary.found = args.events.len() as u64;
    let mut receipts = Vec::new();
    for event in &args.events {
        let receipt = runtime.replay(&args.emitter, event).await.map_err(unfit)?;
        receipts.push(receipt);
        summary.queued += 1;
        summary.pending += 1;
        bar.inc(1);
    }
    if !runs(args, runtime) {
        return Ok(());
    }
    bar.set_message("queued; waiting for the receiver");
    for receipt in receipts {
        match receipt.settled().await {
            Some(Fate::Delivered) => summary.delivered += 1,
            Some(Fate::DeadLettered) => summary.dead_lettered += 1,
            _ => continue,
        }
        summary.pending -= 1;
    }
    Ok(())
}

fn unfit(error: ReplayError) -> CliError {
    match error {
        ReplayError::NoEmitter(_) | ReplayError::NoEvent { .. } => CliError::not_found(error),
        ReplayError::Discards(_) | ReplayError::Waits { .. } => CliError::usage(error),
        other => CliError::store(other),
    }
}

/// True when the emitter runs, so that its deliveries can be waited for.
fn runs(args: &ReplayArgs, runtime: &Runtime) -> bool {
    let status = runtime.describe(&args.emitter).map(|emitter| emitter.status);
    if let Some(status @ (Status::Paused | Status::Failed)) = status {
        ui::note(format_args!(
            "emitter {} is {status}: what was queued waits until it runs again",
            args.emitter
        ));
        return false;
    }
    true
}

fn bar(args: &ReplayArgs) -> ProgressBar {
    let visible = !args.quiet && console::user_attended_stderr();
    let target = match visible {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let style = ProgressStyle::with_template("{bar:24.cyan/dim} {pos} of {len} {wide_msg}");
    let bar = ProgressBar::with_draw_target(Some(0), target);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message("queued")
}

fn in_words(args: &ReplayArgs, summary: &ReplaySummary) -> String {
    let emitter = &args.emitter;
    if args.dry_run {
        let found = plural(summary.found, "event");
        return format!("{found} would be delivered again by {emitter}");
    }
    let mut text = format!("{} delivered again by {emitter}", plural(summary.delivered, "event"));
    let known = summary.found - summary.queued;
    for (number, what) in [
        (summary.dead_lettered, "given up again"),
        (summary.pending, "waiting"),
        (known, "not queued: it waited already, or is gone"),
    ] {
        if number > 0 {
            text += &format!(", {} {what}", ui::count(number));
        }
    }
    text
}

/// A transport that delivers nothing: for a dry run.
#[derive(Debug)]
struct Held;

impl Transport for Held {
    fn open(&self, _: &Arc<EmitterConfig>) -> Result<Box<dyn Session>, ConfigError> {
        Ok(Box::new(Held))
    }
}

impl Session for Held {
    fn deliver<'a>(&'a self, _: &'a Delivery) -> BoxFuture<'a, Outcome> {
        Box::pin(std::future::pending())
    }
}
