//! Seals the traits of transactions.

/// Keeps other crates from implementing a transaction trait of this one.
pub trait Sealed {}

impl Sealed for tokio_postgres::Transaction<'_> {}

#[cfg(feature = "sqlx")]
impl Sealed for sqlx::Transaction<'_, sqlx::Postgres> {}
