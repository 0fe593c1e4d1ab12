//! The head of a request.

use std::time::Duration;

use bugle_core::{Delivery, EmitterConfig, SignatureHeaders};
use jiff::Timestamp;
use tokio::time::Instant;

/// The size in bytes up to which a request is put together in one buffer: copying its payload costs
/// less than letting the system gather the two.
const SMALL: usize = 2048;

/// The head of a connection's last request, of which the next one reuses the shared part.
///
/// The part that all requests of an emitter share comes first and is written once; behind it is the
/// part that differs from event to event. Its bytes may hold credentials: never print them.
pub(crate) struct Draft {
    bytes: Vec<u8>,
    /// The length of the part that all requests share.
    fixed: usize,
    second: Option<Second>,
    signatures: SignatureHeaders,
}

/// The names of the headers that contain an emitter's `header_identifier`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names<'a> {
    pub(crate) event: &'a str,
    pub(crate) delivery: &'a str,
    pub(crate) signature: &'a str,
}

impl Draft {
    /// Begins with the request line and the headers that all requests share.
    pub(crate) fn new<'a>(
        target: &str,
        headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    ) -> Self {
        let mut bytes = Vec::with_capacity(512);
        for part in ["POST ", target, " HTTP/1.1\r\n"] {
            bytes.extend_from_slice(part.as_bytes());
        }
        for (name, value) in headers {
            line(&mut bytes, name, value);
        }
        let fixed = bytes.len();
        Self { bytes, fixed, second: None, signatures: SignatureHeaders::default() }
    }

    /// The bytes that were written last.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the head of one attempt, and its body too where that is small. Returns the rest of
    /// the body.
    pub(crate) fn write<'a>(
        &mut self,
        names: Names<'_>,
        config: &EmitterConfig,
        delivery: &'a Delivery,
        now: Instant,
    ) -> &'a [u8] {
        let event = &delivery.event;
        let second = self.second(now);
        let id = event.request_id.as_str();
        let bytes = &mut self.bytes;
        bytes.truncate(self.fixed);
        line(bytes, names.event, event.name.as_str().as_bytes());
        line(bytes, names.delivery, id.as_bytes());
        line(bytes, "webhook-id", id.as_bytes());
        line(bytes, "webhook-timestamp", second.as_bytes());
        line(bytes, "content-length", Decimal::of(event.payload.len() as u64).as_bytes());
        if !config.secrets.is_empty() {
            let signatures = &mut self.signatures;
            signatures.renew(&config.secrets, id, second.start, &event.payload);
            for (name, value) in
                [(names.signature, &signatures.plain), ("webhook-signature", &signatures.standard)]
            {
                if let Some(value) = value {
                    line(bytes, name, value.as_bytes());
                }
            }
        }
        if let Some(trace) = event.trace.as_deref() {
            line(bytes, "traceparent", trace.traceparent.as_bytes());
            if let Some(state) = &trace.tracestate {
                line(bytes, "tracestate", state.as_bytes());
            }
        }
        bytes.extend_from_slice(b"\r\n");
        if bytes.len() + event.payload.len() > SMALL {
            return &event.payload;
        }
        bytes.extend_from_slice(&event.payload);
        &[]
    }

    /// The current second. The wall clock is read once a second, not for each request.
    fn second(&mut self, now: Instant) -> Second {
        match self.second {
            Some(second) if now < second.until => second,
            _ => *self.second.insert(Second::containing(now, Timestamp::now())),
        }
    }
}

fn line(bytes: &mut Vec<u8>, name: &str, value: &[u8]) {
    bytes.extend_from_slice(name.as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value);
    bytes.extend_from_slice(b"\r\n");
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
