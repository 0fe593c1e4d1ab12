//! What a store remembers, for people and for programs: `bugle attempts`, `bugle events list`,
//! `bugle dead-letters`. They read beside a service that has the store open, and change nothing.

pub(crate) mod attempts;
pub(crate) mod dead_letters;
pub(crate) mod events;

use std::path::{Path, PathBuf};

use bugle::{Page, PageCursor, Store, Subscription, Timestamp};
use clap::Args;
use serde::Serialize;

use crate::error::CliError;
use crate::table::Table;
use crate::{moment, ui};

/// How many rows a page of a log has at most.
const PAGE: usize = 100;

/// The store that is read.
#[derive(Args)]
pub(crate) struct StoreArgs {
    /// The store's directory
    #[arg(long, value_name = "DIR")]
    store: PathBuf,
}

impl StoreArgs {
    /// Opens it beside whoever has it open.
    fn open(&self) -> Result<Store, CliError> {
        exists(&self.store)?;
        Store::open_read_only(&self.store).map_err(CliError::failed)
    }
}

/// Says so where there is no store: opening one would make it.
pub(crate) fn exists(directory: &Path) -> Result<(), CliError> {
    if directory.is_dir() {
        return Ok(());
    }
    Err(CliError::usage(format!("there is no store in {}", directory.display())))
}

/// From when to when.
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

/// How much is shown, and how.
#[derive(Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct PageArgs {
    /// How many rows
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one)]
    limit: usize,
    /// All of them
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
    /// Shows rows, newest first, page by page as they are read.
    async fn list<T: Serialize, E: ToString>(
        &self,
        what: &str,
        titles: &[&'static str],
        row: impl Fn(&T) -> Vec<String>,
        page: impl AsyncFn(usize, Option<PageCursor>) -> Result<Page<T>, E>,
    ) -> Result<(), CliError> {
        let mut left = if self.all { usize::MAX } else { self.limit };
        let mut cursor = self.cursor.clone();
        let mut shown = 0;
        let mut table = Table::new(titles);
        loop {
            let Page { items, cursor: next, .. } =
                page(left.min(PAGE), cursor.take()).await.map_err(CliError::failed)?;
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
            return cursor.map_or(Ok(()), |cursor| ui::json(&More { cursor }));
        }
        match shown {
            0 => ui::note(format_args!("no {what}")),
            _ => ui::result(&table)?,
        }
        if let Some(cursor) = cursor {
            ui::note(format_args!("there are more: --cursor {cursor} goes on, --all shows all"));
        }
        Ok(())
    }
}

/// Names and patterns of events, as a filter; none for all events.
pub(crate) fn names(names: &[String]) -> Result<Option<Subscription>, CliError> {
    if names.is_empty() {
        return Ok(None);
    }
    Subscription::new(names).map(Some).map_err(|error| CliError::usage(format!("--name: {error}")))
}

/// Ids of one kind, checked.
pub(crate) fn ids<T, E: std::fmt::Display>(
    flag: &str,
    ids: &[String],
    check: impl Fn(String) -> Result<T, E>,
) -> Result<Vec<T>, CliError> {
    let checked = ids.iter().cloned().map(check);
    let checked: Result<_, E> = checked.collect();
    checked.map_err(|error| CliError::usage(format!("{flag}: {error}")))
}
