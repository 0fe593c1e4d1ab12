//! The change events of one request.

use bugle::events::{Change, ChangeEvent, Changes, SentChanges};
use bugle::{EmitError, EmitOptions};
use tokio_postgres::{Client, Transaction};

use super::AuditTable;
use super::change::Changed;
use super::sql::{gather_trace, kinds_of_trace, mark};
use crate::error::DatabaseError;
use crate::install::find;
use crate::table::TableName;

/// How many rows are taken in one transaction.
const BATCH: usize = 1_000;

/// Why the change events of a request were not sent, or not all. Rows whose events are not in the
/// journal are not marked: send them again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is no such table.
    #[error("there is no audit table {0}: install it, or check its name and schema")]
    NotInstalled(TableName),
    /// A row can't be an event.
    #[error("a change of table {table:?} can't be an event: {reason}")]
    NoEvent {
        /// The changed table, as the row names it.
        table: String,
        /// Why not, and an unknown `op` by its name.
        reason: String,
    },
    /// The runtime took no events.
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
    /// Sends the change events of one request to their subscribers: Keel's `SendEvents`. They are
    /// those of the rows with this `trace_id` that are not marked as processed, in the order in
    /// which they were written, parents before their children. Rows that no emitter of the runtime
    /// wants, nor a subscriber of `changes`, stay as they are. Call it when the request's
    /// transaction has committed; [`set_context`](super::set_context) gives its rows the trace.
    ///
    /// The rows are locked while their events go into the journal, and marked when they are safe
    /// there, at most 1,000 in one transaction. Whatever ends the process or the connection in
    /// between, no event is lost; one that comes twice for it has the same request id, which is the
    /// row's. Who calls it for the same trace at the same time waits, and sends what is left.
    ///
    /// What the subscribers make of the events does not matter to the action that caused them: ask
    /// [`SentChanges::settled`] for their errors, all of them joined, or don't.
    ///
    /// # Errors
    /// [`SendError`]. Events of an earlier transaction of this call stay sent.
    pub async fn send_events(
        &self,
        client: &mut Client,
        changes: &Changes,
        trace_id: &str,
    ) -> Result<SentChanges, SendError> {
        let found = find(client, &self.table).await?;
        let found = found.ok_or_else(|| SendError::NotInstalled(self.table.clone()))?;
        let trace = Trace {
            trace_id,
            table: found.name.quoted(),
            has_position: found.has("position"),
            only: &self.only,
        };
        let mut sent = SentChanges::default();
        loop {
            let transaction = client.transaction().await?;
            let rows = trace.gather(&transaction, changes).await?;
            if rows.is_empty() {
                return Ok(sent);
            }
            let is_last = rows.len() < BATCH;
            let events = rows.iter().map(event).collect::<Result<Vec<_>, _>>()?;
            let accepted = changes.send_events_with(events).await?;
            trace.mark(&transaction, &rows).await?;
            transaction.commit().await?;
            sent.append(accepted);
            if is_last {
                return Ok(sent);
            }
        }
    }
}

/// The rows of one trace.
struct Trace<'a> {
    trace_id: &'a str,
    table: String,
    has_position: bool,
    only: &'a [String],
}

impl Trace<'_> {
    /// The next rows that somebody wants, locked.
    async fn gather(
        &self,
        transaction: &Transaction<'_>,
        changes: &Changes,
    ) -> Result<Vec<Changed>, SendError> {
        let (mut tables, mut ops) = (Vec::<String>::new(), Vec::<String>::new());
        let kinds = kinds_of_trace(&self.table);
        for kind in transaction.query(&kinds, &[&self.trace_id]).await? {
            let (table, op): (String, String) = (kind.try_get(0)?, kind.try_get(1)?);
            if !self.only.is_empty() && !self.only.contains(&table) {
                continue;
            }
            let wrong = |error: &dyn std::error::Error| {
                let (table, reason) = (table.clone(), error.to_string());
                SendError::NoEvent { table, reason }
            };
            let change: Change = op.parse().map_err(|error| wrong(&error))?;
            let name = ChangeEvent::name(&table, change).map_err(|error| wrong(&error))?;
            if changes.has_subscriber(&name) {
                tables.push(table);
                ops.push(op);
            }
        }
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let gather = gather_trace(&self.table, self.has_position);
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let rows = transaction.query(&gather, &[&self.trace_id, &tables, &ops, &limit]).await?;
        Ok(rows.iter().map(Changed::read).collect::<Result<_, _>>()?)
    }

    // Not in the statement that gathers: an update that is rolled back would leave its mark on
    // `cmin`, and so on the order of the rows of a table that has no positions.
    async fn mark(&self, transaction: &Transaction<'_>, rows: &[Changed]) -> Result<(), SendError> {
        let mark = mark(&self.table, self.has_position);
        if self.has_position {
            let positions: Vec<i64> = rows.iter().filter_map(|row| row.position).collect();
            transaction.execute(&mark, &[&positions]).await?;
        } else {
            let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
            transaction.execute(&mark, &[&ids]).await?;
        }
        Ok(())
    }
}

/// An event and how it is emitted, the same as a relay would have it.
fn event(row: &Changed) -> Result<(ChangeEvent, EmitOptions), SendError> {
    let wrong = |reason| SendError::NoEvent { table: row.table.clone(), reason };
    Ok((row.event().map_err(wrong)?, row.options()))
}
