//! Strings and bytes as JSON text.

use std::fmt;

/// Bytes looked at in one step when searching for what needs escaping; as wide as the compiler
/// turns into a few vector instructions.
const BLOCK: usize = 32;

/// Appends a JSON string, with its quotes.
pub(super) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    push_escaped(out, text);
    out.push(b'"');
}

/// Appends bytes as a JSON string: the text they are, or else a list of their values.
pub(super) fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => push_string(out, text),
        Err(_) => {
            out.extend_from_slice(b"\"<<");
            for (index, byte) in bytes.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                push_byte(out, *byte);
            }
            out.extend_from_slice(b">>\"");
        }
    }
}

fn push_byte(out: &mut Vec<u8>, byte: u8) {
    for (unit, digit) in [(100, byte / 100), (10, byte / 10 % 10), (1, byte % 10)] {
        if byte >= unit || unit == 1 {
            out.push(b'0' + digit);
        }
    }
}

/// Appends the inside of a JSON string.
fn push_escaped(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut written = 0;
    let mut start = 0;
    for block in bytes.chunks(BLOCK) {
        // No early exit: that is what lets the whole block be tested at once.
        if block.iter().fold(false, |found, byte| found | needs_escape(*byte)) {
            for (at, byte) in (start..).zip(block) {
                if needs_escape(*byte) {
                    out.extend_from_slice(&bytes[written..at]);
                    push_escape(out, *byte);
                    written = at + 1;
                }
            }
        }
        start += block.len();
    }
    out.extend_from_slice(&bytes[written..]);
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        _ => {
            let [high, low] = [byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Takes formatted text into the inside of a JSON string, without a `String` between.
pub(super) struct Escaped<'a>(pub(super) &'a mut Vec<u8>);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_or_their_values() {
        for (bytes, expected) in [
            (b"".as_slice(), r#""""#),
            (b"caf\xc3\xa9\n", r#""café\n""#),
            (&[255, 0], r#""<<255, 0>>""#),
            (&[0xc3], r#""<<195>>""#),
            (&[7, 10, 99, 100, 101, 200, 255], r#""<<7, 10, 99, 100, 101, 200, 255>>""#),
        ] {
            let mut out = Vec::new();
            push_bytes(&mut out, bytes);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn every_character_is_escaped_as_serde_json_does_wherever_it_stands() {
        for special in (0..=0xff).map(char::from).chain(['\u{2028}', '\u{10ffff}']) {
            for before in [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK - 1] {
                let text = format!("{}{special}{special}{}", "a".repeat(before), "é".repeat(40));
                let mut out = Vec::new();
                push_string(&mut out, &text);
                assert_eq!(out, serde_json::to_vec(&text).unwrap(), "{text:?}");
            }
        }
    }
}
