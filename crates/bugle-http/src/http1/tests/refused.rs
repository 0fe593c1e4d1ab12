//! Refused answers.

use super::super::head::{HeadError, MAX_HEAD, MAX_INTERIM};
use super::read;

fn error(bytes: &[u8]) -> Option<HeadError> {
    read(bytes, &[]).err()
}

#[test]
fn what_is_no_head() {
    use httparse::Error::{HeaderName, HeaderValue, NewLine, Status, Version};
    for (bytes, expected) in [
        ("220 mail.example.com ESMTP\r\n", Version),
        ("\x16\x03\x01\x02", Version),
        ("HTTP/2 200 OK\r\n\r\n", Version),
        ("HTTP/2.0 200 OK\r\n\r\n", Version),
        ("HTTP/0.9 200 OK\r\n\r\n", Version),
        ("HTTP/1.2 200 OK\r\n\r\n", Version),
        ("http/1.1 200 OK\r\n\r\n", Version),
        ("ICY 200 OK\r\n\r\n", Version),
        ("<html>thanks</html>", Version),
        ("HTTP/1.1 two hundred\r\n\r\n", Status),
        ("HTTP/1.1 20 OK\r\n\r\n", Status),
        ("HTTP/1.1 2000 OK\r\n\r\n", Status),
        ("HTTP/1.1 200 \x01\r\n\r\n", Status),
        ("HTTP/1.1 200 O\rK\r\n\r\n", Status),
        ("\rHTTP/1.1 200 OK\r\n\r\n", NewLine),
        ("HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n", HeaderValue),
        ("HTTP/1.1 200 OK\r\n\0x: a\r\n\r\n", HeaderName),
        ("HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n", HeaderValue),
        ("HTTP/1.1 200 OK\r\nx\r: a\r\n\r\n", HeaderName),
    ] {
        assert_eq!(error(bytes.as_bytes()), Some(HeadError::Malformed(expected)), "{bytes:?}");
    }
    for status in ["000", "001", "099"] {
        let head = format!("HTTP/1.1 {status} Low\r\n\r\n");
        assert_eq!(error(head.as_bytes()), Some(HeadError::Status), "{status}");
    }
}

#[test]
fn a_head_over_the_bound_however_it_comes() {
    let mut head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx: ".to_vec();
    head.resize(MAX_HEAD - 3, b'x');
    head.extend_from_slice(b"\r\n\r\n");
    let lines = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"a:b\n".repeat(17_000)].concat();
    let empty = b"\r\n".repeat(40_000);
    for bytes in [head, lines, empty] {
        assert_eq!(error(&bytes), Some(HeadError::TooLong));
        for piece in [1000, 8192, MAX_HEAD, MAX_HEAD + 1] {
            let cuts: Vec<_> = (piece..bytes.len()).step_by(piece).collect();
            assert_eq!(read(&bytes, &cuts), Err(HeadError::TooLong), "{piece}");
        }
    }
}

#[test]
fn one_interim_answer_too_many() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let last = "HTTP/1.1 204 No Content\r\n\r\n";
    let some = format!("{}{last}", interim.repeat(MAX_INTERIM));
    let more = format!("{}{last}", interim.repeat(MAX_INTERIM + 1));
    assert_eq!(error(some.as_bytes()), None);
    assert_eq!(error(more.as_bytes()), Some(HeadError::Flood));
}

/// The connection ends before the head does: that is no answer, whatever its status would be.
#[test]
fn a_head_that_is_cut_off() {
    let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    for end in 0..answer.len() {
        assert_eq!(read(&answer[..end], &[]), Ok(None), "{end}");
    }
    assert!(matches!(read(answer, &[]), Ok(Some(_))));
}
