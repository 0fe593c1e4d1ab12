//! The same bytes have the same meaning, in whatever pieces they come.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::read;

/// Parts of answers, in any order: most make a valid one or nearly.
const PARTS: [&str; 34] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 204\r\n",
    "HTTP/1.1 500 \u{e4}\r\n",
    "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
    "content-length: 5\r\n",
    "content-length : 3\n",
    "Content-Length: 6, 6\r\n",
    "transfer-encoding: chunked\r\n",
    "connection: close\r\n",
    "connection: keep-alive\r\n",
    "x: y\r\n",
    "x: y\r\n z\r\n",
    "x:\n\n",
    "no header\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    " ",
    "\t",
    "hello",
    "5\r\nhello\r\n",
    "3;x=y\r\nabc\n",
    "0\r\n\r\n",
    "0\r\n",
    "a: b\r\n\r\n",
    "ffffffffffffffff\r\n",
    ":",
    ";",
    "HTTP/1.",
    "z",
    "\r\n\r\n",
];

/// Bytes that are an answer, or nearly one.
pub(super) fn answer() -> impl Strategy<Value = Vec<u8>> {
    let start = select(vec!["HTTP/1.1 200 OK\r\n", "HTTP/1.1 500 No\n", "HTTP/1.0 200\r\n", ""]);
    (start, vec(select(PARTS.as_slice()), 0..12))
        .prop_map(|(start, parts)| [start.as_bytes(), parts.concat().as_bytes()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_pieces_mean_the_same(bytes in answer(), mut cuts in vec(0_usize..200, 0..8)) {
        cuts.sort_unstable();
        let whole = read(&bytes, &[]);
        prop_assert_eq!(&read(&bytes, &cuts), &whole);
        let each: Vec<_> = (1..bytes.len()).collect();
        prop_assert_eq!(read(&bytes, &each), whole);
    }

    #[test]
    fn no_bytes_are_too_odd(bytes in vec(any::<u8>(), 0..300), cut in 0_usize..300) {
        prop_assert_eq!(read(&bytes, &[cut]), read(&bytes, &[]));
    }
}
