//! Verification of signatures, for receivers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signature;
use jiff::Timestamp;
use subtle::ConstantTimeEq as _;

use crate::secret::VerifyingPart;
use crate::signature::{PUBLIC, SignedContent, push_plain, push_symmetric};
use crate::{Secret, VerifyingKey};

/// The time that a timestamp may be off, either way: 5 minutes, as Standard Webhooks has it.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

/// The most signatures of one header that are looked at, so that a header full of them costs no
/// more.
const MOST_SIGNATURES: usize = 16;

/// Verifies the requests that one sender makes.
///
/// It holds the sender's keys, and checks each scheme that it has a key for and the request has a
/// signature of. All of these must fit, and there must be at least one. A sender that signs with
/// Standard Webhooks keys is best verified with these alone: a plain signature says nothing about
/// when a request was made, so one that was recorded can be sent again.
///
/// ```
/// use std::collections::HashMap;
/// use bugle_core::{Secret, SignatureHeaders, Verifier};
/// use jiff::Timestamp;
///
/// let (private, public) = Secret::generate_signing_key()?;
/// let (now, body) = (Timestamp::from_second(1_614_265_330)?, br#"{"id":1}"#);
/// let signed = SignatureHeaders::sign(&[private], "msg-1", now, body);
///
/// let verifier = Verifier::new([public]);
/// let headers = HashMap::from([
///     ("webhook-id", "msg-1".to_owned()),
///     ("webhook-timestamp", "1614265330".to_owned()),
///     ("webhook-signature", signed.standard.unwrap_or_default()),
/// ]);
/// verifier.verify(|name| headers.get(name).map(String::as_str), body, now)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: Vec<VerifyingKey>,
    tolerance: Duration,
    plain_header: String,
}

/// The reason why a request can't be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A header is missing.
    #[error("the header {name} is missing; is the sender set up to sign?")]
    MissingHeader {
        /// The header's name, in lower case.
        name: String,
    },
    /// `webhook-id` is empty or has a full stop in it, which would make it unclear what was signed.
    #[error("webhook-id is empty or has a full stop in it; refuse the request")]
    BadId,
    /// `webhook-timestamp` is not a number of unix seconds.
    #[error("webhook-timestamp is not a number of seconds since 1970; refuse the request")]
    BadTimestamp,
    /// The request was made too long ago.
    #[error(
        "the request was made {seconds} s ago, which is too old; it may be a replay, or the \
         receiver's clock is fast"
    )]
    TooOld {
        /// The age of the request, in seconds.
        seconds: u64,
    },
    /// The request's timestamp lies in the future.
    #[error(
        "the request is dated {seconds} s in the future; the sender's clock is fast, or the \
         receiver's is slow"
    )]
    TooNew {
        /// The seconds by which the timestamp is ahead.
        seconds: u64,
    },
    /// No signature fits any of the keys.
    #[error(
        "no signature fits; compare the secret with the sender's, and verify the body's bytes as \
         they were received"
    )]
    Mismatch,
    /// There is no key to verify with.
    #[error("there is no key to verify with; give the verifier the sender's")]
    NoKey,
}

impl VerifyError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `signatureMismatch`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::MissingHeader { .. } => "missingHeader",
            Self::BadId => "invalidId",
            Self::BadTimestamp => "invalidTimestamp",
            Self::TooOld { .. } => "tooOld",
            Self::TooNew { .. } => "tooNew",
            Self::Mismatch => "signatureMismatch",
            Self::NoKey => "noKey",
        }
    }
}

impl Verifier {
    /// Makes a verifier with these keys, any of which will do.
    pub fn new(keys: impl IntoIterator<Item = VerifyingKey>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            tolerance: DEFAULT_TOLERANCE,
            plain_header: plain_header("Webhooks"),
        }
    }

    /// Sets the time that a timestamp may be off, either way. Default [`DEFAULT_TOLERANCE`].
    #[must_use]
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets the middle of the name of the header `X-…-Signature`, as the sender has it. Default
    /// `Webhooks`.
    #[must_use]
    pub fn header_identifier(mut self, identifier: &str) -> Self {
        self.plain_header = plain_header(identifier);
        self
    }

    /// Verifies one request, received at `now`. `header` looks a header up by its name in lower
    /// case; `body` is the body as it was received, before it is parsed.
    ///
    /// # Errors
    /// [`VerifyError`] says why the request can't be trusted.
    pub fn verify<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h str>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), VerifyError> {
        if self.keys.is_empty() {
            return Err(VerifyError::NoKey);
        }
        let has_plain_key = self.keys.iter().any(is_plain);
        let has_standard_key = self.keys.iter().any(|key| !is_plain(key));
        let plain = header(&self.plain_header).filter(|_| has_plain_key);
        let standard = header("webhook-signature").filter(|_| has_standard_key);
        if plain.is_none() && standard.is_none() {
            let name = if has_standard_key { "webhook-signature" } else { &self.plain_header };
            return Err(missing(name));
        }
        if let Some(signatures) = standard {
            let named = |name| header(name).ok_or_else(|| missing(name));
            let (id, timestamp) = (named("webhook-id")?, named("webhook-timestamp")?);
            let tolerance = self.tolerance;
            verify_standard(&self.keys, id, timestamp, signatures, body, now, tolerance)?;
        }
        plain.map_or(Ok(()), |signatures| verify_plain_with(&self.keys, body, signatures))
    }
}

/// Verifies `X-…-Signature`, the plain signature of a body. One of several signatures will do.
///
/// # Errors
/// [`VerifyError::Mismatch`].
pub fn verify_plain(secret: &str, body: &[u8], header: &str) -> Result<(), VerifyError> {
    let key = Secret::plain(secret).map_err(|_| VerifyError::NoKey)?;
    verify_plain_with(&[key.verifying_key()], body, header)
}

/// Verifies a Standard Webhooks request, received at `now`, from its headers `webhook-id`,
/// `webhook-timestamp` and `webhook-signature`. Any of the keys, and one of several signatures,
/// will do; plain keys are passed over. The first 16 signatures are looked at.
///
/// # Errors
/// [`VerifyError`] says why the request can't be trusted.
pub fn verify_standard(
    keys: &[VerifyingKey],
    id: &str,
    timestamp: &str,
    signature: &str,
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), VerifyError> {
    if id.is_empty() || id.contains('.') {
        return Err(VerifyError::BadId);
    }
    check_time(timestamp, now, tolerance)?;
    let content = SignedContent { id, timestamp: timestamp.as_bytes(), body };
    let fits = |key: &VerifyingKey| match key.part() {
        VerifyingPart::Plain(_) => false,
        VerifyingPart::Symmetric(mac) => {
            let mut expected = String::new();
            push_symmetric(&mut expected, mac, &content);
            has_signature(signature, &expected)
        }
        VerifyingPart::Public(key) => {
            let content = content.to_bytes();
            signatures(signature)
                .filter_map(|signature| STANDARD.decode(signature.strip_prefix(PUBLIC)?).ok())
                .filter_map(|bytes| Signature::from_slice(&bytes).ok())
                .any(|signature| key.verify_strict(&content, &signature).is_ok())
        }
    };
    if keys.iter().any(fits) { Ok(()) } else { Err(VerifyError::Mismatch) }
}

fn verify_plain_with(keys: &[VerifyingKey], body: &[u8], header: &str) -> Result<(), VerifyError> {
    let fits = |key: &VerifyingKey| {
        let VerifyingPart::Plain(mac) = key.part() else { return false };
        let mut expected = String::new();
        push_plain(&mut expected, mac, body);
        has_signature(header, &expected)
    };
    if keys.iter().any(fits) { Ok(()) } else { Err(VerifyError::Mismatch) }
}

fn is_plain(key: &VerifyingKey) -> bool {
    matches!(key.part(), VerifyingPart::Plain(_))
}

fn check_time(timestamp: &str, now: Timestamp, tolerance: Duration) -> Result<(), VerifyError> {
    // `parse` alone would take a sign, and so two texts for one number.
    if !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VerifyError::BadTimestamp);
    }
    let seconds: i64 = timestamp.parse().map_err(|_| VerifyError::BadTimestamp)?;
    let now = now.as_second();
    let off = now.abs_diff(seconds);
    match off <= tolerance.as_secs() {
        true => Ok(()),
        false if seconds < now => Err(VerifyError::TooOld { seconds: off }),
        false => Err(VerifyError::TooNew { seconds: off }),
    }
}

fn signatures(header: &str) -> impl Iterator<Item = &str> {
    header.split_ascii_whitespace().take(MOST_SIGNATURES)
}

/// Compares in a time that doesn't tell how much of a signature was right.
fn has_signature(header: &str, expected: &str) -> bool {
    signatures(header).any(|signature| signature.as_bytes().ct_eq(expected.as_bytes()).into())
}

fn plain_header(identifier: &str) -> String {
    format!("x-{identifier}-signature").to_ascii_lowercase()
}

fn missing(name: &str) -> VerifyError {
    VerifyError::MissingHeader { name: name.to_owned() }
}
