//! An answer of HTTP/1.1, its head and its body, in any pieces.
//!
//! The reader is no part of any public API, so that its source is part of this program.
#![no_main]
#![allow(dead_code)]

use arbitrary::Arbitrary;
use http1::answer::{AnswerReader, Whole};
use http1::head::HeadError;
use libfuzzer_sys::fuzz_target;
use response::Reading;

#[path = "../../crates/bugle-http/src/http1/mod.rs"]
mod http1;
#[path = "../../crates/bugle-http/src/response.rs"]
mod response;

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    /// How much of the body is read, and whether it is kept.
    limit: u16,
    capture: bool,
    /// Whether the connection ends in order behind the bytes.
    in_order: bool,
    /// How long the pieces are, by turns.
    pieces: Vec<u8>,
    bytes: &'a [u8],
}

impl Input<'_> {
    /// What the bytes are, in pieces of these lengths; in one where there are none.
    fn read(&self, pieces: &[u8]) -> Result<Option<Whole>, HeadError> {
        let reading = Reading { limit: usize::from(self.limit), capture: self.capture };
        let mut reader = AnswerReader::new(reading);
        let mut rest = self.bytes;
        let mut lengths = pieces.iter().cycle();
        while !rest.is_empty() {
            let length = lengths.next().map_or(rest.len(), |length| usize::from(*length).max(1));
            let (piece, after) = rest.split_at(length.min(rest.len()));
            reader.take(piece)?;
            rest = after;
        }
        let has_head = reader.is_over() || reader.close(self.in_order)?;
        Ok(reader.finish().filter(|_| has_head))
    }
}

fuzz_target!(|input: Input<'_>| {
    let whole = input.read(&[]);
    assert_eq!(input.read(&input.pieces), whole, "pieces mean what the whole does");
    if let Ok(Some(whole)) = whole {
        assert!(whole.body.len() <= usize::from(input.limit), "a body has a bound");
        assert!(whole.head.headers.len() <= input.bytes.len(), "headers come from the bytes");
    }
});
