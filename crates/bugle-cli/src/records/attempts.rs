//! `bugle attempts`: shows why a receiver did not get its events.

use std::process::ExitCode;
use std::time::Duration;

use bugle::{Attempt, AttemptId, AttemptQuery, EmitterId, RequestId, Store};
use clap::Args;
use console::style;

use super::{PageArgs, StoreArgs, TimeArgs, ids, know_emitters, know_events, why};
use crate::error::CliError;
use crate::ui::visible;
use crate::{json, moment, ui};

const EXAMPLES: &str = "\
Examples:
  The newest 20 attempts of a store:
    bugle attempts --store ./bugle-data

  One of them, with the response's head and body:
    bugle attempts 1017 --store ./bugle-data

  What went wrong at one receiver in the last hour, for a program:
    bugle attempts --store ./bugle-data --emitter billing --after 1h --all --json";

/// Shows the record of attempts, newest first.
///
/// Failed attempts are always recorded; successful ones where that was asked for (deliver:
/// --record-all). The store may be in use by a running service.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct AttemptsArgs {
    /// Show this attempt in full
    #[arg(
        value_name = "ID",
        conflicts_with_all = ["emitter", "event", "after", "before", "limit", "all", "cursor"]
    )]
    id: Option<String>,
    #[command(flatten)]
    store: StoreArgs,
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

/// Runs the command.
pub(crate) async fn run(args: AttemptsArgs) -> Result<ExitCode, CliError> {
    args.time.check()?;
    let emitters = ids("--emitter", &args.emitter, EmitterId::new)?;
    let events = ids("--event", &args.event, RequestId::new)?;
    let mut query =
        AttemptQuery::new().webhook_ids(emitters.iter().cloned()).event_ids(events.iter().cloned());
    (query.after, query.before) = (args.time.after, args.time.before);
    let store = args.store.open()?;
    if let Some(id) = &args.id {
        return show(&store, id, args.page.json).await;
    }
    know_emitters(&store, &emitters).await?;
    let log = store.attempts();
    let page = async |rows, cursor| log.page(&query.clone().limit(rows), cursor).await;
    let titles = ["id", "time (UTC)", "emitter", "event", "#try", "result", "#took"];
    if args.page.list("attempts", &titles, row, page).await? == 0 {
        know_events(&store, &events).await?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(attempt: &Attempt) -> Vec<String> {
    let result = match attempt.code {
        None => style(status(attempt).unwrap_or_else(|| "delivered".to_owned())).green(),
        Some(code) => style(why(code, &attempt.message)).red(),
    };
    vec![
        attempt.id.to_string(),
        moment::shown(attempt.created),
        attempt.webhook_id.to_string(),
        format!("{} {}", attempt.event_name, attempt.event_id),
        attempt.attempt.to_string(),
        result.to_string(),
        took(attempt.elapsed.total),
    ]
}

fn status(attempt: &Attempt) -> Option<String> {
    attempt.status.map(|status| status.to_string())
}

async fn show(store: &Store, id: &str, as_json: bool) -> Result<ExitCode, CliError> {
    let none = || CliError::not_found(format!("there is no attempt {id}, or no more"));
    let number = AttemptId::try_from(id.to_owned()).map_err(|_| none())?;
    let found = store.attempts().get(number).await.map_err(CliError::store)?;
    let attempt = found.ok_or_else(none)?;
    match as_json {
        true => ui::json(&attempt)?,
        false => ui::result(in_full(&attempt))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn in_full(attempt: &Attempt) -> String {
    let mut lines = Vec::new();
    let mut line = |title: &str, text: String| {
        lines.push(format!("{} {text}", style(format!("{title:<12}")).dim()));
    };
    line("attempt", format!("{}, try {}", attempt.id, attempt.attempt));
    line("time", format!("{} UTC", moment::shown(attempt.created)));
    line("emitter", attempt.webhook_id.to_string());
    let (name, id) = (&attempt.event_name, &attempt.event_id);
    line("event", format!("{name} {id}, place {}", attempt.sequence));
    match attempt.code {
        Some(code) => line(
            "failed",
            style(format!("{code}: {}", why(code, &attempt.message))).red().to_string(),
        ),
        None => line("delivered", status(attempt).unwrap_or_default()),
    }
    if let Some(address) = attempt.connected_to {
        line("connected to", address.to_string());
    }
    let elapsed = &attempt.elapsed;
    let phases = [
        ("resolve", elapsed.resolve),
        ("connect", elapsed.connect),
        ("tls", elapsed.tls),
        ("first byte", elapsed.first_byte),
    ];
    let phases = phases.iter().filter(|(_, time)| !time.is_zero());
    let phases: Vec<String> =
        phases.map(|(phase, time)| format!("{phase} {}", took(*time))).collect();
    line("took", format!("{} ({})", took(elapsed.total), phases.join(", ")));
    if let Some(head) = &attempt.head {
        let status = attempt.status.map(|status| status.to_string()).unwrap_or_default();
        lines.push(format!("\n{} {status}", head.version));
        lines.extend(head.headers.iter().map(|(name, value)| visible(&format!("{name}: {value}"))));
    }
    if !attempt.body.is_empty() {
        lines.push(String::new());
        lines.push(json::pretty(&attempt.body).unwrap_or_else(|| visible(&attempt.body)));
    }
    lines.join("\n")
}

/// Words a time as people do, to three digits.
fn took(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        _ if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        _ if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{seconds:.2} s"),
    }
}
