//! Words the database's answers for the person who has to act on them.

use tokio_postgres::error::SqlState;

/// The database refused, or could not be reached. The message says what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct DatabaseError {
    /// Says what went wrong, and what to do about it.
    pub message: String,
    /// PostgreSQL's own code, as `42P01`, when it was the database that refused.
    pub code: Option<String>,
}

impl DatabaseError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: None }
    }

    /// True when the database answered with this code.
    pub(crate) fn is(&self, state: &SqlState) -> bool {
        self.code.as_deref() == Some(state.code())
    }

    fn answered(code: &str, said: &str, hint: Option<&str>) -> Self {
        let advice = match code {
            "28P01" | "28000" => Some("check the user and the password in the URL"),
            "3D000" => Some("create the database, or name another one at the end of the URL"),
            "42P01" => Some("install it first, or check its name and schema"),
            "42501" => Some("grant this role the right, or connect as another one"),
            "53300" => Some("raise max_connections, or close connections that nobody needs"),
            _ => hint,
        };
        let message = match advice {
            Some(advice) => format!("the database says: {said} ({code}): {advice}"),
            None => format!("the database says: {said} ({code})"),
        };
        Self { message, code: Some(code.to_owned()) }
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(said) => Self::answered(said.code().code(), said.message(), said.hint()),
            None => Self::new(in_full(&error)),
        }
    }
}

#[cfg(feature = "sqlx")]
impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            Some(said) => {
                Self::answered(said.code().as_deref().unwrap_or("unknown"), said.message(), None)
            }
            None => Self::new(in_full(&error)),
        }
    }
}

/// Writes an error with its causes, each said once.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}
