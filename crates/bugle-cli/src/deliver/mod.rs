//! `bugle deliver`: a file of events to webhooks.
//!
//! A thread reads lines and parses them ([`source`], [`line`]); this task emits them, waiting
//! while the journal is full; the runtime delivers; [`watcher`] tells what goes wrong and when all
//! is settled. Memory is bounded by the journal, whatever the length of the file.

mod args;
mod feed;
mod line;
mod origin;
mod progress;
mod source;
mod summary;
mod target;
mod watcher;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle::{MemoryOptions, Runtime, Store};

use crate::error::{CliError, NOT_DONE};
use crate::signals::Signals;
use crate::ui;

pub(crate) use args::DeliverArgs;
use feed::{Feed, FeedEnd};
use origin::Origins;
use progress::Progress;
use source::Source;
use summary::Summary;
use watcher::Watcher;

/// The dead letters and attempts that the runtime keeps: the summary needs none of them.
const KEPT: usize = 16;

/// How the work ended.
enum End {
    /// The input ended, and everything is settled.
    Fed(FeedEnd),
    /// A person or a service manager asked to stop.
    Interrupted,
}

/// Runs the command.
pub(crate) async fn run(args: DeliverArgs) -> Result<ExitCode, CliError> {
    let targets = args.targets()?;
    let source = Source::open(&args)?;
    let mut signals = Signals::listen()?;
    let options = MemoryOptions::new().dead_letters(KEPT).attempts(KEPT);
    let runtime = Runtime::builder()
        .store(Store::memory_with(options))
        .max_payload_bytes(args.max_payload)
        .start()
        .await
        .map_err(CliError::failed)?;
    for target in &targets {
        target.attach(&runtime).await?;
    }
    let progress = Arc::new(Progress::new(&args, &targets, source.bytes()));
    let origins = Arc::new(Origins::default());
    let watcher = Watcher::start(&runtime, &origins, &progress);
    let drawing = progress.draw(runtime.clone());
    let started = Instant::now();

    let feed = Feed::new(&args, &runtime, &origins, &progress);
    let work = async {
        let end = feed.run(source).await;
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
    shut_down(&runtime, args.grace, &mut signals).await;
    watcher.finish().await;
    drawing.abort();
    progress.clear();

    let summary = Summary::new(&runtime, &targets, feed.invalid_lines(), started.elapsed());
    match args.json {
        true => ui::json(&summary)?,
        false => ui::result(&summary)?,
    }
    if let End::Fed(FeedEnd::Broken(why)) = &end {
        return Err(CliError::failed(why));
    }
    let read_all = matches!(end, End::Fed(FeedEnd::Whole));
    let done = read_all && summary.is_all_delivered();
    Ok(ExitCode::from(if done { 0 } else { NOT_DONE }))
}

/// Lets what is in flight finish within the grace time, or less if a second signal comes.
async fn shut_down(runtime: &Runtime, grace: Duration, signals: &mut Signals) {
    let mut drained = std::pin::pin!(runtime.shutdown(grace));
    tokio::select! {
        _ = &mut drained => return,
        () = signals.next() => {}
    }
    tokio::join!(drained, runtime.shutdown(Duration::ZERO));
}
