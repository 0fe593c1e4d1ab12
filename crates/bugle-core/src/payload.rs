//! The safe JSON encoder.

use bytes::Bytes;
use serde::Serialize;

/// Why a payload could not be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// It is not an object.
    #[error("a payload is a JSON object (a map or a struct), not {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
}

/// Encodes a payload.
///
/// # Errors
/// [`PayloadError`].
pub fn encode<T: Serialize + ?Sized>(payload: &T) -> Result<Bytes, PayloadError> {
    let _ = serde_json::to_vec(payload);
    Err(PayloadError::NotAnObject { found: "nothing" })
}
