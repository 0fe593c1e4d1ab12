//! The head of a request.

use std::time::Duration;

use bugle_core::{Event, Secret, SignatureHeaders};
use http::HeaderName;
use jiff::Timestamp;
use tokio::io::ReadBuf;
use tokio::time::Instant;

/// The largest number of pieces of a head: the shared part, nine lines of two, and the end.
const MOST_PIECES: usize = 20;

/// The part of a head that the requests on one connection share, made once, and values that a
/// request may reuse from the last.
///
/// Its bytes may hold credentials: never print them.
pub(crate) struct Draft {
    /// The request line and the headers that all requests share, without the end of the last line.
    fixed: Box<[u8]>,
    second: Option<Second>,
    signatures: SignatureHeaders,
    length: Decimal,
}

/// The beginnings of the lines whose names contain an emitter's `header_identifier`, each with the
/// end of the line before it.
#[derive(Debug)]
pub(crate) struct Names {
    event: Box<str>,
    delivery: Box<str>,
    signature: Box<str>,
}

impl Names {
    pub(crate) fn new(event: &HeaderName, delivery: &HeaderName, signature: &HeaderName) -> Self {
        let begin = |name: &HeaderName| format!("\r\n{name}: ").into();
        Self { event: begin(event), delivery: begin(delivery), signature: begin(signature) }
    }
}

/// The part that differs from request to request.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) names: &'a Names,
    pub(crate) secrets: &'a [Secret],
    pub(crate) event: &'a Event,
    pub(crate) now: Instant,
}

/// A head, in pieces that are put together as it is written.
pub(crate) struct RequestHead<'a> {
    pieces: [&'a [u8]; MOST_PIECES],
    count: usize,
}

impl Draft {
    /// Begins with the request line and the headers that all requests share.
    pub(crate) fn new<'a>(
        target: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut fixed = format!("POST {target} HTTP/1.1").into_bytes();
        for (name, value) in headers {
            for part in [b"\r\n", name.as_bytes(), b": ", value] {
                fixed.extend_from_slice(part);
            }
        }
        Self {
            fixed: fixed.into(),
            second: None,
            signatures: SignatureHeaders::default(),
            length: Decimal::of(0),
        }
    }

    /// Signs a request, and makes its head.
    pub(crate) fn head<'a>(&'a mut self, request: &Request<'a>) -> RequestHead<'a> {
        let Request { names, secrets, event, now } = *request;
        let second = self.second(now);
        let id = event.request_id.as_str();
        self.signatures.renew(secrets, id, second.start, &event.payload);
        self.length = Decimal::of(event.payload.len() as u64);
        let mut head = RequestHead { pieces: [&[]; MOST_PIECES], count: 0 };
        head.push(&self.fixed);
        head.line(&names.event, event.name.as_str().as_bytes());
        head.line(&names.delivery, id.as_bytes());
        head.line("\r\nwebhook-id: ", id.as_bytes());
        if let Some(second) = &self.second {
            head.line("\r\nwebhook-timestamp: ", second.as_bytes());
        }
        head.line("\r\ncontent-length: ", self.length.as_bytes());
        let SignatureHeaders { plain, standard, .. } = &self.signatures;
        let trace = event.trace.as_deref();
        for (name, value) in [
            (&*names.signature, plain.as_deref()),
            ("\r\nwebhook-signature: ", standard.as_deref()),
            ("\r\ntraceparent: ", trace.map(|trace| trace.traceparent.as_str())),
            ("\r\ntracestate: ", trace.and_then(|trace| trace.tracestate.as_deref())),
        ] {
            if let Some(value) = value {
                head.line(name, value.as_bytes());
            }
        }
        head.push(b"\r\n\r\n");
        head
    }

    /// The current second. The wall clock is read once a second, not for each request.
    fn second(&mut self, now: Instant) -> Second {
        match self.second {
            Some(second) if now < second.until => second,
            _ => *self.second.insert(Second::containing(now, Timestamp::now())),
        }
    }
}

impl<'a> RequestHead<'a> {
    fn line(&mut self, name: &'a str, value: &'a [u8]) {
        self.push(name.as_bytes());
        self.push(value);
    }

    fn push(&mut self, piece: &'a [u8]) {
        if let Some(free) = self.pieces.get_mut(self.count) {
            *free = piece;
            self.count += 1;
        }
    }

    fn pieces(&self) -> &[&'a [u8]] {
        self.pieces.get(..self.count).unwrap_or_default()
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
    }

    /// Puts it together in a buffer that has room for its length.
    pub(crate) fn put(&self, into: &mut ReadBuf<'_>) {
        for piece in self.pieces() {
            into.put_slice(piece);
        }
    }
}

/// A second of the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Second {
    pub(crate) start: Timestamp,
    /// The time at which it is over.
    until: Instant,
    digits: Decimal,
}

impl Second {
    pub(crate) fn containing(now: Instant, wall: Timestamp) -> Self {
        let past = Duration::from_nanos(u64::try_from(wall.subsec_nanosecond()).unwrap_or(0));
        // A clock before 1970 is wrong, and a receiver refuses its signature in any case.
        let unix = u64::try_from(wall.as_second()).unwrap_or(0);
        let start = Timestamp::from_second(wall.as_second().max(0)).unwrap_or(wall);
        let until = now + Duration::from_secs(1).saturating_sub(past);
        let digits = Decimal::of(unix);
        Self { start, until, digits }
    }

    fn as_bytes(&self) -> &[u8] {
        self.digits.as_bytes()
    }
}

/// A number in decimal digits, without an allocation.
#[derive(Debug, Clone, Copy)]
struct Decimal {
    /// Right-aligned.
    digits: [u8; 20],
    from: usize,
}

impl Decimal {
    fn of(mut number: u64) -> Self {
        let mut digits = [b'0'; 20];
        let mut from = 20;
        for (index, digit) in digits.iter_mut().enumerate().rev() {
            // Less than ten.
            *digit += (number % 10) as u8;
            number /= 10;
            from = index;
            if number == 0 {
                break;
            }
        }
        Self { digits, from }
    }

    fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 1, 9, 10, 99, 100, 1_767_323_045, u64::MAX] {
            assert_eq!(Decimal::of(number).as_bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn a_second_lasts_until_the_next() {
        let now = Instant::now();
        let wall: Timestamp = "2026-01-02T03:04:05.75Z".parse().unwrap();
        let second = Second::containing(now, wall);
        assert_eq!(second.start, "2026-01-02T03:04:05Z".parse().unwrap());
        assert_eq!(second.until, now + Duration::from_millis(250));
        assert_eq!(second.as_bytes(), b"1767323045");
    }
}
