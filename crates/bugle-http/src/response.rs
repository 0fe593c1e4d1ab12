//! Turns a response into an outcome.

use std::time::{Duration, SystemTime};

use bugle_core::{
    Advice, AttemptCode, Delivery, EmitterConfig, Exchange, Failure, Outcome, ResponseHead,
    SpokenVersion,
};
use bytes::Bytes;
use http::StatusCode;
use tokio::time::Instant;

/// The part of a response's body to read, and whether to keep it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    pub(crate) limit: usize,
    pub(crate) capture: bool,
}

impl Reading {
    pub(crate) fn new(config: &EmitterConfig, delivery: &Delivery) -> Self {
        Self { limit: config.response_body_limit, capture: delivery.capture }
    }

    /// True when the body and headers of a response with this status are wanted.
    pub(crate) fn keeps(self, status: StatusCode) -> bool {
        self.capture || !status.is_success()
    }
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) version: SpokenVersion,
    /// Names in lower case, and values. Empty when they are not wanted.
    pub(crate) headers: Vec<(String, String)>,
}

/// A body, read up to a limit.
#[derive(Debug, Default)]
pub(crate) struct Body {
    kept: Vec<u8>,
    keep: bool,
    left: usize,
    unwanted: bool,
}

impl Body {
    /// Makes the body of a response with this status, which announces at least this length.
    pub(crate) fn new(reading: Reading, status: StatusCode, announced: u64) -> Self {
        let keep = reading.keeps(status);
        let limit = reading.limit;
        let fits = usize::try_from(announced).is_ok_and(|announced| announced <= limit);
        Self { kept: Vec::new(), keep, left: limit, unwanted: !keep && !fits }
    }

    /// True when the body is not wanted, and is too long to keep the connection for: it is not
    /// read.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.unwanted
    }

    /// Takes the next bytes; false when they are over the limit.
    pub(crate) fn take(&mut self, data: &[u8]) -> bool {
        let taken = data.len().min(self.left);
        if self.keep {
            self.kept.extend_from_slice(&data[..taken]);
        }
        self.left -= taken;
        taken == data.len()
    }

    pub(crate) fn take_kept(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.kept)
    }
}

/// A response, read as far as it is wanted. It is small, as every delivery moves it.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The time at which the head had come.
    pub(crate) at: Instant,
    /// The time at which the reading ended.
    pub(crate) ended: Instant,
    status: StatusCode,
    version: SpokenVersion,
    /// `None` when only the status is wanted.
    contents: Option<Box<Contents>>,
}

#[derive(Debug)]
struct Contents {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// True when the body was longer than the limit, or broke off.
    cut: bool,
}

impl Answered {
    /// Makes a response from the times of its head and of its end.
    pub(crate) fn new(
        head: Head,
        body: Vec<u8>,
        cut: bool,
        reading: Reading,
        [at, ended]: [Instant; 2],
    ) -> Self {
        let Head { status, version, headers } = head;
        let wanted = cut || reading.keeps(status);
        let contents = wanted.then(|| Box::new(Contents { headers, body, cut }));
        Self { at, ended, status, version, contents }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers; empty when only the status is wanted.
    pub(crate) fn headers(&self) -> &[(String, String)] {
        self.contents.as_ref().map_or(&[], |contents| &contents.headers)
    }

    /// Turns the response into an outcome. The status alone decides it: a body that breaks off does
    /// not change it.
    pub(crate) fn conclude(
        self,
        config: &EmitterConfig,
        delivery: &Delivery,
        mut exchange: Exchange,
    ) -> Outcome {
        let Self { status, version, contents, .. } = self;
        exchange.status = Some(status.as_u16());
        exchange.http_version = Some(version);
        let Some(contents) = contents else { return Outcome::delivered(exchange) };
        let Contents { headers, body, cut } = *contents;
        exchange.body_cut = cut;
        exchange.body = Bytes::from(body);
        let failure =
            (!status.is_success()).then(|| bad_status(status, &headers, config, SystemTime::now()));
        if failure.is_some() || delivery.capture {
            let mut head = ResponseHead::default();
            head.version = version.as_str().to_owned();
            head.headers = headers;
            exchange.head = Some(Box::new(head));
        }
        match failure {
            Some(failure) => Outcome::failed(failure, exchange),
            None => Outcome::delivered(exchange),
        }
    }
}

fn bad_status(
    status: StatusCode,
    headers: &[(String, String)],
    config: &EmitterConfig,
    now: SystemTime,
) -> Failure {
    let advice = match status {
        StatusCode::GONE => Advice::Gone,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            match retry_after(headers, now) {
                Some(delay) => Advice::RetryAfter(delay.min(config.retry_after_limit)),
                None => Advice::Retry,
            }
        }
        _ => Advice::Retry,
    };
    Failure::new(
        AttemptCode::BadHttpStatus,
        format!("HTTP POST request returned status {}", status.as_u16()),
    )
    .advising(advice)
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). Any other text is ignored; a date
/// that has passed means at once.
fn retry_after(headers: &[(String, String)], now: SystemTime) -> Option<Duration> {
    let (_, text) = headers.iter().find(|(name, _)| name == "retry-after")?;
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number of seconds that doesn't fit means for ever; the limit cuts it.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}
