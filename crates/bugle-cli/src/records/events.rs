//! `bugle events list` and `bugle events show`: what was accepted, and whether it has arrived.

use std::process::ExitCode;
use std::sync::Arc;

use bugle::{EventLog, EventQuery, LoggedEvent, RequestId, Store};
use clap::Args;
use console::style;

use super::{PageArgs, StoreArgs, TimeArgs, ids, know_events, names, no_event};
use crate::error::CliError;
use crate::ui::visible;
use crate::{json, moment, ui};

const LIST_EXAMPLES: &str = "\
Examples:
  The newest 20 events of a store:
    bugle events list --store ./bugle-data

  Invoices that have not arrived everywhere:
    bugle events list --store ./bugle-data --name 'invoice.*' --undelivered --all";

const SHOW_EXAMPLES: &str = "\
Examples:
    bugle events show 0b6d…-4f2a --store ./bugle-data";

/// Shows the events that a store has, newest first.
///
/// The store has every event that waits, and as many of those that arrived as it keeps. It may be
/// in use by a running service.
#[derive(Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    store: StoreArgs,
    /// Only those of this name, or that match this pattern. Several times for several
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    name: Vec<String>,
    /// Only the one with this request id. Several times for several
    #[arg(long, value_name = "ID", help_heading = "Filters")]
    event: Vec<String>,
    /// Only those that have arrived
    #[arg(long, conflicts_with = "undelivered", help_heading = "Filters")]
    delivered: bool,
    /// Only those that an emitter waits to deliver, or gave up on
    #[arg(long, help_heading = "Filters")]
    undelivered: bool,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    page: PageArgs,
}

/// Shows one event, with its payload.
#[derive(Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub(crate) struct ShowArgs {
    /// Its request id
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    store: StoreArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Lists events.
pub(crate) async fn list(args: ListArgs) -> Result<ExitCode, CliError> {
    args.time.check()?;
    let events = ids("--event", &args.event, RequestId::new)?;
    let mut query = EventQuery::new().event_ids(events.iter().cloned());
    query.names = names(&args.name)?;
    query.is_delivered = match (args.delivered, args.undelivered) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    (query.after, query.before) = (args.time.after, args.time.before);
    let store = args.store.open()?;
    let log = events_of(&store)?;
    let page = async |rows, cursor| log.page(&query.clone().limit(rows), cursor).await;
    let titles = ["#place", "time (UTC)", "name", "id", "key", "#bytes", "delivered"];
    if args.page.list("events", &titles, row, page).await? == 0 {
        know_events(&store, &events).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The record of events, which every store that the command line opens has.
fn events_of(store: &Store) -> Result<Arc<dyn EventLog>, CliError> {
    let none = || CliError::not_found("this store keeps no record of events".to_owned());
    store.events().ok_or_else(none)
}

fn row(event: &LoggedEvent) -> Vec<String> {
    vec![
        event.sequence.to_string(),
        moment::shown(event.created),
        event.name.to_string(),
        event.id.to_string(),
        event.key.as_ref().map(ToString::to_string).unwrap_or_default(),
        ui::count(event.payload.len() as u64),
        delivered(event),
    ]
}

fn delivered(event: &LoggedEvent) -> String {
    match event.is_delivered {
        true => style("yes").green().to_string(),
        false => style("no").red().to_string(),
    }
}

/// Shows one event.
pub(crate) async fn show(args: ShowArgs) -> Result<ExitCode, CliError> {
    let id = RequestId::new(&args.id).map_err(CliError::usage)?;
    let found = events_of(&args.store.open()?)?.get(&id).await.map_err(CliError::store)?;
    let event = found.ok_or_else(|| no_event(&id))?;
    if args.json {
        ui::json(&event)?;
        return Ok(ExitCode::SUCCESS);
    }
    let line =
        |title: &str, text: &str| format!("{} {text}\n", style(format!("{title:<10}")).dim());
    let mut text = line("event", event.id.as_str());
    text += &line("name", event.name.as_str());
    text += &line("emitted", &format!("{} UTC", moment::shown(event.created)));
    text += &line("place", &event.sequence.to_string());
    if let Some(key) = &event.key {
        text += &line("key", key.as_str());
    }
    if let Some(traceparent) = &event.traceparent {
        text += &line("trace", traceparent);
    }
    text += &line("delivered", &delivered(&event));
    let payload = String::from_utf8_lossy(&event.payload);
    ui::result(format_args!(
        "{text}\n{}",
        json::pretty(&payload).unwrap_or_else(|| visible(&payload))
    ))?;
    Ok(ExitCode::SUCCESS)
}
