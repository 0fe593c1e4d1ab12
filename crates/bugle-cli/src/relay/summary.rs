//! The result of a relay run.

use std::fmt;

use bugle::Runtime;
use bugle_postgres::Relay;
use console::style;
use serde::Serialize;

use crate::deliver::target::Target;
use crate::table::Table;
use crate::ui::{count, plural};

/// The summary, as `--json` prints it.
#[derive(Debug, Serialize)]
pub(super) struct RelaySummary {
    tables: Vec<RelayTable>,
    emitters: Vec<RelayEmitter>,
    /// True when pending events are kept for the next run.
    is_kept: bool,
}

#[derive(Debug, Serialize)]
struct RelayTable {
    table: String,
    /// The number of rows that became events.
    relayed: u64,
    /// The number of rows that can't become events.
    set_aside: u64,
    /// The error that ended it, or the last that was in its way.
    last_error: Option<String>,
    /// The warnings that its operator should read.
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RelayEmitter {
    id: String,
    url: String,
    delivered: u64,
    dead_lettered: u64,
    pending: u64,
}

impl RelaySummary {
    /// Sums up relays and a runtime that have shut down.
    pub(super) fn new(
        runtime: &Runtime,
        targets: &[Target],
        relays: &[(String, Relay)],
        is_kept: bool,
    ) -> Self {
        let tables = relays.iter().map(|(table, relay)| {
            let status = relay.status();
            RelayTable {
                table: table.clone(),
                relayed: status.relayed,
                set_aside: status.set_aside,
                last_error: status.last_error,
                warnings: status.warnings,
            }
        });
        let emitters = targets.iter().map(|target| {
            let last = runtime.describe(&target.id);
            let last = last.as_ref();
            RelayEmitter {
                id: target.id.clone(),
                url: target.url.clone(),
                delivered: last.map_or(0, |emitter| emitter.delivered_since_start),
                dead_lettered: last.map_or(0, |emitter| emitter.dead_lettered_since_start),
                pending: last.map_or(0, |emitter| emitter.depth),
            }
        });
        Self { tables: tables.collect(), emitters: emitters.collect(), is_kept }
    }

    /// True when nothing was given up or set aside, and nothing that is pending is lost.
    pub(super) fn is_done(&self) -> bool {
        self.tables.iter().all(|table| table.set_aside == 0)
            && self
                .emitters
                .iter()
                .all(|emitter| emitter.dead_lettered == 0 && (emitter.pending == 0 || self.is_kept))
    }
}

impl fmt::Display for RelaySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["receiver", "#delivered", "#given up", "#pending"]);
        let zero_is_fine = |number: u64| match number {
            0 => count(0),
            some => style(count(some)).red().to_string(),
        };
        for emitter in &self.emitters {
            table.row([
                emitter.url.clone(),
                count(emitter.delivered),
                zero_is_fine(emitter.dead_lettered),
                zero_is_fine(emitter.pending),
            ]);
        }
        write!(f, "{table}")?;
        for table in &self.tables {
            write!(f, "\n{}: {} taken", table.table, plural(table.relayed, "row"))?;
            if table.set_aside > 0 {
                write!(f, ", {} set aside", style(count(table.set_aside)).red())?;
            }
        }
        let pending: u64 = self.emitters.iter().map(|emitter| emitter.pending).sum();
        match (pending, self.is_kept) {
            (0, _) => Ok(()),
            (_, true) => write!(f, "\nwhat is pending is kept in the store for the next run"),
            (_, false) => write!(f, "\nwhat is pending is lost: --store DIR keeps it"),
        }
    }
}
