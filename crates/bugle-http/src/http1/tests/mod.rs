//! Answers in bytes: a table of them, and rules that hold for any.

mod accepted;
mod oracle;
mod pieces;
mod refused;

use super::answer::{AnswerReader, End, Whole};
use super::head::HeadError;
use crate::response::Reading;

/// Captures all of a body up to 64 KiB.
pub(super) const READING: Reading = Reading { limit: 64 * 1024, capture: true };

/// Reads bytes behind which the receiver closes, in pieces that end at these places. `None` when
/// they end within a head.
pub(super) fn read(bytes: &[u8], cuts: &[usize]) -> Result<Option<Whole>, HeadError> {
    let mut reader = AnswerReader::new(READING);
    let mut from = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        let cut = cut.clamp(from, bytes.len());
        if cut > from {
            reader.take(&bytes[from..cut])?;
        }
        from = cut;
    }
    if reader.is_over() || reader.close(true)? { Ok(reader.finish()) } else { Ok(None) }
}

/// Expects that an answer is accepted: its status, headers, body and end.
#[track_caller]
pub(super) fn taken(bytes: &[u8]) -> Whole {
    match read(bytes, &[]) {
        Ok(Some(whole)) => whole,
        other => panic!("{:?}: {other:?}", bytes.escape_ascii().to_string()),
    }
}

/// The end of an answer with this head and these bytes behind it.
#[track_caller]
pub(super) fn end(head: &str, body: &str) -> (String, End) {
    let whole = taken(format!("{head}\r\n\r\n{body}").as_bytes());
    (String::from_utf8(whole.body).unwrap(), whole.end)
}
