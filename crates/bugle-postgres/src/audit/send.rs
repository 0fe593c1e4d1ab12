//! The change events of one request.

use std::collections::HashSet;

use bugle::events::{Change, ChangeEvent, Changes, SentChanges, SetAside};
use bugle::{EmitError, EmitOptions, EventName};
use futures_util::TryStreamExt as _;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::AuditTable;
use super::change::Changed;
use super::shape::Shape;
use super::sql::{kinds_of_trace, mark, next_of_trace, read_rows, set_aside};
use super::trace::{Trace, TraceError};
use crate::error::DatabaseError;
use crate::install::find;
use crate::relay::{BATCH_BYTES, is_of_the_event};
use crate::table::TableName;

/// The number of rows that are taken at once.
const BATCH: usize = 1_000;

/// The reason why the change events of a request were not sent, or not all. Rows whose events are
/// not in the journal are not marked: send them again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The trace is neither a trace id nor a traceparent. No row was looked at.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// There is no such table.
    #[error("there is no audit table {0}: install it, or check its name and schema")]
    NotInstalled(TableName),
    /// The runtime did not take the events.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The database refused, or the connection failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<tokio_postgres::Error> for SendError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

impl AuditTable {
    /// Sends the change events of one request to their subscribers: Keel's `SendEvents`. These are
    /// the events of the rows with this trace's id that are not marked as processed, in the order
    /// in which they were written, parents before their children. Rows that no emitter of the
    /// runtime wants, nor a subscriber of `changes`, are not looked at, and stay as they are.
    /// Without a handler set in `changes`, all rows stay as they are. Call it when the request's
    /// transaction has committed; [`set_context`](super::set_context) gives its rows the trace.
    ///
    /// `trace` is a W3C trace id, or a whole traceparent, which the handlers then get. With an id
    /// alone they get the traceparent that the rows have, or else one that is made of the row, and
    /// counts as sampled.
    ///
    /// No lock is held while events wait for room in the journal, so a handler may call this too,
    /// for the same trace. Rows are marked when their events are safe there. Whatever ends the
    /// process or the connection in between, no event is lost; one that comes twice for it has the
    /// same request id, which is the row's. A row that another call in this process is sending is
    /// passed over; another process that sends the same trace at the same time may send it too.
    ///
    /// A row that can't be an event is set aside, logged, and among [`SentChanges::set_aside`]; a
    /// table with the column `error` has the reason there, and the row comes again once that is
    /// null. The others go on.
    ///
    /// The errors of subscribers do not matter to the action that caused the events: ask
    /// [`SentChanges::settled`] for them, all joined, or don't.
    ///
    /// # Errors
    /// [`SendError`]. Events that this call had sent by then stay sent.
    pub async fn send_events(
        &self,
        client: &Client,
        changes: &Changes,
        trace: &str,
    ) -> Result<SentChanges, SendError> {
        let trace: Trace = trace.parse()?;
        let mut sent = SentChanges::default();
        if !changes.has_event_handler() {
            return Ok(sent);
        }
        let found = find(client, &self.table).await?;
        let found = found.ok_or_else(|| SendError::NotInstalled(self.table.clone()))?;
        let table = found.name.quoted();
        let source = format!("{}/{table}", found.database);
        let shape = Shape::of(&found);
        if !shape.numbered && changes.is_new(&source) {
            tracing::warn!(table, "{}", super::check::NO_ORDER);
        }
        let rows = Rows { client, changes, trace, table, shape, only: &self.only };
        let mut passed = HashSet::new();
        loop {
            let next = rows.next(&passed).await?;
            if next.is_empty() {
                return Ok(sent);
            }
            // Claimed and then read: what another call has sent by now is marked.
            let claim = changes.claim(&source, next.iter().cloned());
            let claimed: HashSet<&String> = claim.rows().iter().collect();
            passed.extend(next.iter().filter(|id| !claimed.contains(id)).cloned());
            let batch = rows.read(claim.rows()).await?;
            passed.extend(batch.iter().map(|row| row.id.clone()));
            sent.append(rows.send(batch).await?);
        }
    }
}

/// The rows of one trace.
struct Rows<'a> {
    client: &'a Client,
    changes: &'a Changes,
    trace: Trace,
    table: String,
    shape: Shape,
    only: &'a [String],
}

/// A row of the trace with its change, or the reason why it is none.
struct TraceRow {
    id: String,
    position: Option<i64>,
    changed: Result<Changed, String>,
}

impl Rows<'_> {
    /// Reads the ids of the next rows that somebody wants.
    async fn next(&self, passed: &HashSet<String>) -> Result<Vec<String>, SendError> {
        let (mut tables, mut ops) = (Vec::<String>::new(), Vec::<String>::new());
        let kinds = kinds_of_trace(&self.table, self.shape);
        for kind in self.client.query(&kinds, &[&self.trace.id]).await? {
            let (table, op): (Option<String>, Option<String>) =
                (kind.try_get(0)?, kind.try_get(1)?);
            let (Some(table), Some(op)) = (table, op) else { continue };
            if (self.only.is_empty() || self.only.contains(&table)) && self.is_wanted(&table, &op) {
                tables.push(table);
                ops.push(op);
            }
        }
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let next = next_of_trace(&self.table, self.shape);
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let passed: Vec<&str> = passed.iter().map(String::as_str).collect();
        let values: [&(dyn ToSql + Sync); 5] = [&self.trace.id, &tables, &ops, &passed, &limit];
        let rows = self.client.query(&next, &values).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    /// True when somebody subscribes to this operation. A subscriber to all that happens to a table
    /// gets an operation, too, that nobody knows.
    fn is_wanted(&self, table: &str, op: &str) -> bool {
        let change = op.parse().map_or(op, |change: Change| change.as_str());
        let name = EventName::new(format!("{table}.{change}"));
        name.is_ok_and(|name| self.changes.has_subscriber(&name))
    }

    /// Reads these rows, or as many of them as are held at once.
    async fn read(&self, ids: &[String]) -> Result<Vec<TraceRow>, SendError> {
        let read = read_rows(&self.table, self.shape);
        let rows = self.client.query_raw(&read, [&ids]).await?;
        let mut rows = std::pin::pin!(rows);
        let (mut found, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES
            && let Some(row) = rows.try_next().await?
        {
            let (id, position) = (row.try_get(0)?, row.try_get(1)?);
            let changed = Changed::read(&row);
            bytes += changed.as_ref().map_or(0, Changed::bytes);
            found.push(TraceRow { id, position, changed });
        }
        Ok(found)
    }

    /// Sends rows and marks them, and sets aside those that can't be events.
    async fn send(&self, rows: Vec<TraceRow>) -> Result<SentChanges, SendError> {
        let mut fit: Vec<(&TraceRow, (ChangeEvent, EmitOptions))> = Vec::new();
        let mut unfit = Vec::new();
        for row in &rows {
            match self.event(row) {
                Ok(event) => fit.push((row, event)),
                Err(reason) => unfit.push((row, reason)),
            }
        }
        let (mut sent, mut accepted) = (SentChanges::default(), Vec::new());
        let events = fit.iter().map(|(_, event)| event.clone());
        match self.changes.send_events_with(events).await {
            Ok(all) => {
                sent = all;
                accepted.extend(fit.iter().map(|(row, _)| *row));
            }
            Err(error) if is_of_the_event(&error) => {
                for (row, event) in fit {
                    match self.changes.send_events_with([event]).await {
                        Ok(one) => {
                            sent.append(one);
                            accepted.push(row);
                        }
                        Err(error) if is_of_the_event(&error) => {
                            unfit.push((row, error.to_string()));
                        }
                        Err(error) => {
                            self.mark(&accepted).await?;
                            return Err(error.into());
                        }
                    }
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.mark(&accepted).await?;
        for (row, reason) in unfit {
            self.set_aside(row, &reason).await?;
            sent.push_set_aside(SetAside { row: row.id.clone(), reason });
        }
        Ok(sent)
    }

    /// Makes an event and its options, the same as a relay's but for a trace that the caller gave.
    fn event(&self, row: &TraceRow) -> Result<(ChangeEvent, EmitOptions), String> {
        let changed = row.changed.as_ref().map_err(Clone::clone)?;
        let options = match self.trace.parent.clone() {
            Some(parent) => changed.options().trace(parent),
            None => changed.options(),
        };
        Ok((changed.event()?, options))
    }

    async fn mark(&self, rows: &[&TraceRow]) -> Result<(), SendError> {
        let mark = mark(&self.table, self.shape);
        if self.shape.numbered {
            let positions: Vec<i64> = rows.iter().filter_map(|row| row.position).collect();
            self.client.execute(&mark, &[&positions]).await?;
        } else {
            let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
            self.client.execute(&mark, &[&ids]).await?;
        }
        Ok(())
    }

    async fn set_aside(&self, row: &TraceRow, reason: &str) -> Result<(), SendError> {
        tracing::warn!(row = row.id, reason, "a row can't be made into an event");
        if self.shape.has_error {
            let set_aside = set_aside(&self.table);
            self.client.execute(&set_aside, &[&row.position, &reason]).await?;
        }
        Ok(())
    }
}
