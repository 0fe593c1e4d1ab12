//! Strings and bytes as JSON text.

use std::fmt;

/// Bytes looked at in one step when searching for what needs escaping; as wide as the compiler
/// turns into a few vector instructions.
const BLOCK: usize = 16;

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
    let (blocks, tail) = bytes.as_chunks::<BLOCK>();
    let mut written = 0;
    for (index, block) in blocks.iter().enumerate() {
        // No early exit: that is what lets the whole block be tested at once.
        if block.iter().fold(false, |found, byte| found | needs_escape(*byte)) {
            written = push_until(out, bytes, written, index * BLOCK, block);
        }
    }
    written = push_until(out, bytes, written, bytes.len() - tail.len(), tail);
    out.extend_from_slice(&bytes[written..]);
}

/// Appends all up to and with the last byte of a part that needs escaping, and says where that is.
#[inline]
fn push_until(
    out: &mut Vec<u8>,
    bytes: &[u8],
    mut written: usize,
    start: usize,
    part: &[u8],
) -> usize {
    for (at, byte) in (start..).zip(part) {
        let escape = ESCAPES[usize::from(*byte)];
        if escape != 0 {
            out.extend_from_slice(&bytes[written..at]);
            push_escape(out, *byte, escape);
            written = at + 1;
        }
    }
    written
}

const fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// What follows the backslash, for each byte; 0 for a byte that needs none.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        if needs_escape(byte) {
            escapes[byte as usize] = match byte {
                0x08 => b'b',
                b'\t' => b't',
                b'\n' => b'n',
                0x0c => b'f',
                b'\r' => b'r',
                0..0x20 => b'u',
                itself => itself,
            };
        }
        byte += 1;
    }
    escapes
};

fn push_escape(out: &mut Vec<u8>, byte: u8, escape: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(&[b'\\', escape]);
    if escape == b'u' {
        let [high, low] = [byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]);
        out.extend_from_slice(&[b'0', b'0', high, low]);
    }
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
