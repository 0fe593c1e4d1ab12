//! Which transactions there are.

/// Only what is here can be a transaction to this crate.
pub trait Sealed {}

impl Sealed for tokio_postgres::Transaction<'_> {}

#[cfg(feature = "sqlx")]
impl Sealed for sqlx::Transaction<'_, sqlx::Postgres> {}
