//! Errors that name the failing fields of an event, in words.

use std::fmt;

/// One failing field of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The path of the field: `msg.urn`, `urns[0]`. Empty for the event as a whole.
    pub field: String,
    /// The rule that it breaks: `is required`.
    pub words: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, words } = self;
        if field.is_empty() { f.write_str(words) } else { write!(f, "field '{field}' {words}") }
    }
}

/// All failing fields of one event, in the order of its type:
/// `field 'addresses' is required, field 'urns[0]' failed tag 'urn'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    problems: Vec<Problem>,
}

impl Invalid {
    /// The failing fields.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(crate) fn one(field: &str, words: impl Into<String>) -> Self {
        Self { problems: vec![Problem { field: field.to_owned(), words: words.into() }] }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

impl From<garde::Report> for Invalid {
    fn from(report: garde::Report) -> Self {
        let problems = report.into_inner().into_iter().map(|(path, error)| Problem {
            field: path.to_string(),
            words: error.message().to_owned(),
        });
        Self { problems: problems.collect() }
    }
}

/// A JSON text was not read as an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No type of this name is registered.
    #[error("unknown type: '{name}'")]
    UnknownType {
        /// The event's `type`.
        name: String,
    },
    /// Fields break the rules of the event's type.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The text is not JSON, or a field's value is of another kind than its type.
    #[error("{}{error}", Located(.field))]
    Json {
        /// The path of the field; empty when the text is not JSON at all.
        field: String,
        /// The error of the JSON reader, which says what it expected.
        #[source]
        error: serde_json::Error,
    },
}

struct Located<'a>(&'a str);

impl fmt::Display for Located<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "field '{}' can't be read: ", self.0) }
    }
}

/// An event type was not registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another event type has this name already.
    #[error("an event type '{name}' is registered already: give yours another name")]
    Duplicate {
        /// The name.
        name: &'static str,
    },
    /// No event can be emitted under this name.
    #[error(transparent)]
    Name(#[from] bugle_core::IdError),
}
