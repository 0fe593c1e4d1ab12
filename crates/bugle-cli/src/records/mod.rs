//! The records of a store, for people and for programs: `bugle attempts`, `bugle events list`,
//! `bugle dead-letters`. They read beside a service that has the store open, and change nothing.

pub(crate) mod attempts;
pub(crate) mod dead_letters;
pub(crate) mod events;

use std::path::PathBuf;

use bugle::{
    AttemptCode, AttemptQuery, DeadLetterQuery, EmitterId, Page, PageCursor, RequestId, Store,
    Subscription, Timestamp,
};
use clap::Args;
use serde::Serialize;

use crate::error::CliError;
use crate::table::Table;
use crate::{moment, store, ui};

/// The most rows that one page of a log has.
const PAGE: usize = 100;

/// The most emitters that are named where one is not known.
const MOST_NAMED: usize = 12;

/// The store that is read.
#[derive(Args)]
pub(crate) struct StoreArgs {
    /// The store's directory
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
}

impl StoreArgs {
    /// Opens the store to read it, also while a service has it open.
    fn open(&self) -> Result<Store, CliError> {
        store::open_to_read(&self.store)
    }
}

/// The times between which rows are shown.
#[derive(Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct TimeArgs {
    /// Not before this: a date (its start in UTC), a date and time, or how long ago, as 90m
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub(crate) after: Option<Timestamp>,
    /// Before this
    #[arg(long, value_name = "TIME", value_parser = moment::parse)]
    pub(crate) before: Option<Timestamp>,
}

impl TimeArgs {
    /// Refuses times between which nothing can be: they are a slip.
    fn check(&self) -> Result<(), CliError> {
        moment::check("--after", self.after)?;
        match (self.after, self.before) {
            (Some(after), Some(before)) if before <= after => Err(CliError::usage(format!(
                "--before: {} (UTC) is not behind --after, {}: nothing is between them",
                moment::shown(before),
                moment::shown(after)
            ))),
            _ => Ok(()),
        }
    }
}

/// The part of a listing that is shown, and its form.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct PageArgs {
    /// The number of rows
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    limit: usize,
    /// Show all rows
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Go on where the output before ended: the cursor that it named
    #[arg(long, value_name = "CURSOR", value_parser = PageCursor::parse)]
    cursor: Option<PageCursor>,
    /// Print a JSON object for each row, one a line, and at the end one with the cursor if there
    /// are more rows
    #[arg(long)]
    json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|_| "write a number".to_owned())?;
    if number == 0 { Err("at least 1".to_owned()) } else { Ok(number) }
}

/// The last line of a listing for programs.
#[derive(Serialize)]
struct More {
    cursor: PageCursor,
}

impl PageArgs {
    /// Shows rows, newest first, page by page as they are read; answers how many.
    async fn list<T: Serialize, E: ToString>(
        &self,
        what: &str,
        titles: &[&'static str],
        row: impl Fn(&T) -> Vec<String>,
        page: impl AsyncFn(usize, Option<PageCursor>) -> Result<Page<T>, E>,
    ) -> Result<u64, CliError> {
        let mut left = if self.all { usize::MAX } else { self.limit };
        let mut cursor = self.cursor.clone();
        let mut shown = 0;
        let mut table = Table::new(titles);
        loop {
            let Page { items, cursor: next, .. } =
                page(left.min(PAGE), cursor.take()).await.map_err(CliError::store)?;
            left -= items.len();
            shown += items.len() as u64;
            cursor = next;
            match self.json {
                true => items.iter().try_for_each(ui::json)?,
                false => items.iter().for_each(|item| table.row(row(item))),
            }
            if left == 0 || cursor.is_none() {
                break;
            }
        }
        if self.json {
            cursor.map_or(Ok(()), |cursor| ui::json(&More { cursor }))?;
            return Ok(shown);
        }
        match shown {
            0 => ui::note(format_args!("no {what}")),
            _ => ui::result(&table)?,
        }
        if let Some(cursor) = cursor {
            ui::note(format_args!("there are more: --cursor {cursor} goes on, --all shows all"));
        }
        Ok(shown)
    }
}

/// Says why an attempt failed. The record names the settings of a service, which have other names
/// on the command line.
fn why(code: AttemptCode, message: &str) -> String {
    let message = ui::visible(message);
    match code {
        AttemptCode::BlockedDestination => format!(
            "{message}; as options of bugle deliver: --allow-destination CIDR, --allow-private"
        ),
        _ => message,
    }
}

/// Refuses an emitter that is not one of the store's, and has left nothing on record either: its
/// name is misspelt.
async fn know_emitters(store: &Store, asked: &[EmitterId]) -> Result<(), CliError> {
    let mut known = match store.specs() {
        Some(specs) if !asked.is_empty() => specs.all().await.map_err(CliError::store)?,
        _ => return Ok(()),
    };
    for emitter in asked.iter().filter(|id| !known.iter().any(|spec| spec.id == **id)) {
        let id = [emitter.clone()];
        let attempts = AttemptQuery::new().webhook_ids(id.clone()).limit(1);
        let attempts = store.attempts().page(&attempts, None).await.map_err(CliError::store)?;
        let letters = DeadLetterQuery::new().emitter_ids(id).limit(1);
        let letters = store.dead_letters().page(&letters, None).await.map_err(CliError::store)?;
        if attempts.items.is_empty() && letters.items.is_empty() {
            known.truncate(MOST_NAMED);
            let known: Vec<_> = known.iter().map(|spec| spec.id.as_str()).collect();
            return Err(CliError::not_found(format!(
                "there is no emitter {emitter:?} in the store, nor anything on record of one; it \
                 has {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )));
        }
    }
    Ok(())
}

/// Refuses an event that the store does not have, where nothing was found.
async fn know_events(store: &Store, asked: &[RequestId]) -> Result<(), CliError> {
    let Some(events) = store.events() else { return Ok(()) };
    for id in asked {
        let found = events.get(id).await.map_err(CliError::store)?;
        found.ok_or_else(|| no_event(id))?;
    }
    Ok(())
}

fn no_event(id: &RequestId) -> CliError {
    CliError::not_found(format!("there is no event {id}, or no more"))
}

/// Reads names and patterns of events as a filter; `None` for all events.
pub(crate) fn names(names: &[String]) -> Result<Option<Subscription>, CliError> {
    if names.is_empty() {
        return Ok(None);
    }
    Subscription::new(names).map(Some).map_err(|error| CliError::usage(format!("--name: {error}")))
}

/// Checks ids of one kind.
pub(crate) fn ids<T, E: std::fmt::Display>(
    flag: &str,
    ids: &[String],
    check: impl Fn(String) -> Result<T, E>,
) -> Result<Vec<T>, CliError> {
    let checked = ids.iter().cloned().map(check);
    let checked: Result<_, E> = checked.collect();
    checked.map_err(|error| CliError::usage(format!("{flag}: {error}")))
}
