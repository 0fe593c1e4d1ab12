//! The payload: a JSON object of a given size that says when it was sent.

use serde::Serialize;

use crate::stats::wall_clock_ns;

/// The bytes of a payload, where its size is not what is measured.
pub(crate) const BYTES: usize = 1024;

/// The JSON's first bytes, which the receiver looks for.
pub(crate) const SENT_NS: &[u8] = br#"{"sent_ns":"#;

/// A payload that is encoded as it is sent.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Payload<'a> {
    sent_ns: u64,
    text: &'a str,
}

/// The text that fills the payload, made once.
#[derive(Debug, Clone)]
pub(crate) struct Filler(String);

impl Filler {
    /// Makes text for payloads that are so many bytes long when encoded.
    pub(crate) fn new(bytes: usize) -> Self {
        // 19 digits, until the year 2286.
        let around = SENT_NS.len() + 19 + r#","text":""}"#.len();
        let words = "The quick brown fox jumps over the lazy dog. ";
        Self(words.chars().cycle().take(bytes.saturating_sub(around)).collect())
    }

    /// Makes a payload that is sent now.
    pub(crate) fn payload(&self) -> Payload<'_> {
        Payload { sent_ns: wall_clock_ns(), text: &self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_as_long_as_asked_for() {
        for bytes in [100, BYTES, 1 << 20] {
            let json = serde_json::to_vec(&Filler::new(bytes).payload()).unwrap();
            assert_eq!(json.len(), bytes);
            assert!(json.starts_with(SENT_NS));
        }
    }
}
