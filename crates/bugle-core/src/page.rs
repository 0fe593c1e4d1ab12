//! Pages of a log, newest first.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::{ErrorKind, JournalError};

/// One page, and the cursor of the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Page<T> {
    /// The rows, newest first.
    pub items: Vec<T>,
    /// The start of the next page; `None` at the end.
    pub cursor: Option<PageCursor>,
}

impl<T> Page<T> {
    /// Makes a page of these rows.
    pub fn new(items: Vec<T>, cursor: Option<PageCursor>) -> Self {
        Self { items, cursor }
    }
}

/// The start of a page: an opaque text, stable while rows are being written. The next page has the
/// rows below it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PageCursor {
    before: u64,
}

/// A text that is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a page's cursor: pass on what the page before gave, or none to start")]
#[non_exhaustive]
pub struct PageError {
    /// The text, cut to its first 64 characters.
    pub text: String,
}

impl PageError {
    /// A name for the kind of error that stays the same from version to version: `invalidCursor`.
    pub fn code(&self) -> &'static str {
        "invalidCursor"
    }
}

const VERSION: u8 = 1;

impl PageCursor {
    /// Makes the cursor of the page with the rows whose number is below this, for the store that
    /// numbers them.
    pub fn before(number: u64) -> Self {
        Self { before: number }
    }

    /// The number that the page's rows are below, for the store that numbers them.
    pub fn number(&self) -> u64 {
        self.before
    }

    /// Reads a cursor's text.
    ///
    /// # Errors
    /// [`PageError`] when it is not one.
    pub fn parse(text: &str) -> Result<Self, PageError> {
        let wrong = || PageError { text: text.chars().take(64).collect() };
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        match bytes.as_slice() {
            [VERSION, number @ ..] => {
                let number = <[u8; 8]>::try_from(number).map_err(|_| wrong())?;
                Ok(Self { before: u64::from_be_bytes(number) })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [VERSION; 9];
        bytes[1..].copy_from_slice(&self.before.to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl fmt::Debug for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PageCursor({self})")
    }
}

impl TryFrom<String> for PageCursor {
    type Error = PageError;
    fn try_from(text: String) -> Result<Self, PageError> {
        Self::parse(&text)
    }
}

impl From<PageCursor> for String {
    fn from(cursor: PageCursor) -> Self {
        cursor.to_string()
    }
}

/// The reason why a log could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// A page has 1 to 100 rows.
    #[error("a page has 1 to 100 rows, not {limit}: use query() to read them all")]
    Limit {
        /// The limit that was asked for.
        limit: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] JournalError),
}

impl LogError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `invalidLimit`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "invalidLimit",
            Self::Store(error) => error.code(),
        }
    }

    /// The kind of the error: what follows from it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Limit { .. } => ErrorKind::Refused,
            Self::Store(error) => error.kind,
        }
    }
}

/// The number of rows of a page: the limit that was asked for, or 100.
pub(crate) fn check_limit(limit: Option<usize>) -> Result<usize, LogError> {
    match limit {
        None => Ok(100),
        Some(limit @ 1..=100) => Ok(limit),
        Some(limit) => Err(LogError::Limit { limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_anything_else_refused() {
        for number in [0, 1, u64::MAX] {
            let cursor = PageCursor::before(number);
            assert_eq!(PageCursor::parse(&cursor.to_string()), Ok(cursor));
        }
        for bad in ["", "x", "AQ", "AgAAAAAAAAAA", "AQAAAAAAAAAAAA", "ü"] {
            assert!(PageCursor::parse(bad).is_err(), "{bad}");
        }
    }
}
