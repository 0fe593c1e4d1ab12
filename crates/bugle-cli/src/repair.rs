//! `bugle repair`: says what a damaged store has lost, and goes on without it.

use std::path::PathBuf;
use std::process::ExitCode;

use bugle::Repair;
use clap::Args;
use serde::Serialize;

use crate::error::{CliError, NOT_DONE};
use crate::store;
use crate::ui::{self, plural};

const EXAMPLES: &str = "\
Examples:
  What is damaged, and what would be lost; nothing is changed:
    bugle repair --store ./bugle-data

  Go on without what is lost:
    bugle repair --store ./bugle-data --yes

A copy of the damaged files stays in the store's directory (bugle.damaged-...). The numbers of lost
events are not given again. Where it is not known how far an emitter was, events are delivered again
rather than not. A backup of the whole directory, where there is one, loses less.

Exit codes: 0 nothing is damaged, or it was repaired; 1 there is something to repair; others as of
every command, see bugle --help";

/// Say what a damaged store has lost, and go on without it.
///
/// The store must not be in use.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RepairArgs {
    /// The store's directory
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
    /// Repair the store; without this, only say what would be lost
    #[arg(long)]
    yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// The damage that was found, as `--json` prints it.
#[derive(Serialize)]
struct Damage<'r> {
    is_whole: bool,
    repaired: bool,
    lost_events: u64,
    /// The first and last sequence number of each range that is lost.
    lost: Vec<(u64, u64)>,
    findings: &'r [String],
    kept_in: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &RepairArgs) -> Result<ExitCode, CliError> {
    let repair = store::repair(&args.store, args.yes)?;
    match args.json {
        true => ui::json(&Damage {
            is_whole: repair.is_whole(),
            repaired: repair.kept_in.is_some(),
            lost_events: repair.lost_events(),
            lost: repair.lost.iter().map(|(first, last)| (first.0, last.0)).collect(),
            findings: &repair.findings,
            kept_in: repair.kept_in.as_ref().map(|it| it.display().to_string()),
        })?,
        false => ui::result(in_words(&repair, args))?,
    }
    let done = repair.is_whole() || repair.kept_in.is_some();
    Ok(ExitCode::from(if done { 0 } else { NOT_DONE }))
}

fn in_words(repair: &Repair, args: &RepairArgs) -> String {
    let store = args.store.display();
    if repair.is_whole() {
        return format!("nothing is damaged in {store}");
    }
    let mut lines = Vec::new();
    let ranges = repair.lost.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    });
    let ranges: Vec<String> = ranges.collect();
    lines.push(match ranges.is_empty() {
        true => "no accepted event is lost".to_owned(),
        false => format!(
            "{} lost, by number: {}",
            plural(repair.lost_events(), "accepted event"),
            ranges.join(", ")
        ),
    });
    lines.extend(repair.findings.iter().map(|finding| format!("- {finding}")));
    lines.push(match &repair.kept_in {
        Some(kept) => format!("repaired: the damaged files are kept in {}", kept.display()),
        None => format!(
            "nothing was changed: bugle repair --store {store} --yes repairs it, and keeps a copy"
        ),
    });
    lines.join("\n")
}
