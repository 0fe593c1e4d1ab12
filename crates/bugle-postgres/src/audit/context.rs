//! Who did it, and which request: what the audit rows of a transaction say beside the change.

use std::future::Future;

use tokio_postgres::types::Type;

use crate::error::DatabaseError;

const SET: &str = "select set_config('audit.identity_id', $1, true), \
                   set_config('audit.trace_id', $2, true)";

/// A transaction that can say who it works for: one of tokio-postgres, and with the feature `sqlx`
/// one of sqlx.
pub trait ContextTransaction: crate::sealed::Sealed {
    /// Sets both for the rest of the transaction.
    #[doc(hidden)]
    fn set_audit_context(
        &mut self,
        identity_id: &str,
        trace_id: &str,
    ) -> impl Future<Output = Result<(), DatabaseError>> + Send;
}

/// Says who works in this transaction, and for which request: the audit rows that it writes from
/// now on have it as `identity_id` and `trace_id`. `None` is nobody, and no request. Other
/// languages do the same by `set local audit.identity_id = '…'`.
///
/// # Errors
/// [`DatabaseError`] when the connection or the transaction has failed.
pub async fn set_context(
    transaction: &mut impl ContextTransaction,
    identity_id: Option<&str>,
    trace_id: Option<&str>,
) -> Result<(), DatabaseError> {
    let (identity_id, trace_id) = (identity_id.unwrap_or_default(), trace_id.unwrap_or_default());
    transaction.set_audit_context(identity_id, trace_id).await
}

impl ContextTransaction for tokio_postgres::Transaction<'_> {
    async fn set_audit_context(
        &mut self,
        identity_id: &str,
        trace_id: &str,
    ) -> Result<(), DatabaseError> {
        let values = [(&identity_id as _, Type::TEXT), (&trace_id as _, Type::TEXT)];
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
    ) -> Result<(), DatabaseError> {
        sqlx::query(SET).bind(identity_id).bind(trace_id).execute(&mut **self).await?;
        Ok(())
    }
}
