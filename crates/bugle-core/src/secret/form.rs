//! The kind of key that a text is. One that is nearly a key of Standard Webhooks is refused: as a
//! plain secret it would sign all the same, and no receiver could verify that.

use base64::Engine as _;
use base64::alphabet::{STANDARD as STANDARD_ALPHABET, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use super::SecretError;

/// The prefix of the base64 of a symmetric key.
pub(super) const SYMMETRIC: &str = "whsec_";
/// The prefix of the base64 of a private key.
pub(super) const PRIVATE: &str = "whsk_";
/// The prefix of the base64 of a public key.
pub(super) const PUBLIC: &str = "whpk_";

const PREFIXES: [&str; 3] = [SYMMETRIC, PRIVATE, PUBLIC];

/// The prefixes of the base64 of a signature, in `webhook-signature`.
const SIGNATURES: [&str; 2] = ["v1,", "v1a,"];

/// The shortest base64 that is a key: of 24 bytes.
const SHORTEST: usize = 32;

/// The kind of key that a text is; all but a plain one have the base64 behind the prefix.
pub(super) enum Form<'a> {
    Symmetric(&'a str),
    Private(&'a str),
    Public(&'a str),
    Plain,
}

impl<'a> Form<'a> {
    /// Tells a key by its prefix.
    pub(super) fn of(text: &'a str) -> Result<Self, SecretError> {
        if text.trim().is_empty() {
            return Err(SecretError::Empty);
        }
        if text.starts_with(is_unseen) || text.ends_with(is_unseen) {
            return Err(SecretError::WhiteSpace);
        }
        if text.contains(char::is_control) {
            return Err(SecretError::Control);
        }
        if is_quoted(text) {
            return Err(SecretError::Quoted);
        }
        if let Some(encoded) = text.strip_prefix(SYMMETRIC) {
            return Ok(Self::Symmetric(encoded));
        }
        if let Some(encoded) = text.strip_prefix(PRIVATE) {
            return Ok(Self::Private(encoded));
        }
        if let Some(encoded) = text.strip_prefix(PUBLIC) {
            return Ok(Self::Public(encoded));
        }
        let lower = Zeroizing::new(text.to_ascii_lowercase());
        let nearly = |how: fn(&str, &str, &str) -> bool| {
            PREFIXES.into_iter().find(|prefix| how(text, &lower, prefix))
        };
        if let Some(prefix) = nearly(is_elsewhere).or_else(|| nearly(is_misspelt)) {
            return Err(SecretError::Nearly { prefix });
        }
        if SIGNATURES.iter().any(|scheme| lower.starts_with(scheme)) {
            return Err(SecretError::Signature);
        }
        Ok(Self::Plain)
    }
}

/// Describes in words how a key with this prefix is written.
pub(super) fn form(prefix: &str) -> &'static str {
    match prefix {
        PRIVATE => "whsk_ and then the base64 of an ed25519 private key, of 32 or 64 bytes",
        PUBLIC => "whpk_ and then the base64 of an ed25519 public key, of 32 bytes",
        _ => "whsec_ and then the base64 of 24 to 64 bytes",
    }
}

/// Decodes the bytes behind a key's prefix.
pub(super) fn decode(
    prefix: &'static str,
    encoded: &str,
) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    if let Ok(bytes) = base64(&STANDARD_ALPHABET, encoded) {
        return Ok(bytes);
    }
    let lower = Zeroizing::new(encoded.to_ascii_lowercase());
    let found = if PREFIXES.iter().any(|prefix| lower.contains(prefix)) {
        "another key: give each one by itself"
    } else if encoded.contains(char::is_whitespace) {
        "white space: remove it"
    } else if base64(&URL_SAFE, encoded).is_ok() {
        "base64 of the URL-safe alphabet: write + for - and / for _"
    } else if encoded.contains('%') {
        "something that is encoded for a URL: write + for %2B, / for %2F and = for %3D"
    } else {
        "something else: copy the whole key again"
    };
    Err(SecretError::NotBase64 { prefix, found })
}

fn base64(
    alphabet: &base64::alphabet::Alphabet,
    encoded: &str,
) -> Result<Zeroizing<Vec<u8>>, base64::DecodeError> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(alphabet, config).decode(encoded).map(Zeroizing::new)
}

/// True for white space, and for characters that nobody sees at the end of a text that was copied:
/// a byte order mark, or a space of no width.
fn is_unseen(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

fn is_quoted(text: &str) -> bool {
    let pairs = [('"', '"'), ('\'', '\''), ('`', '`'), ('\u{201C}', '\u{201D}')];
    text.chars().count() > 1
        && pairs.iter().any(|&(first, last)| text.starts_with(first) && text.ends_with(last))
}

/// True when a key's prefix stands further behind, in capitals, with another separator, or without
/// one before a text that can be a key.
fn is_elsewhere(text: &str, lower: &str, prefix: &str) -> bool {
    let name = prefix.trim_end_matches('_');
    let is_word = |character: char| character.is_alphanumeric();
    let mut places = lower.match_indices(name).map(|(at, _)| (&lower[..at], &text[at..]));
    lower.contains(prefix)
        || places.any(|(before, key)| {
            let rest = &key[name.len()..];
            !before.ends_with(is_word) && (!rest.starts_with(is_word) || is_base64(rest))
        })
}

/// True when one letter of a key's prefix is wrong, before a text that can be a key.
fn is_misspelt(text: &str, lower: &str, prefix: &str) -> bool {
    let Some(at) = lower.find(['_', '-', ':']) else { return false };
    is_one_off(&lower[..at], prefix.trim_end_matches('_')) && is_base64(&text[at + 1..])
}

/// True when a text could be the bytes of a key.
fn is_base64(text: &str) -> bool {
    text.len() >= SHORTEST
        && (base64(&STANDARD_ALPHABET, text).is_ok() || base64(&URL_SAFE, text).is_ok())
}

/// True when one letter more, less or other, or two in the wrong order, makes one word the other.
fn is_one_off(word: &str, other: &str) -> bool {
    let (word, other) = (word.as_bytes(), other.as_bytes());
    let same = word.iter().zip(other).take_while(|(one, other)| one == other).count();
    let (word, other) = (&word[same..], &other[same..]);
    match (word, other) {
        ([_, rest @ ..], [_, others @ ..]) if rest == others => true,
        ([_, rest @ ..], others) | (others, [_, rest @ ..]) if rest == others => true,
        ([one, two, rest @ ..], [first, second, others @ ..]) => {
            (one, two) == (second, first) && rest == others
        }
        _ => false,
    }
}
