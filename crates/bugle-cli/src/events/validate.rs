//! `bugle events validate`: whether events are what their types say.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use bugle::events::flow;
use clap::Args;
use console::style;
use serde_json::json;

use crate::error::{CliError, NOT_DONE};
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  bugle events validate events.jsonl
  tail -f events.jsonl | bugle events validate -

  The lines that fail, as JSON:
    bugle events validate --json events.jsonl

Exit codes: 0 every event is valid, 1 some are not, 2 the command was not understood.";

/// Checks a file of events, one JSON object a line, each against the type that its field `type`
/// names. Every line that fails is told with its number and all of its failing fields. Empty lines
/// are passed over.
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

/// Runs the command.
pub(crate) fn run(args: &ValidateArgs) -> Result<ExitCode, CliError> {
    let unread = |error: io::Error| {
        CliError::usage(format!("{} can't be read: {error}", args.file.display()))
    };
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
        let event = line.trim_ascii();
        if !event.is_empty() {
            match registry.read_event(event) {
                Ok(_) => valid += 1,
                Err(error) => {
                    invalid += 1;
                    let error = error.to_string();
                    if args.json {
                        ui::json(&json!({"line": number, "error": error}))?;
                    } else {
                        let line = style(format_args!("line {number}:")).red().to_string();
                        ui::result(format_args!("{line} {error}"))?;
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
    }
    Ok(ExitCode::from(if invalid == 0 { 0 } else { NOT_DONE }))
}
