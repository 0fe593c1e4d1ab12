//! The errors of the encoder.

use std::fmt;

/// The reason why a payload could not be encoded. Nothing was emitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// It is JSON, but not an object.
    #[error("a payload is a JSON object, not {found}: emit a map or a struct that holds it")]
    NotAnObject {
        /// The kind of JSON that it is, as `a list`.
        found: &'static str,
    },
    /// Two keys of one map encode to the same text, as `1` and `"1"` do.
    #[error("two keys of one map both encode to {key:?}: rename one, or drop it")]
    DuplicateKey {
        /// The text, cut to its first 64 characters.
        key: String,
    },
    /// A map has a key that has no text of its own.
    #[error(
        "{found} cannot be a key of a JSON object: use a string, a number, a bool, a char, a unit \
         variant, or a tuple or list of these"
    )]
    UnsupportedKey {
        /// The kind of key that it is, as ``the struct `Point` ``.
        found: String,
    },
    /// Lists and objects lie too deep in one another.
    #[error("the payload is nested deeper than {limit} levels: flatten it, or break its cycle")]
    TooDeep {
        /// The depth that is allowed.
        limit: usize,
    },
    /// A `Serialize` implementation refused its value.
    #[error("a part of the payload refused to be serialized: {message}: correct that part")]
    Encode {
        /// The refusal in its own words.
        message: String,
    },
}

impl PayloadError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `payloadNotAnObject`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAnObject { .. } => "payloadNotAnObject",
            Self::DuplicateKey { .. } => "duplicateKey",
            Self::UnsupportedKey { .. } => "unsupportedKey",
            Self::TooDeep { .. } => "payloadTooDeep",
            Self::Encode { .. } => "payloadNotEncodable",
        }
    }

    pub(super) fn duplicate_key(key: &str) -> Self {
        Self::DuplicateKey { key: key.chars().take(64).collect() }
    }
}

/// The error inside the encoder. Boxed, so that the result of each of the many small steps fits
/// into a register.
#[derive(Debug)]
pub(super) struct EncodeFailure(Box<PayloadError>);

pub(super) type Result<T> = std::result::Result<T, EncodeFailure>;

impl From<PayloadError> for EncodeFailure {
    #[cold]
    fn from(error: PayloadError) -> Self {
        Self(Box::new(error))
    }
}

impl From<EncodeFailure> for PayloadError {
    fn from(failure: EncodeFailure) -> Self {
        *failure.0
    }
}

impl fmt::Display for EncodeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for EncodeFailure {}

impl serde::ser::Error for EncodeFailure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        PayloadError::Encode { message: message.to_string() }.into()
    }
}
