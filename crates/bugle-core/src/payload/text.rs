//! Strings and bytes as JSON text.

use std::fmt;

/// The bytes that are looked at in one step when searching for one that needs escaping; as wide as
/// the compiler turns into a few vector instructions.
const BLOCK: usize = 32;

/// The bytes that are looked at in one step where a block is too wide, or has something in it.
const WORD: usize = 8;

/// The bytes that are looked at word by word first: one that needs escaping is often near to
/// another.
const NEAR: usize = 2 * WORD;

/// Flipping this bit makes the quote 0x20, and leaves the control characters below that: one
/// comparison then finds them all.
const CONTROL_AND_QUOTE: u8 = 0x02;

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
    let mut rest = text.as_bytes();
    while let Some(at) = find_escape(rest) {
        out.extend_from_slice(&rest[..at]);
        push_escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Finds the first byte that needs escaping.
fn find_escape(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk() {
        let marks = mark_escapes(u64::from_le_bytes(*word));
        if marks != 0 {
            return Some(at + marks.trailing_zeros() as usize / WORD);
        }
        at += WORD;
        if at == NEAR {
            let (blocks, _) = bytes[at..].as_chunks::<BLOCK>();
            at += blocks.iter().take_while(|block| !needs_escapes(block)).count() * BLOCK;
        }
    }
    bytes[at..].iter().position(|byte| needs_escape(*byte)).map(|in_tail| at + in_tail)
}

/// True when any byte of a block needs escaping. Without an early exit, and in numbers: that lets
/// the compiler test many bytes at once.
fn needs_escapes(block: &[u8; BLOCK]) -> bool {
    let found = block.iter().fold(0, |found, byte| {
        found | u8::from(byte ^ CONTROL_AND_QUOTE < 0x21) | u8::from(*byte == b'\\')
    });
    found != 0
}

/// Sets the highest bit of the first byte that needs escaping, counted from the lowest; of a later
/// byte it may be set without need, because a byte that is found borrows from the next.
const fn mark_escapes(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let low = (word ^ (EACH * CONTROL_AND_QUOTE as u64)).wrapping_sub(EACH * 0x21);
    let backslash = (word ^ (EACH * b'\\' as u64)).wrapping_sub(EACH);
    (low | backslash) & !word & (EACH * 0x80)
}

/// True for a byte that needs escaping: a control character, a quote or a backslash.
const fn needs_escape(byte: u8) -> bool {
    byte ^ CONTROL_AND_QUOTE < 0x21 || byte == b'\\'
}

fn push_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let escape = match byte {
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        0..0x20 => {
            let [high, low] = [byte >> 4, byte & 0xf].map(|digit| HEX[usize::from(digit)]);
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
        itself => itself,
    };
    out.extend_from_slice(&[b'\\', escape]);
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
            for before in (0..=2 * BLOCK + NEAR).chain([100, 1000]) {
                let text = format!("{}{special}{special}{}", "a".repeat(before), "é".repeat(40));
                let mut out = Vec::new();
                push_string(&mut out, &text);
                assert_eq!(out, serde_json::to_vec(&text).unwrap(), "{text:?}");
            }
        }
    }
}
