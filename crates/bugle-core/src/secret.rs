//! Keys.

use jiff::Timestamp;

/// A key that signs requests.
#[derive(Clone)]
pub struct Secret {
    expires_at: Option<Timestamp>,
}

/// A public key.
#[derive(Clone)]
pub struct VerifyingKey {}

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct SecretError {
    /// What is expected.
    pub message: String,
}

impl Secret {
    /// Reads a key: `whsec_…`, `whsk_…`, or any other text as a plain secret.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let _ = text;
        Ok(Self { expires_at: None })
    }

    /// It signs until then.
    #[must_use]
    pub fn expires_at(mut self, instant: Timestamp) -> Self {
        self.expires_at = Some(instant);
        self
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}
