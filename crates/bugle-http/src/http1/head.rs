//! The head of an answer: status line and header lines.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use bugle_core::SpokenVersion;
use http::StatusCode;
use httparse::{Header, ParserConfig, Response, Status};

use super::body::Framing;
use crate::response::{Head, Reading};

/// The longest head of an answer that is accepted, in bytes, with its empty line: 64 KiB.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// The greatest number of interim answers (100 to 199, except 101) before the final one.
pub(crate) const MAX_INTERIM: usize = 16;

/// The number of headers that fit on the stack while a head is read.
const USUAL_HEADERS: usize = 32;

/// The reason for which a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadError {
    /// It is not a head of HTTP/1.
    Malformed(httparse::Error),
    /// Its status is not a number from 100 to 999.
    Status,
    TooLong,
    /// More interim answers came than the limit.
    Flood,
}

impl std::fmt::Display for HeadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "{error}"),
            Self::Status => f.write_str("it has no status from 100 to 999"),
            Self::TooLong => write!(f, "its head is longer than {} KiB", MAX_HEAD / 1024),
            Self::Flood => write!(f, "it follows more than {MAX_INTERIM} interim answers"),
        }
    }
}

/// The head of the final answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    /// The framing of the body, by which its end is found.
    pub(crate) framing: Framing,
    /// True when the connection may be used again after the body.
    pub(crate) keep_alive: bool,
}

/// Finds the head of the final answer in bytes that come in any pieces.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    /// The first part of a head that hasn't come whole. It is usually empty: a head comes in one
    /// piece.
    begun: Vec<u8>,
    /// The length of its front that is known to have no end of a head.
    searched: usize,
    /// The number of interim answers that have come.
    interim: usize,
}

impl HeadReader {
    /// Takes the next bytes. Returns the head, if it is whole now, with the bytes that follow it.
    pub(crate) fn take<'a>(
        &mut self,
        mut bytes: &'a [u8],
        reading: Reading,
    ) -> Result<Option<(Answer, &'a [u8])>, HeadError> {
        while !bytes.is_empty() {
            let (answer, rest) = if self.begun.is_empty() {
                match parse(bytes, reading)? {
                    Some((answer, length)) => (answer, &bytes[length..]),
                    None => {
                        self.begin(bytes);
                        return Ok(None);
                    }
                }
            } else {
                match self.go_on(bytes, reading)? {
                    Some(parsed) => parsed,
                    None => return Ok(None),
                }
            };
            if !is_interim(answer.head.status) {
                return Ok(Some((answer, rest)));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err(HeadError::Flood);
            }
            bytes = rest;
        }
        Ok(None)
    }

    /// Names the fault of the bytes so far, when no more will come.
    pub(crate) fn end(&self, reading: Reading) -> Result<(), HeadError> {
        parse(&self.begun, reading).map(drop)
    }

    fn begin(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        self.searched = 0;
    }

    /// Continues a head that came in pieces. It is parsed once its end has come, and not with each
    /// piece, which would cost the square of their number.
    fn go_on<'a>(
        &mut self,
        bytes: &'a [u8],
        reading: Reading,
    ) -> Result<Option<(Answer, &'a [u8])>, HeadError> {
        let before = self.begun.len();
        self.begun.extend_from_slice(bytes);
        match end_of_head(&self.begun, self.searched) {
            Ok(end) => {
                let begun = std::mem::take(&mut self.begun);
                let Some((answer, length)) = parse(&begun[..end], reading)? else {
                    return Err(HeadError::Malformed(httparse::Error::NewLine));
                };
                let used = length.saturating_sub(before);
                Ok(Some((answer, bytes.get(used..).unwrap_or_default())))
            }
            Err(_) if self.begun.len() > MAX_HEAD => {
                Err(self.end(reading).err().unwrap_or(HeadError::TooLong))
            }
            Err(searched) => {
                self.searched = searched;
                Ok(None)
            }
        }
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// The end of the first head in these bytes: behind its empty line. If there is none, the length
/// that need not be searched again.
fn end_of_head(bytes: &[u8], searched: usize) -> Result<usize, usize> {
    let mut from = searched;
    if from == 0 {
        // Empty lines before the status line end nothing.
        from = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if from == bytes.len() {
            return Err(0);
        }
    }
    while let Some(found) = bytes[from..].iter().position(|byte| *byte == b'\n') {
        let line = from + found;
        match bytes[line + 1..] {
            [b'\n', ..] => return Ok(line + 2),
            [b'\r', b'\n', ..] => return Ok(line + 3),
            [] | [b'\r'] => return Err(line),
            _ => from = line + 1,
        }
    }
    Err(bytes.len())
}

/// Parses the first head in these bytes; returns it with its length, if it is whole.
fn parse(bytes: &[u8], reading: Reading) -> Result<Option<(Answer, usize)>, HeadError> {
    // Bytes behind the bound must not matter, however many came at once.
    let bytes = &bytes[..bytes.len().min(MAX_HEAD + 1)];
    let mut few = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    match parse_into(bytes, &mut few, reading) {
        Err(HeadError::Malformed(httparse::Error::TooManyHeaders)) => {
            let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
            let mut many = vec![MaybeUninit::uninit(); lines];
            parse_into(bytes, &mut many, reading)
        }
        parsed => parsed,
    }
}

fn parse_into<'a>(
    bytes: &'a [u8],
    headers: &mut [MaybeUninit<Header<'a>>],
    reading: Reading,
) -> Result<Option<(Answer, usize)>, HeadError> {
    let mut response = Response::new(&mut []);
    let parsed = tolerant().parse_response_with_uninit_headers(&mut response, bytes, headers);
    let length = match parsed.map_err(HeadError::Malformed)? {
        Status::Complete(length) if length <= MAX_HEAD => length,
        Status::Partial if bytes.len() <= MAX_HEAD => return Ok(None),
        _ => return Err(HeadError::TooLong),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(HeadError::Status)?;
    let http11 = response.version == Some(1);
    let mut found = Found::default();
    for header in response.headers.iter() {
        found.look_at(header);
    }
    let version = if http11 { SpokenVersion::Http11 } else { SpokenVersion::Http10 };
    let kept =
        if reading.keeps(status) { response.headers.iter().map(text).collect() } else { vec![] };
    let head = Head { status, version, headers: kept };
    let keep_alive = found.keeps_alive(http11) && status != StatusCode::SWITCHING_PROTOCOLS;
    Ok(Some((Answer { head, framing: found.framing(status), keep_alive }, length)))
}

fn tolerant() -> ParserConfig {
    let mut config = ParserConfig::default();
    config
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .ignore_invalid_headers_in_responses(true);
    config
}

/// The statements of the headers about the end of the body and of the connection.
#[derive(Debug, Default)]
struct Found {
    length: Length,
    /// Present when a transfer encoding is named; true when chunks are its last one.
    encoded: Option<bool>,
    close: bool,
    keep_alive: bool,
}

/// The statement of all content-length headers together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Length {
    #[default]
    Absent,
    Known(u64),
    /// They differ, or one is not a number.
    Doubtful,
}

impl Found {
    fn look_at(&mut self, header: &Header<'_>) {
        let name = header.name;
        match name.len() {
            10 if name.eq_ignore_ascii_case("connection") => {
                for token in tokens(header.value) {
                    self.close |= token.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                for token in tokens(header.value) {
                    self.length = self.length.and(number(token));
                }
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                let last = tokens(header.value).last().unwrap_or_default();
                self.encoded = Some(last.eq_ignore_ascii_case(b"chunked"));
            }
            _ => {}
        }
    }

    fn keeps_alive(&self, http11: bool) -> bool {
        let doubtful = match self.encoded {
            Some(_) => !http11 || self.length != Length::Absent,
            None => self.length == Length::Doubtful,
        };
        !doubtful && !self.close && (http11 || self.keep_alive)
    }

    /// Chooses the framing by RFC 9112, 6.3.
    fn framing(&self, status: StatusCode) -> Framing {
        if status.is_informational() || matches!(status.as_u16(), 204 | 304) {
            return Framing::Length(0);
        }
        match (self.encoded, self.length) {
            (Some(true), _) => Framing::chunked(),
            (Some(false), _) | (None, Length::Absent) => Framing::UntilClose,
            (None, Length::Known(length)) => Framing::Length(length),
            (None, Length::Doubtful) => Framing::Unknown,
        }
    }
}

impl Length {
    fn and(self, next: Option<u64>) -> Self {
        match (self, next) {
            (Self::Absent, Some(length)) => Self::Known(length),
            (Self::Known(known), Some(length)) if known == length => self,
            _ => Self::Doubtful,
        }
    }
}

/// Splits a value at its commas.
fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
}

fn number(token: &[u8]) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    token.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// A header as text: its name in lower case, its value in one line.
fn text(header: &Header<'_>) -> (String, String) {
    (
        header.name.to_ascii_lowercase(),
        String::from_utf8_lossy(&unfolded(header.value)).into_owned(),
    )
}

fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'\n') {
        return value.into();
    }
    let lines: Vec<_> = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).collect();
    lines.join(&b' ').into()
}
