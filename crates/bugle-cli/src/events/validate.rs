//! `bugle events validate`: checks whether events are as their types say.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use bugle::events::{Registry, flow};
use bugle::{EventName, OrderingKey, RequestId};
use clap::Args;
use console::style;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::deliver::line;
use crate::error::{CliError, JsonError, NOT_DONE};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  bugle events validate events.jsonl
  tail -f events.jsonl | bugle events validate -

  The lines that fail, as JSON:
    bugle events validate --json events.jsonl

A line is a typed event, which is checked against the type that it names:
  {\"type\": \"wait_timed_out\", \"created_on\": \"2006-01-02T15:04:05Z\"}
or an event as `bugle deliver` takes it, whose payload is checked if its name is that of a type:
  {\"name\": \"invoice.paid\", \"payload\": {\"id\": 1}}

Exit codes: 0 every event is valid, 1 some are not; others as of every command, see bugle --help.";

/// Checks a file of events, one JSON object a line. Every line that fails is told with its number
/// and all of its failing fields. Empty lines are passed over.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateArgs {
    /// The file of events; - for standard input
    #[arg(default_value = "-", value_name = "FILE", hide_default_value = true)]
    file: PathBuf,
    /// Print a JSON object for each line that fails, and one at the end with the counts
    #[arg(long)]
    json: bool,
}

/// The form of a line, for a person who wrote another.
const A_LINE: &str = "\
a line is a typed event, like \
{\"type\": \"wait_timed_out\", \"created_on\": \"2006-01-02T15:04:05Z\"} \
(`bugle events schema wait_timed_out` has all of it), or an event as `bugle deliver` takes it, \
like {\"name\": \"invoice.paid\", \"payload\": {\"id\": 1}}";

/// A line that is not valid, as `--json` prints it.
#[derive(Serialize)]
struct Invalid {
    line: u64,
    #[serde(flatten)]
    error: JsonError,
}

/// Runs the command.
pub(crate) fn run(args: &ValidateArgs) -> Result<ExitCode, CliError> {
    let unread = |error: io::Error| CliError::unreadable(args.file.display(), &error);
    let mut lines: Box<dyn BufRead> = if args.file.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(BufReader::new(File::open(&args.file).map_err(unread)?))
    };
    let registry = flow::registry();
    let (mut number, mut valid, mut invalid) = (0_u64, 0_u64, 0_u64);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(unread)? > 0 {
        number += 1;
        let event = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
        if !event.is_empty() {
            match check(&registry, event) {
                Ok(()) => valid += 1,
                Err(message) => {
                    invalid += 1;
                    if args.json {
                        let error = JsonError::new("invalidEvent", message);
                        ui::json(&Invalid { line: number, error })?;
                    } else {
                        let line = style(format_args!("line {number}:")).red().to_string();
                        ui::result(format_args!("{line} {message}"))?;
                    }
                }
            }
        }
        line.clear();
    }
    if args.json {
        ui::json(&json!({"valid": valid, "invalid": invalid}))?;
    } else {
        let valid = ui::plural(valid, "valid event");
        ui::result(format_args!("{valid}, {} invalid", ui::count(invalid)))?;
        if invalid > 0 {
            ui::note(A_LINE);
        }
    }
    Ok(ExitCode::from(if invalid == 0 { 0 } else { NOT_DONE }))
}

/// The fields that tell the two kinds of lines apart. Typed events may have a name too.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    event_type: Option<IgnoredAny>,
    name: Option<IgnoredAny>,
    payload: Option<IgnoredAny>,
}

/// Checks one line; the error says what is wrong with it.
fn check(registry: &Registry, event: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<IgnoredAny>(event).map_err(|error| line::in_words(&error))?;
    let kind = serde_json::from_slice::<Kind>(event).ok();
    let is_delivered = kind.is_some_and(|kind| {
        kind.event_type.is_none() && (kind.payload.is_some() || kind.name.is_some())
    });
    if !is_delivered {
        return registry.read_event(event).map(|_| ()).map_err(|error| error.to_string());
    }
    let event = line::parse(event, None)?;
    EventName::new(&event.name).map_err(|error| error.to_string())?;
    if let Some(id) = event.request_id {
        RequestId::new(id).map_err(|error| error.to_string())?;
    }
    if let Some(key) = event.key {
        OrderingKey::new(key).map_err(|error| error.to_string())?;
    }
    let payload = event.payload.get();
    if !payload.starts_with('{') {
        return Err(format!("a payload is a JSON object, not {}", shortened(payload)));
    }
    // Under the name of a type it is what a service emits as one.
    match registry.contains(&event.name) {
        true => registry.read_event(payload.as_bytes()).map(|_| ()),
        false => Ok(()),
    }
    .map_err(|error| format!("payload: {error}"))
}

fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    console::truncate_str(text, 40, "…")
}
