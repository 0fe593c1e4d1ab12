//! `bugle events`: shows the events of a store and the known event types, and checks events against
//! them.

mod types;
mod validate;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::error::CliError;
use crate::records::events as log;

const EXAMPLES: &str = "\
Examples:
  What a store has:
    bugle events list --store ./bugle-data
    bugle events show 4f2a… --store ./bugle-data

  Which types there are, and what one must have:
    bugle events types
    bugle events schema msg_created

  Check a file of events, one a line:
    bugle events validate events.jsonl

  And what a program writes:
    my-program | bugle events validate --json - | jq .message";

/// Looks at the events of a store, at event types, and at events.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Subcommand)]
enum EventsCommand {
    /// Show the events of a store
    List(log::ListArgs),
    /// Show one event of a store, with its payload
    Show(log::ShowArgs),
    /// List the event types
    Types(types::TypesArgs),
    /// Print the JSON Schema of an event type
    Schema(types::SchemaArgs),
    /// Check events against their types
    Validate(validate::ValidateArgs),
}

/// Runs the command.
pub(crate) async fn run(args: EventsArgs) -> Result<ExitCode, CliError> {
    match args.command {
        EventsCommand::List(args) => log::list(args).await,
        EventsCommand::Show(args) => log::show(args).await,
        EventsCommand::Types(args) => types::list(&args),
        EventsCommand::Schema(args) => types::schema(&args),
        EventsCommand::Validate(args) => validate::run(&args),
    }
}
