//! The context of a change: the identity and the request that the audit rows of a transaction name
//! beside it.

use std::future::Future;

use tokio_postgres::types::Type;

use super::trace::{Trace, TraceError};
use crate::error::DatabaseError;

const SET: &str = "select set_config('audit.identity_id', $1, true), \
                   set_config('audit.trace_id', $2, true), \
                   set_config('audit.traceparent', $3, true)";

/// The reason why the context of a transaction was not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContextError {
    /// The trace is neither a trace id nor a traceparent.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The connection or the transaction has failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// A transaction whose context can be set: one of tokio-postgres, and with the feature `sqlx` one
/// of sqlx.
pub trait ContextTransaction: crate::sealed::Sealed {
    /// Sets identity, trace id and traceparent for the rest of the transaction.
    #[doc(hidden)]
    fn set_audit_context(
        &mut self,
        identity_id: &str,
        trace_id: &str,
        traceparent: &str,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;
}

/// Names the identity that works in this transaction, and the trace of its request: the audit rows
/// that it writes from now on have them as `identity_id` and `trace_id`. `None` is nobody, and no
/// request.
///
/// The trace is a W3C trace id, or a whole traceparent, which the events then keep as it is, its
/// sampled flag too. Other languages do the same by `set local audit.identity_id = '…'`, and
/// `audit.trace_id` or `audit.traceparent`.
///
/// # Errors
/// [`ContextError`]: the trace is empty or malformed, or the connection or the transaction has
/// failed.
pub async fn set_context(
    transaction: &mut impl ContextTransaction,
    identity_id: Option<&str>,
    trace: Option<&str>,
) -> Result<(), ContextError> {
    let trace: Option<Trace> = trace.map(str::parse).transpose()?;
    let (trace_id, parent) = trace.map(|trace| (trace.id, trace.parent)).unwrap_or_default();
    let traceparent = parent.map(|context| context.traceparent).unwrap_or_default();
    let identity_id = identity_id.unwrap_or_default();
    transaction.set_audit_context(identity_id, &trace_id, &traceparent).await?;
    Ok(())
}

impl ContextTransaction for tokio_postgres::Transaction<'_> {
    async fn set_audit_context(
        &mut self,
        identity_id: &str,
        trace_id: &str,
        traceparent: &str,
    ) -> Result<(), DatabaseError> {
        let values = [
            (&identity_id as _, Type::TEXT),
            (&trace_id as _, Type::TEXT),
            (&traceparent as _, Type::TEXT),
        ];
        self.query_typed(SET, &values).await?;
        Ok(())
    }
}

#[cfg(feature = "sqlx")]
impl ContextTransaction for sqlx::Transaction<'_, sqlx::Postgres> {
    async fn set_audit_context(
        &mut self,
        identity_id: &str,
        trace_id: &str,
        traceparent: &str,
    ) -> Result<(), DatabaseError> {
        let set = sqlx::query(SET).bind(identity_id).bind(trace_id).bind(traceparent);
        set.execute(&mut **self).await?;
        Ok(())
    }
}
