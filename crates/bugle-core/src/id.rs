//! Names and identities: checked once, cheap to clone.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest id or name, in bytes.
pub(crate) const MAX_BYTES: usize = 256;

/// The longest position of a source, in bytes.
const MAX_POSITION_BYTES: usize = 1024;

/// The reason why a text is not an id or a name. The message says what is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {text:?} is not valid: {rule}")]
#[non_exhaustive]
pub struct IdError {
    /// The kind of id or name that was expected, as `emitter id`.
    pub what: &'static str,
    /// The text, cut to its first 64 characters.
    pub text: String,
    /// The rule that it breaks, as a sentence.
    pub rule: &'static str,
}

impl IdError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `invalidEventName`.
    pub fn code(&self) -> &'static str {
        match self.what {
            "emitter id" => "invalidEmitterId",
            "event name" | "event name or pattern" => "invalidEventName",
            "request id" => "invalidRequestId",
            "ordering key" => "invalidOrderingKey",
            "source id" => "invalidSourceId",
            "source position" => "invalidPosition",
            _ => "invalidId",
        }
    }

    pub(crate) fn new(what: &'static str, text: &str, rule: &'static str) -> Self {
        Self { what, text: text.chars().take(64).collect(), rule }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Checks the text and makes it an ", $what, ".")]
            ///
            /// # Errors
            /// [`IdError`] says which rule the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                match $check(text) {
                    Ok(()) => Ok(Self(Arc::from(text))),
                    Err(rule) => Err(IdError::new($what, text, rule)),
                }
            }

            /// The text, as it was checked.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;
            fn try_from(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    };
}

text_id!(
    /// The identity of an emitter, unique in its runtime: any non-empty text of at most 256 bytes
    /// without control characters.
    EmitterId, "emitter id", check_emitter_id
);
text_id!(
    /// A name that says what happened, as `invoice.paid`: 1 to 256 bytes, tokens of `[A-Za-z0-9_-]`
    /// joined by dots.
    EventName, "event name", check_event_name
);
text_id!(
    /// The identity of an event: 1 to 256 visible ASCII characters without a dot. It is the
    /// `webhook-id` of Standard Webhooks, which signs `id.timestamp.body`, hence no dot.
    RequestId, "request id", check_request_id
);
text_id!(
    /// The key of events that stay in order with one another in an emitter with `Order::PerKey`:
    /// any non-empty text of at most 256 bytes.
    OrderingKey, "ordering key", check_ordering_key
);
text_id!(
    /// The identity of a source of events, as a file or a table that is read along: any non-empty
    /// text of at most 256 bytes without control characters.
    SourceId, "source id", check_source_id
);
text_id!(
    /// The position up to which a source was read, in the source's own words: any text of at most
    /// 1,024 bytes. Nobody else looks inside it.
    Position, "source position", check_position
);

impl RequestId {
    /// Makes a new random id, a UUID v4.
    pub fn random() -> Self {
        let mut buffer = uuid::Uuid::encode_buffer();
        let text: &str = uuid::Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
        Self(Arc::from(text))
    }
}

fn check_emitter_id(text: &str) -> Result<(), &'static str> {
    check_length(text, "it is empty; name the receiver, as billing")?;
    check_controls(text)
}

fn check_length(text: &str, empty: &'static str) -> Result<(), &'static str> {
    match text.len() {
        0 => Err(empty),
        1..=MAX_BYTES => Ok(()),
        _ => Err("it is longer than 256 bytes; shorten it"),
    }
}

fn check_controls(text: &str) -> Result<(), &'static str> {
    if text.contains(char::is_control) {
        return Err("it has a line break or another control character; leave that out");
    }
    Ok(())
}

/// True for the bytes that a token of an event's name may have. A look-up is cheaper than five
/// ranges.
const IN_TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        byte += 1;
    }
    table
};

/// The rules that an event's name, or a pattern of such, can break.
const NO_NAME: &str = "it is empty; name what happened, as invoice.paid";
pub(crate) const EMPTY_TOKEN: &str =
    "a token between its dots is empty; write no two dots in a row, and none at an end";

pub(crate) fn check_event_name(text: &str) -> Result<(), &'static str> {
    check_length(text, NO_NAME)?;
    let mut token_is_empty = true;
    for byte in text.bytes() {
        if IN_TOKEN[usize::from(byte)] {
            token_is_empty = false;
            continue;
        }
        match byte {
            b'.' if !token_is_empty => token_is_empty = true,
            b'.' => return Err(EMPTY_TOKEN),
            b'*' | b'>' => {
                return Err(
                    "'*' and '>' make a pattern, which is for subscriptions; an event is emitted \
                     under its own full name",
                );
            }
            b',' | b';' | b' ' => {
                return Err(
                    "it has a comma or a space; give several names as a list, and make one name of \
                     letters, digits, '_' and '-', joined by dots",
                );
            }
            _ => {
                return Err(
                    "it has another character than letters (a to z, A to Z), digits, '_', '-' and \
                     the dots that join them; leave that out",
                );
            }
        }
    }
    if token_is_empty {
        return Err(EMPTY_TOKEN);
    }
    Ok(())
}

fn check_request_id(text: &str) -> Result<(), &'static str> {
    check_length(text, "it is empty; leave it out to have a random one")?;
    // Without an early exit, the compiler tests many bytes at once.
    if !text.bytes().fold(true, |visible, byte| visible & byte.is_ascii_graphic()) {
        return Err("it has a space or another character than visible ASCII; leave that out");
    }
    if text.contains('.') {
        return Err("it has a '.', and Standard Webhooks signs 'id.timestamp.body'; \
             write '-' or '_' instead");
    }
    Ok(())
}

fn check_ordering_key(text: &str) -> Result<(), &'static str> {
    check_length(text, "it is empty; leave it out where order does not matter")
}

fn check_source_id(text: &str) -> Result<(), &'static str> {
    check_length(text, "it is empty; name what is read, as a file or a table")?;
    check_controls(text)
}

fn check_position(text: &str) -> Result<(), &'static str> {
    if text.len() > MAX_POSITION_BYTES {
        return Err("it is longer than 1,024 bytes; keep a reference to what is longer");
    }
    Ok(())
}

/// An event's place in the journal. The first is 1; 0 stands before them all.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The place before the first event.
    pub const START: Self = Self(0);
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an emitter's life: 1 for the first, one more at each start. It travels in every
/// message about an emitter, so that a late one from an earlier life is ignored.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ids_and_request_ids_are_checked() {
        for good in ["a", "invoice.paid", "a-b_C.9.x", &"x".repeat(256)] {
            assert!(EventName::new(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a*", "é", "a/b", &"x".repeat(257)] {
            assert!(EventName::new(bad).is_err(), "{bad}");
        }
        for good in ["billing", "läuft, auch so", "a/b"] {
            assert!(EmitterId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a\nb", "\u{7f}", &"x".repeat(257)] {
            assert!(EmitterId::new(bad).is_err(), "{bad}");
        }
        for good in ["7", "msg_2b", "!~"] {
            assert!(RequestId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a b", "é", &"x".repeat(257)] {
            assert!(RequestId::new(bad).is_err(), "{bad}");
        }
        let id = RequestId::random();
        assert_eq!(uuid::Uuid::parse_str(id.as_str()).map(|id| id.get_version_num()), Ok(4));
    }

    #[test]
    fn an_error_says_what_is_expected() {
        let error = EventName::new("invoice.*").map_err(|error| error.to_string());
        assert_eq!(
            error,
            Err("event name \"invoice.*\" is not valid: '*' and '>' make a pattern, which is for \
                 subscriptions; an event is emitted under its own full name"
                .to_owned())
        );
    }
}
