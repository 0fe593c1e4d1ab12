//! The errors of texts that are no keys.

use super::form::form;

/// The reason why a text is not a key. It never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// There is no text.
    #[error("a secret is empty; `bugle keygen` makes a good one")]
    Empty,
    /// White space at an end is nearly always an accident, and would sign differently.
    #[error(
        "a secret starts or ends with white space, or with a character that can't be seen; remove \
         it, or use Secret::plain to keep it"
    )]
    WhiteSpace,
    /// There is a line break in it, or another control character.
    #[error(
        "a secret has a line break or another control character in it; give one key at a time, \
         without it, or use Secret::plain to keep it"
    )]
    Control,
    /// It stands in quotes, which would sign too.
    #[error("a secret stands in quotes; remove them, or use Secret::plain to keep them")]
    Quoted,
    /// It was meant as a key of Standard Webhooks, and is not written like one.
    #[error(
        "this is nearly a key with the prefix {prefix}: write {}, with nothing before it, or use \
         Secret::plain for a secret that only looks like one",
        form(prefix)
    )]
    Nearly {
        /// The prefix of such a key.
        prefix: &'static str,
    },
    /// A signature was given, as it stands in `webhook-signature`.
    #[error(
        "this is a signature (v1, or v1a,) and not a key; a key is written {}",
        form(super::SYMMETRIC)
    )]
    Signature,
    /// The text behind the prefix is not base64.
    #[error(
        "what follows {prefix} is not standard base64, but {found}. Such a key is {}",
        form(prefix)
    )]
    NotBase64 {
        /// The key's prefix.
        prefix: &'static str,
        /// Says what it is instead, and what to do about it.
        found: &'static str,
    },
    /// The key has a length that its kind can't have.
    #[error(
        "what follows {prefix} is the base64 of {actual} bytes, and must be of {expected}; copy \
         the whole key again, or make one with `bugle keygen`"
    )]
    Length {
        /// The key's prefix.
        prefix: &'static str,
        /// The lengths that such a key has, in words.
        expected: &'static str,
        /// The number of bytes that there are.
        actual: usize,
    },
    /// A public key was given to sign with.
    #[error("a public key (whpk_) can't sign; give the private key (whsk_) it belongs to")]
    PublicKey,
    /// A private key carries a public key that is not its own.
    #[error("the two halves of this private key (whsk_) don't belong together; make a new key")]
    Halves,
    /// The bytes are not a point on the curve, or one that fits any signature.
    #[error("this public key (whpk_) is not an ed25519 key; ask the sender for it again")]
    NotAPublicKey,
    /// The system gave no random numbers.
    #[error("the system gave no random numbers to make a key from; try again")]
    NoRandomness,
}

impl SecretError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `invalidSecret`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoRandomness => "noRandomness",
            _ => "invalidSecret",
        }
    }
}
