//! Writing an event in the caller's own transaction.

use std::future::Future;

use bugle::payload::{self, PayloadError};
use bugle::{EventName, IdError, OrderingKey, RequestId, TraceContext};
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::Outbox;
use crate::error::DatabaseError;
use crate::table::TableName;

/// Options of [`emit_with`] beside the event.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct OutboxOptions {
    request_id: Option<String>,
    key: Option<String>,
    trace: Option<TraceContext>,
}

impl OutboxOptions {
    /// Makes options that change nothing: with them [`emit_with`] is [`emit`].
    pub fn new() -> Self {
        Self::default()
    }

    /// The id to deliver the event under, instead of a random one: 1 to 256 visible ASCII
    /// characters without a dot.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// The key that orders the event in emitters with `Order::PerKey`.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The trace that the event belongs to.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }
}

/// The reason why an event was not written. The transaction is as it was, unless the database
/// refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The event's name, request id or ordering key breaks a rule.
    #[error(transparent)]
    Id(#[from] IdError),
    /// The payload is not a JSON object, or can't be encoded.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The payload is larger than the outbox's limit.
    #[error(
        "the payload has {bytes} bytes, and at most {limit} are accepted: send a reference to \
         what is large, or raise max_payload_bytes of the outbox and of the relay's runtime"
    )]
    TooLarge {
        /// The payload's size, encoded, in bytes.
        bytes: usize,
        /// The outbox's limit, in bytes.
        limit: usize,
    },
    /// There is no table of the outbox's name.
    #[error(
        "there is no outbox table {0}: install it, with Outbox::install or \
         `bugle relay install --outbox`"
    )]
    NotInstalled(TableName),
    /// The database refused; the transaction can only be rolled back.
    #[error(transparent)]
    Database(DatabaseError),
}

/// Writes an event to the outbox `bugle_outbox`, in this transaction. It is delivered once the
/// transaction has committed; rolled back, it never was. Returns the request id that it will be
/// delivered under. The payload is encoded, and all is checked, at the call.
///
/// # Errors
/// [`OutboxError`]; nothing was written then.
pub async fn emit<T: Serialize + Sync + ?Sized>(
    transaction: &mut impl OutboxTransaction,
    name: impl AsRef<str>,
    payload: &T,
) -> Result<RequestId, OutboxError> {
    Outbox::default().emit(transaction, name, payload).await
}

/// Writes an event as [`emit`] does, with a request id, an ordering key or a trace context of the
/// caller's.
///
/// # Errors
/// [`OutboxError`]; nothing was written then.
pub async fn emit_with<T: Serialize + Sync + ?Sized>(
    transaction: &mut impl OutboxTransaction,
    name: impl AsRef<str>,
    payload: &T,
    options: OutboxOptions,
) -> Result<RequestId, OutboxError> {
    Outbox::default().emit_with(transaction, name, payload, options).await
}

impl Outbox {
    /// Writes an event to this outbox, as [`emit`] does to the default one.
    ///
    /// # Errors
    /// [`OutboxError`]; nothing was written then.
    pub async fn emit<T: Serialize + Sync + ?Sized>(
        &self,
        transaction: &mut impl OutboxTransaction,
        name: impl AsRef<str>,
        payload: &T,
    ) -> Result<RequestId, OutboxError> {
        self.emit_with(transaction, name, payload, OutboxOptions::default()).await
    }

    /// Writes an event to this outbox, as [`emit_with`] does to the default one.
    ///
    /// # Errors
    /// [`OutboxError`]; nothing was written then.
    pub async fn emit_with<T: Serialize + Sync + ?Sized>(
        &self,
        transaction: &mut impl OutboxTransaction,
        name: impl AsRef<str>,
        payload: &T,
        options: OutboxOptions,
    ) -> Result<RequestId, OutboxError> {
        let name = EventName::new(name)?;
        let request_id = match options.request_id {
            Some(id) => RequestId::new(id)?,
            None => RequestId::random(),
        };
        let key = options.key.map(OrderingKey::new).transpose()?;
        let payload = payload::encode(payload)?;
        if payload.len() > self.max_payload_bytes {
            let limit = self.max_payload_bytes;
            return Err(OutboxError::TooLarge { bytes: payload.len(), limit });
        }
        let row = OutboxRow {
            id: request_id.as_str(),
            name: name.as_str(),
            // The encoder writes UTF-8, as JSON is.
            payload: &String::from_utf8_lossy(&payload),
            key: key.as_ref().map(OrderingKey::as_str),
            traceparent: options.trace.as_ref().map(|trace| trace.traceparent.as_str()),
            tracestate: options.trace.as_ref().and_then(|trace| trace.tracestate.as_deref()),
        };
        let insert = format!(
            "insert into {} (id, name, payload, key, traceparent, tracestate) \
             values ($1, $2, $3::text::json, $4, $5, $6)",
            self.table.quoted()
        );
        match transaction.insert(&insert, row).await {
            Ok(()) => Ok(request_id),
            Err(error) if error.is(&SqlState::UNDEFINED_TABLE) => {
                Err(OutboxError::NotInstalled(self.table.clone()))
            }
            Err(error) => Err(OutboxError::Database(error)),
        }
    }
}

/// A row of the outbox as it is inserted.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct OutboxRow<'a> {
    id: &'a str,
    name: &'a str,
    payload: &'a str,
    key: Option<&'a str>,
    traceparent: Option<&'a str>,
    tracestate: Option<&'a str>,
}

/// A transaction that an event can be written in: one of tokio-postgres, and with the feature
/// `sqlx` one of sqlx.
pub trait OutboxTransaction: crate::sealed::Sealed {
    /// Inserts the row.
    #[doc(hidden)]
    fn insert(
        &mut self,
        statement: &str,
        row: OutboxRow<'_>,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;
}

impl OutboxTransaction for tokio_postgres::Transaction<'_> {
    async fn insert(&mut self, statement: &str, row: OutboxRow<'_>) -> Result<(), DatabaseError> {
        let values = [
            (&row.id as _, Type::TEXT),
            (&row.name as _, Type::TEXT),
            (&row.payload as _, Type::TEXT),
            (&row.key as _, Type::TEXT),
            (&row.traceparent as _, Type::TEXT),
            (&row.tracestate as _, Type::TEXT),
        ];
        self.execute_typed(statement, &values).await?;
        Ok(())
    }
}

#[cfg(feature = "sqlx")]
impl OutboxTransaction for sqlx::Transaction<'_, sqlx::Postgres> {
    async fn insert(&mut self, statement: &str, row: OutboxRow<'_>) -> Result<(), DatabaseError> {
        // The only thing that varies in the statement is the table's name, which is quoted.
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(row.id)
            .bind(row.name)
            .bind(row.payload)
            .bind(row.key)
            .bind(row.traceparent)
            .bind(row.tracestate)
            .execute(&mut **self)
            .await?;
        Ok(())
    }
}
