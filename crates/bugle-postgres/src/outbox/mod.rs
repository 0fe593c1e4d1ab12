//! The transactional outbox: events that are written in the service's own transactions.
//!
//! An event is sent if, and only if, the transaction that wrote it commits. The service inserts
//! into a table; a [`Relay`](crate::Relay) takes the rows from there.
//!
//! A service in any language writes to it with plain SQL:
//!
//! ```sql
//! insert into bugle_outbox (name, payload) values ('invoice.paid', '{"invoice": 7}');
//! ```
//!
//! | column | type | meaning |
//! | --- | --- | --- |
//! | `position` | bigint, primary key | the order of the events; given by the table |
//! | `id` | text | the request id that the event is delivered under; a new UUID unless given |
//! | `name` | text | the event's name, as `invoice.paid` |
//! | `payload` | json | a JSON object, delivered byte for byte as it stands |
//! | `key` | text, null | what orders the event in emitters with `Order::PerKey` |
//! | `traceparent`, `tracestate` | text, null | the W3C trace context that the event belongs to |
//! | `created_at` | timestamptz | when the row was written |
//! | `processed_at` | timestamptz, null | when a relay took it: see [`Processed`] |
//! | `error` | text, null | why the row was set aside, where it holds up nothing |
//!
//! A row that was set aside stays. Put right, and `error` set to null again, it is sent.

mod emit;
mod install;
mod sql;

use std::time::Duration;

pub use emit::{OutboxError, OutboxOptions, OutboxTransaction, emit, emit_with};
pub(crate) use install::COLUMNS;
pub(crate) use sql::{clean, gather, mark};

use crate::table::{TableName, TableNameError};

/// An outbox: the name of its table, and the treatment of rows that a relay took.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Outbox {
    pub(crate) table: TableName,
    pub(crate) processed: Processed,
    notify: bool,
    max_payload_bytes: usize,
}

/// The treatment of an outbox row once its event is safe in the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Processed {
    /// The row is deleted at once. The default.
    #[default]
    Delete,
    /// The row is marked with `processed_at`, and deleted by a relay when it is older than this.
    Keep(Duration),
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            table: TableName::plain("bugle_outbox"),
            processed: Processed::default(),
            notify: true,
            max_payload_bytes: 4 * 1024 * 1024,
        }
    }
}

impl Outbox {
    /// Names an outbox's table. Default `bugle_outbox`.
    ///
    /// # Errors
    /// [`TableNameError`] when it is not a table's name.
    pub fn new(name: impl AsRef<str>) -> Result<Self, TableNameError> {
        Ok(Self { table: TableName::new(name)?, ..Self::default() })
    }

    /// Sets the treatment of rows that were taken. Default [`Processed::Delete`].
    pub fn processed(mut self, processed: Processed) -> Self {
        self.processed = processed;
        self
    }

    /// Sets the largest payload that is written, encoded, in bytes. Default 4 MiB, as a runtime's
    /// limit.
    pub fn max_payload_bytes(mut self, bytes: usize) -> Self {
        self.max_payload_bytes = bytes;
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
