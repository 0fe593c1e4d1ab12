//! Accepted answers, and their meaning.

use bugle_core::SpokenVersion;

use super::super::answer::End::{self, Clean, Cut, Last};
use super::super::head::{MAX_HEAD, MAX_INTERIM};
use super::{end, taken};

#[test]
fn status_lines() {
    for (line, status, version) in [
        ("HTTP/1.1 200 OK\r\n", 200, SpokenVersion::Http11),
        ("HTTP/1.0 200 OK\r\n", 200, SpokenVersion::Http10),
        ("HTTP/1.1 200\r\n", 200, SpokenVersion::Http11),
        ("HTTP/1.1 200 \r\n", 200, SpokenVersion::Http11),
        ("HTTP/1.1 204\n", 204, SpokenVersion::Http11),
        ("HTTP/1.1   404   Not  Found \r\n", 404, SpokenVersion::Http11),
        ("HTTP/1.1 500 Kaputt: \u{e4}\u{f6}\u{fc}\r\n", 500, SpokenVersion::Http11),
        ("HTTP/1.1 999 Whatever\r\n", 999, SpokenVersion::Http11),
        ("HTTP/1.1 101 Switching Protocols\r\n", 101, SpokenVersion::Http11),
        ("\r\n\n\r\nHTTP/1.1 200 OK\r\n", 200, SpokenVersion::Http11),
    ] {
        let whole = taken(format!("{line}content-length: 0\r\n\r\n").as_bytes());
        assert_eq!((whole.head.status.as_u16(), whole.head.version), (status, version), "{line:?}");
    }
}

#[test]
fn header_lines() {
    for (lines, expected) in [
        ("x: a\r\n", &[("x", "a")][..]),
        ("x: a\ny:b\r\n", &[("x", "a"), ("y", "b")]),
        ("X-Mixed-Case:\t a b \t\r\n", &[("x-mixed-case", "a b")]),
        ("x:\r\ny: \r\n", &[("x", ""), ("y", "")]),
        ("x : a\r\ny\t :b\r\n", &[("x", "a"), ("y", "b")]),
        ("x: a\r\n b\r\n\t c\r\n", &[("x", "a b c")]),
        ("x:\r\n a\r\n", &[("x", "a")]),
        ("x: a\n b\n", &[("x", "a b")]),
        ("no header\r\nx: a\r\n", &[("x", "a")]),
        ("x: a\r\n: nameless\r\n", &[("x", "a")]),
        (" before the first\r\nx: a\r\n", &[("x", "a")]),
        ("na(me): a\r\nx: a\r\n", &[("x", "a")]),
        ("control: \x01\r\nx: a\r\n", &[("x", "a")]),
        ("x: \u{e4}\r\nx: b\r\n", &[("x", "\u{e4}"), ("x", "b")]),
    ] {
        let whole = taken(format!("HTTP/1.1 204 No Content\r\n{lines}\r\n").as_bytes());
        let found: Vec<_> = whole.head.headers.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(found, expected, "{lines:?}");
        assert_eq!(whole.end, Clean, "{lines:?}");
    }
}

#[test]
fn any_number_of_headers_within_the_bound() {
    for count in [31, 32, 33, 100, 101, 5_000, (MAX_HEAD - 21) / 4] {
        let mut head = b"HTTP/1.1 200 \r\n".to_vec();
        for _ in 0..count {
            head.extend_from_slice(b"a:b\n");
        }
        head.extend_from_slice(b"\r\n");
        assert_eq!(taken(&head).head.headers.len(), count);
    }
}

#[test]
fn a_head_of_just_the_bound() {
    let mut head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: ".to_vec();
    head.resize(MAX_HEAD - 4, b'x');
    head.extend_from_slice(b"\r\n\r\n");
    assert_eq!(head.len(), MAX_HEAD);
    assert_eq!(taken(&head).end, Clean);
}

#[test]
fn interim_answers_are_passed_over() {
    for interim in ["100 Continue", "102 Processing", "103 Early Hints", "199 Whatever"] {
        let one = format!("HTTP/1.1 {interim}\r\nlink: </x>\r\n\r\n");
        let many = one.repeat(MAX_INTERIM);
        let (body, end) = end(&format!("{many}HTTP/1.1 200 OK\r\ncontent-length: 2"), "ok");
        assert_eq!((&*body, end), ("ok", Clean));
    }
}

#[test]
fn where_a_body_ends() {
    let ok = "HTTP/1.1 200 OK";
    let table: &[(&str, &str, &str, End)] = &[
        // By its length.
        ("content-length: 0", "", "", Clean),
        ("content-length: 5", "hello", "hello", Clean),
        ("content-length: 05", "hello", "hello", Clean),
        ("content-length: 5, 5\r\ncontent-length:5", "hello", "hello", Clean),
        ("content-length: 5", "hell", "hell", Cut),
        ("content-length: 5", "hello, world", "hello", Last),
        // With the connection.
        ("x: y", "hello", "hello", Last),
        ("transfer-encoding: identity", "hello", "hello", Last),
        ("transfer-encoding: chunked, gzip", "hello", "hello", Last),
        // In chunks.
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\n", "hello", Clean),
        ("transfer-encoding: gzip, Chunked", "5\r\nhello\r\n0\r\n\r\n", "hello", Clean),
        ("transfer-encoding: gzip\r\ntransfer-encoding: chunked", "0\r\n\r\n", "", Clean),
        ("transfer-encoding: chunked", "0005\r\nhello\r\n00\r\n\r\n", "hello", Clean),
        (
            "transfer-encoding: chunked",
            "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            "01234567890123456789",
            Clean,
        ),
        (
            "transfer-encoding: chunked",
            "5 \t;name=\"value\"\r\nhello\r\n0;x\r\n\r\n",
            "hello",
            Clean,
        ),
        ("transfer-encoding: chunked", "5\nhello\n0\n\n", "hello", Clean),
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\nx: y\r\nz: a\r\n\r\n", "hello", Clean),
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n\r\nmore", "hello", Last),
        ("transfer-encoding: chunked", "5\r\nhello\r\n0\r\n", "hello", Cut),
        ("transfer-encoding: chunked", "5\r\nhello\r\n", "hello", Cut),
        ("transfer-encoding: chunked", "5\r\nhel", "hel", Cut),
        ("transfer-encoding: chunked", "5\r\nhello, world\r\n0\r\n\r\n", "hello", Cut),
        ("transfer-encoding: chunked", "hello", "", Cut),
        ("transfer-encoding: chunked", "-5\r\nhello\r\n0\r\n\r\n", "", Cut),
        ("transfer-encoding: chunked", " 5\r\nhello\r\n0\r\n\r\n", "", Cut),
        ("transfer-encoding: chunked", "\r\nhello\r\n0\r\n\r\n", "", Cut),
        ("transfer-encoding: chunked", "5 5\r\nhello\r\n0\r\n\r\n", "", Cut),
        ("transfer-encoding: chunked", "10000000000000005\r\nhello\r\n0\r\n\r\n", "", Cut),
        ("transfer-encoding: chunked", "5\r\rhello\r\n0\r\n\r\n", "", Cut),
        // In doubt.
        (
            "content-length: 5\r\ntransfer-encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
            "hello",
            Last,
        ),
        ("content-length: 5\r\ncontent-length: 6", "hello", "", Cut),
        ("content-length: 5, 6", "hello", "", Cut),
        ("content-length: five", "hello", "", Cut),
        ("content-length: -5", "hello", "", Cut),
        ("content-length: +5", "hello", "", Cut),
        ("content-length: 5 5", "hello", "", Cut),
        ("content-length:", "hello", "", Cut),
        ("content-length: 18446744073709551616", "hello", "", Cut),
    ];
    for (headers, bytes, body, how) in table {
        let found = end(&format!("{ok}\r\n{headers}"), bytes);
        assert_eq!(found, ((*body).to_owned(), *how), "{headers:?} {bytes:?}");
    }
}

#[test]
fn some_statuses_have_no_body() {
    for status in [101, 204, 304] {
        for length in ["", "\r\ncontent-length: 5", "\r\ntransfer-encoding: chunked"] {
            let how = if status == 101 { Last } else { Clean };
            let found = end(&format!("HTTP/1.1 {status} X{length}"), "");
            assert_eq!(found, (String::new(), how), "{status} {length}");
            let found = end(&format!("HTTP/1.1 {status} X{length}"), "hello");
            assert_eq!(found, (String::new(), Last), "{status} {length}");
        }
    }
}

#[test]
fn the_connection_is_kept_where_that_was_agreed_on() {
    for (version, connection, how) in [
        ("1.1", "x: y", Clean),
        ("1.1", "connection: keep-alive", Clean),
        ("1.1", "connection: close", Last),
        ("1.1", "Connection: Upgrade, CLOSE", Last),
        ("1.1", "connection: close\r\nconnection: keep-alive", Last),
        ("1.1", "connection: closed", Clean),
        ("1.0", "x: y", Last),
        ("1.0", "connection: Keep-Alive", Clean),
        ("1.0", "connection: keep-alive, close", Last),
        ("1.0", "connection: keep-alive\r\ntransfer-encoding: chunked", Last),
    ] {
        let body = if connection.contains("chunked") { "0\r\n\r\n" } else { "" };
        let length = if body.is_empty() { "content-length: 0\r\n" } else { "" };
        let head = format!("HTTP/{version} 200 OK\r\n{length}{connection}");
        assert_eq!(end(&head, body), (String::new(), how), "{version} {connection}");
    }
}

#[test]
fn what_stands_beside_chunks_is_bounded() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked";
    let few = "x".repeat(16_000);
    let many = "x".repeat(17_000);
    for (extra, how) in [(&few, Clean), (&many, Cut)] {
        let in_extension = format!("5;{extra}\r\nhello\r\n0\r\n\r\n");
        let in_trailer = format!("5\r\nhello\r\n0\r\nx: {extra}\r\n\r\n");
        assert_eq!(end(head, &in_extension).1, how);
        assert_eq!(end(head, &in_trailer).1, how);
    }
    // Over all chunks together.
    let chunks = format!("1;{few}\r\nx\r\n").repeat(2);
    assert_eq!(end(head, &format!("{chunks}0\r\n\r\n")).1, Cut);
}
