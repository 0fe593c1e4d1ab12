//! A body in chunks, in one piece and byte by byte.
//!
//! The reader is no part of any public API, so that its source is part of this program.
#![no_main]
#![allow(dead_code)]

use body::{Framing, Next};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/bugle-http/src/http1/body.rs"]
mod body;

/// The data in pieces of this length, and where the body ends, if its end came. `None` when it is
/// broken.
fn read(bytes: &[u8], length: usize) -> Option<(Vec<u8>, Option<usize>)> {
    let (mut framing, mut data, mut taken) = (Framing::chunked(), Vec::new(), 0);
    for mut piece in bytes.chunks(length) {
        let whole = piece.len();
        loop {
            match framing.next(&mut piece) {
                Next::Data(some) => {
                    assert!(!some.is_empty(), "data is never none");
                    data.extend_from_slice(some);
                }
                Next::More => break,
                Next::End => return Some((data, Some(taken + whole - piece.len()))),
                Next::Broken => return None,
            }
        }
        assert!(piece.is_empty(), "all that came is taken");
        taken += whole;
    }
    Some((data, None))
}

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(read(bytes, 1), read(bytes, usize::MAX), "pieces mean what the whole does");
});
