//! The errors of a relay.

use tokio_postgres::error::SqlState;

use crate::error::DatabaseError;
use crate::table::TableName;

/// The reason why a relay can't work now. It tries again by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The table that it follows is not there.
    #[error(
        "there is no table {0}: install it, with the library's install or `bugle relay install`, \
         or check its name and schema"
    )]
    NotInstalled(TableName),
    /// The table that it follows lacks a column: it is not one of Bugle's or Keel's.
    #[error(
        "table {table} has no column {column:?}: it is neither made by Bugle \
         nor like one of its tables"
    )]
    NoColumn {
        /// The table.
        table: TableName,
        /// The column that it lacks.
        column: String,
    },
    /// The role of the connection has too few rights.
    #[error(
        "the role of this connection has too few rights: {0}; \
         a relay needs SELECT and UPDATE on its table, and DELETE on an outbox"
    )]
    NotPermitted(DatabaseError),
    /// More rows can't be events than a relay keeps in mind.
    #[error(
        "{0} rows can't be made into events, the last because {1}: \
         put them right, or mark them as processed"
    )]
    TooManySetAside(usize, String),
    /// The journal takes no events now.
    #[error("the journal takes no events: {0}")]
    Journal(String),
    /// The database refused, or the connection failed.
    #[error(transparent)]
    Database(DatabaseError),
}

impl From<DatabaseError> for RelayError {
    fn from(error: DatabaseError) -> Self {
        match error.is(&SqlState::INSUFFICIENT_PRIVILEGE) {
            true => Self::NotPermitted(error),
            false => Self::Database(error),
        }
    }
}

impl From<tokio_postgres::Error> for RelayError {
    fn from(error: tokio_postgres::Error) -> Self {
        DatabaseError::from(error).into()
    }
}
