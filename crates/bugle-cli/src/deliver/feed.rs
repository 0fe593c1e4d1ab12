//! Turns lines into accepted events.

use std::sync::atomic::{AtomicU64, Ordering};

use bugle::{
    AppendError, EmitBatch, EmitError, EmitOptions, EventName, Runtime, Sequence, Subscription,
};
use console::style;
use parking_lot::Mutex;

use super::args::DeliverArgs;
use super::line::NewEvent;
use super::origin::Origins;
use super::place::{Place, SourceName};
use super::progress::Progress;
use super::source::{Read, Source};
use super::target::NO_MORE_EVENTS;
use crate::error::{CliError, JsonError};

/// The number of invalid lines that are told one by one.
const MOST_TOLD: u64 = 100;

/// The number of events that are accepted together, if so many lines are there.
const BATCH: usize = 256;

/// The payload bytes that make a batch large enough: 1 MiB.
const BATCH_BYTES: usize = 1 << 20;

/// Emits the events that the lines hold.
pub(super) struct Feed<'a> {
    args: &'a DeliverArgs,
    runtime: &'a Runtime,
    source: Option<&'a SourceName>,
    origins: &'a Origins,
    progress: &'a Progress,
    /// The subscriptions of the receivers; `None` while they get every event.
    wanted: Option<Vec<Subscription>>,
    counts: Counts,
    /// The faults of lines, for a program.
    errors: Mutex<Vec<JsonError>>,
}

#[derive(Default)]
struct Counts {
    read: AtomicU64,
    invalid: AtomicU64,
    unwanted: AtomicU64,
}

/// The reason why feeding ended.
pub(super) enum FeedEnd {
    /// Every line was read.
    Whole,
    /// A line was not an event, and with `--strict` the rest is not wanted.
    Strict,
    /// Reading or storing failed.
    Broken(CliError),
}

/// The events of lines that are accepted together.
#[derive(Default)]
struct Gathered {
    batch: EmitBatch,
    /// The number of each event's line.
    lines: Vec<u64>,
    bytes: usize,
    /// The place in the file behind these lines.
    place: Option<Place>,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.lines.len() >= BATCH || self.bytes >= BATCH_BYTES
    }
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        args: &'a DeliverArgs,
        runtime: &'a Runtime,
        source: Option<&'a SourceName>,
        origins: &'a Origins,
        progress: &'a Progress,
    ) -> Self {
        Self {
            args,
            runtime,
            source,
            origins,
            progress,
            wanted: None,
            counts: Counts::default(),
            errors: Mutex::default(),
        }
    }

    /// Sets the receivers' subscriptions: an event that none of them wants is told.
    pub(super) fn wanted(mut self, wanted: Option<Vec<Subscription>>) -> Self {
        self.wanted = wanted;
        self
    }

    /// The number of lines that were not events.
    pub(super) fn invalid_lines(&self) -> u64 {
        self.counts.invalid.load(Ordering::Relaxed)
    }

    /// The number of events that no receiver wants.
    pub(super) fn unwanted(&self) -> u64 {
        self.counts.unwanted.load(Ordering::Relaxed)
    }

    /// Takes the faults of lines, as far as they were told.
    pub(super) fn take_errors(&self) -> Vec<JsonError> {
        std::mem::take(&mut *self.errors.lock())
    }

    /// Emits until the lines end, and waits while the journal is full.
    pub(super) async fn run(&self, mut source: Source) -> FeedEnd {
        let mut told_unknown = false;
        // In memory the first event is the first of all.
        let mut last = self.args.durable.store.is_none().then_some(Sequence::START);
        while let Some(read) = source.next().await {
            let mut gathered = Gathered::default();
            let mut end = None;
            let mut next = Some(read);
            while let Some(read) = next {
                end = self.gather(read, &mut gathered, &mut told_unknown);
                let go_on = end.is_none() && !gathered.is_full();
                next = if go_on { source.next_now() } else { None };
            }
            // The lines before the one that ends it are accepted.
            if let Err(error) = self.accept(gathered, &mut last).await {
                return FeedEnd::Broken(error);
            }
            if let Some(end) = end {
                return end;
            }
        }
        self.progress.all_read();
        if self.counts.read.load(Ordering::Relaxed) == 0 {
            self.progress.note("there was no event to read: the input is empty");
        }
        FeedEnd::Whole
    }

    /// Reads nothing: only what a store has is delivered.
    pub(super) fn nothing(&self) -> FeedEnd {
        self.progress.all_read();
        FeedEnd::Whole
    }

    /// Puts a line into the batch. Answers an end after which nothing may follow.
    fn gather(
        &self,
        read: Read,
        gathered: &mut Gathered,
        told_unknown: &mut bool,
    ) -> Option<FeedEnd> {
        let (number, event, place) = match read {
            Read::Line { number, event, place } => (number, event, place),
            Read::Resumed(lines) => {
                self.counts.read.fetch_add(lines, Ordering::Relaxed);
                self.progress.note(format_args!(
                    "going on behind line {lines}, which an earlier run has accepted"
                ));
                return None;
            }
            Read::Broken(why) => return Some(FeedEnd::Broken(CliError::input(why))),
        };
        self.counts.read.fetch_add(1, Ordering::Relaxed);
        if let Ok(NewEvent { unknown: Some(field), .. }) = &event
            && !std::mem::replace(told_unknown, true)
        {
            self.progress.note(format_args!(
                "{} the field {field:?} (line {number}) is passed over: a line has name, \
                 payload, request_id and key",
                style("note:").for_stderr().bold()
            ));
        }
        if let Err(why) = event.and_then(|event| self.push(event, number, gathered)) {
            self.tell(number, &why);
            if self.args.strict {
                self.progress.note("stopped reading there, because of --strict");
                return Some(FeedEnd::Strict);
            }
        }
        gathered.place = Some(place);
        None
    }

    /// Puts an event into the batch, or says what is wrong with it.
    fn push(&self, event: NewEvent, line: u64, gathered: &mut Gathered) -> Result<(), String> {
        let (bytes, limit) = (event.payload.get().len(), self.args.max_payload);
        if bytes > limit {
            return Err(format!(
                "the payload has {bytes} bytes, and at most {limit} are accepted: raise \
                 --max-payload"
            ));
        }
        if event.name == NO_MORE_EVENTS {
            return Err(format!("no event may have the name {NO_MORE_EVENTS}"));
        }
        let mut options = EmitOptions::new();
        if let Some(id) = event.request_id {
            options = options.request_id(id);
        }
        if let Some(key) = event.key {
            options = options.key(key);
        }
        let pushed = gathered.batch.push(&event.name, &event.payload, options);
        pushed.map_err(|error| error.to_string())?;
        gathered.lines.push(line);
        gathered.bytes += bytes;
        self.see_that_it_is_wanted(&event.name, line);
        Ok(())
    }

    /// Counts an event that no receiver wants, and tells the first.
    fn see_that_it_is_wanted(&self, name: &str, line: u64) {
        let Some(wanted) = &self.wanted else { return };
        let is_wanted = EventName::new(name)
            .is_ok_and(|name| wanted.iter().any(|subscription| subscription.matches(&name)));
        if !is_wanted && self.counts.unwanted.fetch_add(1, Ordering::Relaxed) == 0 {
            self.progress.note(format_args!(
                "{} no receiver of the store wants {name:?} (line {line}): such events are \
                 accepted and delivered to nobody; --to URL gets them all",
                style("note:").for_stderr().bold()
            ));
        }
    }

    /// Has the journal accept all that was gathered, with the place in the file. `last` is the
    /// event that was accepted before.
    async fn accept(
        &self,
        gathered: Gathered,
        last: &mut Option<Sequence>,
    ) -> Result<(), CliError> {
        let Gathered { mut batch, lines, place, .. } = gathered;
        if let (Some(source), Some(place)) = (self.source, place) {
            batch = batch.position(source.at(place)?);
        } else if lines.is_empty() {
            return Ok(());
        }
        // Told before they are accepted, as they may be delivered at once.
        if let Some(last) = *last {
            let expected = (last.0 + 1..).map(Sequence);
            expected.zip(&lines).for_each(|(event, line)| self.origins.expect(event, *line));
        }
        let receipts = self.runtime.emit_batch(batch).await.map_err(refused)?;
        for (receipt, line) in receipts.iter().zip(lines) {
            if self.origins.line(receipt.sequence()) != Some(line) {
                self.origins.expect(receipt.sequence(), line);
            }
            *last = Some(receipt.sequence());
        }
        Ok(())
    }

    fn tell(&self, number: u64, why: &str) {
        let told = self.counts.invalid.fetch_add(1, Ordering::Relaxed);
        let label = style(format!("line {number}:")).for_stderr().red();
        if told < MOST_TOLD {
            let message = format!("line {number}: {why}");
            self.errors.lock().push(JsonError::new("invalidLine", message));
            self.progress.note(format_args!("{label} {why}"));
            if told == 0 {
                self.progress.note(match self.args.event {
                    Some(_) => r#"a line is a payload, a JSON object like {"id": 1}"#,
                    None => r#"a line looks like {"name": "invoice.paid", "payload": {"id": 1}}"#,
                });
            }
        } else if told == MOST_TOLD {
            self.progress.note("more invalid lines follow; they are counted only");
        }
    }
}

/// Words the refusal of a batch. Faults of one event alone were told before it was in a batch.
fn refused(error: EmitError) -> CliError {
    match error {
        EmitError::Append(AppendError::Store(_)) | EmitError::Unknown { .. } => {
            CliError::store(error)
        }
        other => CliError::input(other),
    }
}
