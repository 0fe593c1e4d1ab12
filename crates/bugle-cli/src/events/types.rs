//! `bugle events types` and `bugle events schema`.

use std::process::ExitCode;

use bugle::events::{Registry, flow};
use clap::Args;
use serde_json::{Value, json};

use crate::error::CliError;
use crate::table::Table;
use crate::ui;

/// Lists the event types: the 23 of the flow engine GoFlow. A service registers its own in its
/// code; these are the ones that the command line knows.
#[derive(Args)]
#[command(after_help = "\
Examples:
  bugle events types
  bugle events types --json | jq -r .name")]
pub(crate) struct TypesArgs {
    /// Print a JSON object for each type, one a line
    #[arg(long)]
    json: bool,
}

/// Prints the JSON Schema (2020-12) of an event type, as validators and generators of code take it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  bugle events schema msg_created
  bugle events schema webhook_called > webhook_called.schema.json")]
pub(crate) struct SchemaArgs {
    /// The type's name, as in the events' field `type`
    name: String,
    /// Print it in one line; it is JSON in any case
    #[arg(long)]
    json: bool,
}

/// Lists the types.
pub(crate) fn list(args: &TypesArgs) -> Result<ExitCode, CliError> {
    let registry = flow::registry();
    let mut table = Table::new(&["type", "what it says"]);
    for name in registry.names() {
        let description = description(&registry, name);
        if args.json {
            ui::json(&json!({"name": name, "description": description}))?;
        } else {
            table.row([name.to_owned(), description]);
        }
    }
    if !args.json {
        ui::result(table)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The first sentence of a type's description.
fn description(registry: &Registry, name: &str) -> String {
    let schema = registry.schema(name);
    let text = schema.as_ref().and_then(|schema| schema.get("description")).and_then(Value::as_str);
    let text = text.unwrap_or_default();
    text.split_once(". ").map_or(text, |(first, _)| first).trim_end_matches('.').to_owned()
}

/// Prints a schema.
pub(crate) fn schema(args: &SchemaArgs) -> Result<ExitCode, CliError> {
    let registry = flow::registry();
    let schema = registry.schema(&args.name).ok_or_else(|| {
        CliError::usage(format!(
            "unknown type: '{}': `bugle events types` lists those that there are",
            args.name
        ))
    })?;
    if args.json {
        ui::json(&schema)?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = serde_json::to_string_pretty(&schema);
    ui::result(text.map_err(|error| CliError::Output(error.into()))?)?;
    Ok(ExitCode::SUCCESS)
}
