//! `bugle events`: the event types that are known, and whether events are of them.

mod types;
mod validate;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::error::CliError;

const EXAMPLES: &str = "\
Examples:
  Which types there are, and what one must have:
    bugle events types
    bugle events schema msg_created

  Check a file of events, one a line:
    bugle events validate events.jsonl

  And what a program writes:
    my-program | bugle events validate --json - | jq .error";

/// Looks at event types, and at events.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the event types
    Types(types::TypesArgs),
    /// Print the JSON Schema of an event type
    Schema(types::SchemaArgs),
    /// Check events against their types
    Validate(validate::ValidateArgs),
}

/// Runs the command.
pub(crate) fn run(args: &EventsArgs) -> Result<ExitCode, CliError> {
    match &args.command {
        Command::Types(args) => types::list(args),
        Command::Schema(args) => types::schema(args),
        Command::Validate(args) => validate::run(args),
    }
}
