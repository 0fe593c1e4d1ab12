//! From lines to accepted events.

use std::sync::atomic::{AtomicU64, Ordering};

use bugle::{AppendError, EmitError, EmitOptions, Runtime, Sequence};
use console::style;

use super::args::DeliverArgs;
use super::line::NewEvent;
use super::origin::Origins;
use super::progress::Progress;
use super::source::{Read, Source};

/// How many invalid lines are told one by one.
const MOST_TOLD: u64 = 100;

/// Emits what the lines hold.
pub(super) struct Feed<'a> {
    args: &'a DeliverArgs,
    runtime: &'a Runtime,
    origins: &'a Origins,
    progress: &'a Progress,
    invalid: AtomicU64,
}

/// Why feeding ended.
pub(super) enum FeedEnd {
    /// Every line was read.
    Whole,
    /// A line was not an event, and the rest is not wanted then.
    Strict,
    /// Reading or storing failed, in words.
    Broken(String),
}

/// Why one line was not accepted.
enum Refused {
    /// The line is at fault.
    Line(String),
    /// The runtime or its store can't go on.
    Broken(String),
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        args: &'a DeliverArgs,
        runtime: &'a Runtime,
        origins: &'a Origins,
        progress: &'a Progress,
    ) -> Self {
        Self { args, runtime, origins, progress, invalid: AtomicU64::new(0) }
    }

    /// How many lines were not events.
    pub(super) fn invalid_lines(&self) -> u64 {
        self.invalid.load(Ordering::Relaxed)
    }

    /// Emits until the lines end. Waits while the journal is full.
    pub(super) async fn run(&self, mut source: Source) -> FeedEnd {
        let mut told_unknown = false;
        let mut last = Sequence::START;
        while let Some(read) = source.next().await {
            let (number, event) = match read {
                Read::Line { number, event } => (number, event),
                Read::Broken(why) => return FeedEnd::Broken(why),
            };
            if let Ok(NewEvent { unknown: Some(field), .. }) = &event
                && !std::mem::replace(&mut told_unknown, true)
            {
                self.progress.note(format_args!(
                    "{} the field {field:?} (line {number}) is passed over: a line has name, \
                     payload, request_id and key",
                    style("note:").for_stderr().bold()
                ));
            }
            let refused = match event {
                Ok(event) => match self.emit(event, Sequence(last.0 + 1), number).await {
                    Ok(accepted) => {
                        last = accepted;
                        continue;
                    }
                    Err(Refused::Line(why)) => why,
                    Err(Refused::Broken(why)) => return FeedEnd::Broken(why),
                },
                Err(why) => why,
            };
            self.tell(number, &refused);
            if self.args.strict {
                self.progress.note("stopped reading there, because of --strict");
                return FeedEnd::Strict;
            }
        }
        self.progress.all_read();
        FeedEnd::Whole
    }

    /// Emits what will be the `next` event in the journal, from line `number`.
    async fn emit(
        &self,
        event: NewEvent,
        next: Sequence,
        number: u64,
    ) -> Result<Sequence, Refused> {
        self.origins.expect(next, number);
        let mut options = EmitOptions::new();
        if let Some(id) = event.request_id {
            options = options.request_id(id);
        }
        if let Some(key) = event.key {
            options = options.key(key);
        }
        let emitted = self.runtime.emit_with(&event.name, &event.payload, options).await;
        emitted.map(|receipt| receipt.sequence()).map_err(|error| match error {
            EmitError::TooLarge { bytes, limit } => Refused::Line(format!(
                "the payload has {bytes} bytes, and at most {limit} are accepted: raise \
                 --max-payload"
            )),
            EmitError::ShutDown => Refused::Broken(error.to_string()),
            EmitError::Append(AppendError::Store(error)) => Refused::Broken(error.to_string()),
            other => Refused::Line(other.to_string()),
        })
    }

    fn tell(&self, number: u64, why: &str) {
        let told = self.invalid.fetch_add(1, Ordering::Relaxed);
        let label = style(format!("line {number}:")).for_stderr().red();
        if told < MOST_TOLD {
            self.progress.note(format_args!("{label} {why}"));
        } else if told == MOST_TOLD {
            self.progress.note("more invalid lines follow; they are counted only");
        }
    }
}
