//! Audited tables: every change of a record becomes a row of the audit table, in the transaction
//! that changed it.

mod audited;
mod change;
mod check;
mod context;
mod install;
mod send;
mod shape;
mod sql;
mod trace;
mod trigger;

use crate::table::{TableName, TableNameError};

pub(crate) use change::Changed;
pub use context::{ContextError, ContextTransaction, set_context};
pub(crate) use install::COLUMNS;
pub use send::SendError;
pub(crate) use shape::Shape;
pub(crate) use sql::{gather, mark, set_aside};
pub use trace::TraceError;

/// The table that changes are written to by triggers, one row for each changed record.
///
/// | column | type | meaning |
/// | --- | --- | --- |
/// | `id` | text, primary key | the row; the request id of its event is made of it |
/// | `table_name` | text | the changed table |
/// | `op` | text | `insert`, `update`, `delete` or `truncate` |
/// | `data` | jsonb | the record, before a `delete` and else after; or why it can't be carried |
/// | `identity_id` | text, null | who did it: the transaction's setting `audit.identity_id` |
/// | `trace_id` | text, null | the setting `audit.trace_id`: the request's W3C trace id, in hex |
/// | `created_at` | timestamptz | when the row was written |
/// | `event_processed_at` | timestamptz, null | when it was made into an event; null until then |
/// | `position` | bigint | the order of the rows, from a sequence |
/// | `traceparent` | text, null | the setting `audit.traceparent`: the whole trace context |
/// | `error` | text, null | why the row can't be an event; null again, it is tried again |
///
/// A table that has the first eight columns alone, as Keel's `keel_audit`, is read as it is, but
/// without `position` the order of a record's changes can't be promised where transactions
/// overlap: they then go by the transactions, and within one by its commands.
/// [`AuditTable::install`] adds the columns; until then each start says so.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct AuditTable {
    pub(crate) table: TableName,
    /// The audited tables that a relay follows; empty for all.
    pub(crate) only: Vec<String>,
    notify: bool,
}

impl Default for AuditTable {
    fn default() -> Self {
        Self { table: TableName::plain("bugle_audit"), only: Vec::new(), notify: true }
    }
}

impl AuditTable {
    /// Names an audit table. Default `bugle_audit`.
    ///
    /// # Errors
    /// [`TableNameError`] when it is not a table's name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, TableNameError> {
        Ok(Self { table: TableName::new(name)?, ..Self::default() })
    }

    /// A relay follows the changes of these tables only, named as the column `table_name` has them:
    /// without a schema. Default: of all.
    pub fn only<I>(mut self, tables: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.only = tables.into_iter().map(Into::into).collect();
        self
    }

    /// Installs no trigger that notifies a relay of new rows: it then looks at its interval only.
    /// `NOTIFY` makes the commits of one database wait for one another, which is felt from some
    /// thousand writing transactions a second.
    pub fn without_notify(mut self) -> Self {
        self.notify = false;
        self
    }

    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.table
    }
}
