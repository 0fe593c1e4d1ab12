//! Keys: the secrets that sign requests, and the keys that receivers verify them with.
//!
//! The text forms of Standard Webhooks are used where there is one
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use hmac::{Hmac, KeyInit as _};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

mod error;
mod form;

pub use error::SecretError;
use form::{Form, PRIVATE, PUBLIC, SYMMETRIC, decode};

/// A key that signs requests, and the time until which it does.
///
/// There are three kinds: a *plain* secret, any text, signs as the original WebhooksEmitter does; a
/// *symmetric* key (`whsec_…`) and a *private* ed25519 key (`whsk_…`) sign as Standard Webhooks has
/// it. [`crate::SignatureHeaders`] tells what each kind signs.
///
/// It is never shown: `Debug`, `Display` and `Serialize` tell the kind alone, and memory that held
/// it is wiped. Only [`Secret::reveal`] answers its text. Clones share one prepared key.
///
/// ```
/// use bugle_core::Secret;
///
/// let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
/// assert_eq!(secret.to_string(), "whsec_[redacted]");
/// # Ok::<(), bugle_core::SecretError>(())
/// ```
#[derive(Clone)]
pub struct Secret {
    shared: Arc<Shared>,
    /// The time at which it stops to sign, if ever.
    pub expires_at: Option<Timestamp>,
}

/// A key that verifies signatures: the same text as the [`Secret`] that made them if that is plain
/// or symmetric, or the public key (`whpk_…`) of a private one.
///
/// `Debug` and `Display` show a public key and redact the others.
#[derive(Clone)]
pub struct VerifyingKey(Verifying);

#[derive(Clone)]
enum Verifying {
    /// The text of a plain or symmetric key.
    Shared(Arc<Shared>),
    Public(ed25519_dalek::VerifyingKey),
}

struct Shared {
    text: Zeroizing<String>,
    key: Key,
}

/// A key in the form that signs soonest. An HMAC has taken in its key already; a clone of it goes
/// on from there.
pub(crate) enum Key {
    Plain(Hmac<Sha256>),
    Symmetric(Hmac<Sha256>),
    Private(SigningKey),
}

/// The part of a key that verifies.
pub(crate) enum VerifyingPart<'a> {
    Plain(&'a Hmac<Sha256>),
    Symmetric(&'a Hmac<Sha256>),
    Public(&'a ed25519_dalek::VerifyingKey),
}

impl Secret {
    /// Reads a key: `whsec_` and the base64 of 24 to 64 bytes, `whsk_` and the base64 of an ed25519
    /// private key (its seed of 32 bytes, or 64 bytes with the public key behind it), or any other
    /// text as a plain secret.
    ///
    /// A text that is nearly a key is none, and no plain secret either: `v1,whsec_…`, `WHSEC_…`,
    /// `whsec-…`, base64 of another alphabet, quotes around it, white space at an end. A plain
    /// secret that looks so is made by [`Secret::plain`].
    ///
    /// # Errors
    /// [`SecretError`] says what is wrong with it, and how it is written, without repeating it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let key = match Form::of(text)? {
            Form::Symmetric(encoded) => symmetric(&decode(SYMMETRIC, encoded)?)?,
            Form::Private(encoded) => private(&decode(PRIVATE, encoded)?)?,
            Form::Public(_) => return Err(SecretError::PublicKey),
            Form::Plain => return Self::plain(text),
        };
        Ok(Self::new(Zeroizing::new(text.to_owned()), key))
    }

    /// Makes a plain secret: this text, whatever it looks like.
    ///
    /// # Errors
    /// [`SecretError::Empty`].
    pub fn plain(text: impl Into<String>) -> Result<Self, SecretError> {
        let text = Zeroizing::new(text.into());
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        let key = Key::Plain(prepare(text.as_bytes()));
        Ok(Self::new(text, key))
    }

    /// Makes a symmetric key of Standard Webhooks (`whsec_…`) of these bytes.
    ///
    /// # Errors
    /// [`SecretError::Length`] when there are fewer than 24 or more than 64.
    pub fn symmetric(bytes: &[u8]) -> Result<Self, SecretError> {
        Ok(Self::new(encode(SYMMETRIC, bytes), symmetric(bytes)?))
    }

    /// Makes a private ed25519 key (`whsk_…`) with this seed.
    pub fn private(seed: &[u8; 32]) -> Self {
        Self::new(encode(PRIVATE, seed), Key::Private(SigningKey::from_bytes(seed)))
    }

    /// Generates a symmetric key (`whsec_…`) of 32 random bytes.
    ///
    /// # Errors
    /// [`SecretError::NoRandomness`].
    pub fn generate() -> Result<Self, SecretError> {
        Self::symmetric(&*random()?)
    }

    /// Generates a private ed25519 key (`whsk_…`), and the public key (`whpk_…`) to give to
    /// receivers.
    ///
    /// # Errors
    /// [`SecretError::NoRandomness`].
    pub fn generate_signing_key() -> Result<(Self, VerifyingKey), SecretError> {
        let secret = Self::private(&*random()?);
        let public = secret.verifying_key();
        Ok((secret, public))
    }

    fn new(text: Zeroizing<String>, key: Key) -> Self {
        Self { shared: Arc::new(Shared { text, key }), expires_at: None }
    }

    /// Sets the instant until which it signs, and not from it on. Without one, it signs for ever.
    #[must_use]
    pub fn expires_at(mut self, instant: Timestamp) -> Self {
        self.expires_at = Some(instant);
        self
    }

    /// True when it no longer signs at this instant.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|instant| instant <= now)
    }

    /// The key that a receiver verifies its signatures with: the public key of a private one; a
    /// plain or symmetric one itself.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(match &self.shared.key {
            Key::Private(key) => Verifying::Public(key.verifying_key()),
            Key::Plain(_) | Key::Symmetric(_) => Verifying::Shared(Arc::clone(&self.shared)),
        })
    }

    /// Answers its text in the clear, as [`Secret::parse`] reads it: for handing over a new key,
    /// and for keeping it where secrets are kept. Never log it.
    pub fn reveal(&self) -> &str {
        &self.shared.text
    }

    pub(crate) fn key(&self) -> &Key {
        &self.shared.key
    }
}

impl VerifyingKey {
    /// Reads a key: `whpk_` and the base64 of an ed25519 public key, or a key that
    /// [`Secret::parse`] reads. Of a private key the public part is kept.
    ///
    /// # Errors
    /// [`SecretError`] says what is wrong with it, without repeating it.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = if text.starts_with(PUBLIC) { text.trim_end() } else { text };
        let Form::Public(encoded) = Form::of(text)? else {
            return Ok(Secret::parse(text)?.verifying_key());
        };
        let bytes = decode(PUBLIC, encoded)?;
        let bytes: &[u8; 32] =
            bytes.as_slice().try_into().map_err(|_| length(PUBLIC, "32", &bytes))?;
        match ed25519_dalek::VerifyingKey::from_bytes(bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(Verifying::Public(key))),
            _ => Err(SecretError::NotAPublicKey),
        }
    }

    pub(crate) fn part(&self) -> VerifyingPart<'_> {
        match &self.0 {
            Verifying::Public(key) => VerifyingPart::Public(key),
            Verifying::Shared(shared) => match &shared.key {
                Key::Plain(mac) => VerifyingPart::Plain(mac),
                Key::Symmetric(mac) => VerifyingPart::Symmetric(mac),
                Key::Private(key) => VerifyingPart::Public(key.as_ref()),
            },
        }
    }
}

/// Makes an HMAC-SHA256 that has taken in its key: one longer than a block is hashed first (RFC
/// 2104).
pub(crate) fn prepare(key: &[u8]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    Hmac::new((&*block).into())
}

fn symmetric(bytes: &[u8]) -> Result<Key, SecretError> {
    if !(24..=64).contains(&bytes.len()) {
        return Err(length(SYMMETRIC, "24 to 64", bytes));
    }
    Ok(Key::Symmetric(prepare(bytes)))
}

fn private(bytes: &[u8]) -> Result<Key, SecretError> {
    let key = if let Ok(seed) = bytes.try_into() {
        SigningKey::from_bytes(seed)
    } else if let Ok(both) = bytes.try_into() {
        SigningKey::from_keypair_bytes(both).map_err(|_| SecretError::Halves)?
    } else {
        return Err(length(PRIVATE, "32 or 64", bytes));
    };
    Ok(Key::Private(key))
}

fn random() -> Result<Zeroizing<[u8; 32]>, SecretError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(|_| SecretError::NoRandomness)?;
    Ok(bytes)
}

fn encode(prefix: &str, bytes: &[u8]) -> Zeroizing<String> {
    // Room for all of it, as growing would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + bytes.len() * 4 / 3 + 4));
    text.push_str(prefix);
    STANDARD.encode_string(bytes, &mut text);
    text
}

fn length(prefix: &'static str, expected: &'static str, bytes: &[u8]) -> SecretError {
    SecretError::Length { prefix, expected, actual: bytes.len() }
}

impl Key {
    fn redacted(&self) -> &'static str {
        match self {
            Self::Plain(_) => "[redacted]",
            Self::Symmetric(_) => "whsec_[redacted]",
            Self::Private(_) => "whsk_[redacted]",
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shared.key.redacted())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({self}")?;
        if let Some(instant) = self.expires_at {
            write!(f, ", until {instant}")?;
        }
        f.write_str(")")
    }
}

/// Writes the text that `Display` shows. There is no `Deserialize` beside it, which would read the
/// redacted text as a secret.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.shared.key.redacted())
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Verifying::Public(key) => write!(f, "{PUBLIC}{}", STANDARD.encode(key.as_bytes())),
            Verifying::Shared(shared) => f.write_str(shared.key.redacted()),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}
