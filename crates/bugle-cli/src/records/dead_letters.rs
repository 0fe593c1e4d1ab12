//! `bugle dead-letters`: shows what emitters gave up on.

use std::process::ExitCode;

use bugle::{AttemptCode, DeadLetter, DeadLetterQuery, EmitterId, RequestId};
use clap::Args;
use console::style;

use super::{PageArgs, StoreArgs, TimeArgs, ids, know_emitters, know_events, names, why};
use crate::error::CliError;
use crate::moment;

const EXAMPLES: &str = "\
Examples:
  The newest 20 dead letters of a store:
    bugle dead-letters --store ./bugle-data

  Those of one emitter since yesterday's noon, for a program:
    bugle dead-letters --store ./bugle-data --emitter billing --after 2026-11-21T12:00:00Z --all \\
      --json

`bugle replay` delivers them again.";

/// Shows what emitters gave up on, newest first.
///
/// The store may be in use by a running service.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeadLettersArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    filters: FilterArgs,
    /// Only those of this emitter. Several times for several
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    emitter: Vec<String>,
    /// Only those of the event with this request id. Several times for several
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    event: Vec<String>,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    page: PageArgs,
}

/// The filter on the events of dead letters.
#[derive(Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// Only events of this name, or that match this pattern. Several times for several
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Vec<String>,
    /// Only those whose last attempt failed like this: badHttpStatus, badConnection, timeout,
    /// blockedDestination, handlerError or crashed. Several times for several
    #[arg(long, value_name = "CODE", value_parser = code)]
    pub(crate) code: Vec<AttemptCode>,
}

fn code(text: &str) -> Result<AttemptCode, String> {
    let name = serde_json::Value::String(text.to_owned());
    serde_json::from_value(name).map_err(|_| {
        "one of badHttpStatus, badConnection, timeout, blockedDestination, handlerError, crashed"
            .to_owned()
    })
}

/// Runs the command.
pub(crate) async fn run(args: DeadLettersArgs) -> Result<ExitCode, CliError> {
    args.time.check()?;
    let emitters = ids("--emitter", &args.emitter, EmitterId::new)?;
    let events = ids("--event", &args.event, RequestId::new)?;
    let mut query = DeadLetterQuery::new()
        .emitter_ids(emitters.iter().cloned())
        .event_ids(events.iter().cloned())
        .codes(args.filters.code.iter().copied());
    query.names = names(&args.filters.name)?;
    (query.after, query.before) = (args.time.after, args.time.before);
    let store = args.store.open()?;
    know_emitters(&store, &emitters).await?;
    let letters = store.dead_letters();
    let page = async |rows, cursor| letters.page(&query.clone().limit(rows), cursor).await;
    let titles = ["id", "given up (UTC)", "emitter", "event", "#tries", "why"];
    if args.page.list("dead letters", &titles, row, page).await? == 0 {
        know_events(&store, &events).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(letter: &DeadLetter) -> Vec<String> {
    vec![
        letter.id.to_string(),
        moment::shown(letter.created),
        letter.emitter.to_string(),
        format!("{} {}", letter.name(), letter.request_id()),
        letter.attempts.to_string(),
        style(why(letter.code, &letter.message)).red().to_string(),
    ]
}
