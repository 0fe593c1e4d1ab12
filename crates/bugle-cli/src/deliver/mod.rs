//! `bugle deliver`: delivers a file of events to webhooks.
//!
//! A thread reads lines and parses them ([`source`], [`line`]); this task emits them ([`feed`]),
//! waiting while the journal is full; the runtime delivers; [`watcher`] tells what goes wrong and
//! when all is settled. Memory is bounded by the journal, whatever the length of the file. With a
//! [`store`] on disk an interrupted run goes on where it was, in the file too ([`place`]).

pub(crate) mod args;
mod feed;
pub(crate) mod line;
mod origin;
mod pace;
mod place;
mod progress;
mod receivers;
mod source;
pub(crate) mod store;
mod summary;
pub(crate) mod target;
pub(crate) mod watcher;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle::{Runtime, ShutdownReport, Status};

use crate::error::{CliError, JsonError, NOT_DONE};
use crate::report;
use crate::signals::Signals;
use crate::ui;

pub(crate) use args::DeliverArgs;
use feed::{Feed, FeedEnd};
use origin::Origins;
use place::SourceName;
use progress::Progress;
use source::{Input, Source};
use summary::DeliverSummary;
use target::Targets;
use watcher::Watcher;

/// The reason why the work ended.
enum End {
    /// The input ended, and everything is settled.
    Fed(FeedEnd),
    /// A person or a service manager asked to stop.
    Interrupted,
}

/// Runs the command.
pub(crate) async fn run(args: DeliverArgs) -> Result<ExitCode, CliError> {
    args.check()?;
    let named = args.configs()?;
    let input = Input::open(&args)?;
    let name = SourceName::of(&args)?;
    let mut signals = Signals::listen()?;
    let store = store::open(&args)?;
    let targets = Targets::new(named, &store::receivers(&store).await?)?;
    let runtime = Runtime::builder()
        .store(store)
        .restore_emitters(!targets.named)
        .max_payload_bytes(args.max_payload)
        .start()
        .await
        .map_err(CliError::store)?;
    let reached = match &name {
        Some(name) if !args.durable.again => name.reached(&runtime).await?,
        _ => None,
    };
    let source = input.map(|input| Source::read(input, &args, reached)).transpose()?;
    let bytes = source.as_ref().map(Source::bytes).unwrap_or_default();
    let progress = Arc::new(Progress::new(&args, &targets.all, bytes));
    let origins = Arc::new(Origins::default());
    let watcher = Watcher::start(&runtime, &origins, &progress);
    let drawing = progress.draw(runtime.clone());
    let started = Instant::now();

    targets.ensure(&runtime).await?;
    for target in targets.others() {
        progress.note(format_args!(
            "{}, from an earlier run, gets what waits for it and nothing new",
            target.url
        ));
    }
    let idle = runtime.emitters().into_iter().filter(|emitter| emitter.status != Status::Running);
    for emitter in idle {
        progress.note(format_args!(
            "{} is {}: what is for it waits; --to with its URL starts it",
            emitter.id, emitter.status
        ));
    }
    let feed = Feed::new(&args, &runtime, name.as_ref(), &origins, &progress);
    let feed = feed.wanted(targets.wanted());
    let work = async {
        let end = match source {
            Some(source) => feed.run(source).await,
            None => feed.nothing(),
        };
        watcher.all_settled(&runtime).await;
        end
    };
    let end = tokio::select! {
        end = work => End::Fed(end),
        () = signals.next() => End::Interrupted,
    };
    if let End::Interrupted = end {
        progress.note(format_args!(
            "stopping: what is in flight may finish within {:?}; once more stops at once",
            args.grace
        ));
    }
    let report = shut_down(&runtime, args.grace, &mut signals).await;
    watcher.finish().await;
    drawing.abort();
    progress.clear();

    let mut errors = feed.take_errors();
    let broken = match end {
        End::Fed(FeedEnd::Broken(ref error)) => Some(error),
        _ => None,
    };
    errors.extend(broken.map(JsonError::from));
    let summary = DeliverSummary::new(&runtime, &targets.all, &feed, started.elapsed(), errors);
    ui::outcome(args.json, &summary)?;
    if let Some(error) = broken {
        // A program has it in the summary.
        return Ok(if args.json { error.exit_code() } else { report::error(error, false) });
    }
    let read_all = matches!(end, End::Fed(FeedEnd::Whole));
    if let Some(error) = report.flush_error {
        return Err(CliError::store(error));
    }
    if let Some(directory) = &args.durable.store
        && summary.pending() > 0
    {
        let directory = directory.display();
        ui::note(format_args!("what is left is kept: bugle deliver --store {directory} goes on"));
    }
    let done = read_all && summary.is_all_delivered();
    Ok(ExitCode::from(if done { 0 } else { NOT_DONE }))
}

/// Lets what is in flight finish within the grace time, or less if a second signal comes.
async fn shut_down(runtime: &Runtime, grace: Duration, signals: &mut Signals) -> ShutdownReport {
    let mut drained = std::pin::pin!(runtime.shutdown(grace));
    tokio::select! {
        report = &mut drained => return report,
        () = signals.next() => {}
    }
    tokio::join!(drained, runtime.shutdown(Duration::ZERO)).0
}
