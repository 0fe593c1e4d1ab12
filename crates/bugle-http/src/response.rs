//! What a response means.

use std::task::Poll;
use std::time::{Duration, SystemTime};

use bugle_core::{
    Advice, AttemptCode, Delivery, EmitterConfig, Exchange, Failure, Outcome, ResponseHead,
    SpokenVersion,
};
use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode, response};
use http_body::Body;
use hyper::body::{Frame, Incoming};
use tokio::time::Instant;

use crate::failure::{Broken, Step, describe_hyper};

/// How much of a response's body to read, and whether to keep it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    limit: usize,
    capture: bool,
}

impl Reading {
    pub(crate) fn new(config: &EmitterConfig, delivery: &Delivery) -> Self {
        Self { limit: config.response_body_limit, capture: delivery.capture }
    }

    /// Whether anybody wants to see more of a response with this status.
    fn keeps(self, status: StatusCode) -> bool {
        self.capture || !status.is_success()
    }

    pub(crate) fn start(self, head: &response::Parts, body: &Incoming) -> BodyReader {
        let keep = self.keeps(head.status);
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        BodyReader {
            kept: Vec::new(),
            keep,
            left: self.limit,
            // Nobody wants it and it is too long to keep the connection for: don't begin.
            skip: !keep && announced > self.limit,
        }
    }
}

/// Reads a body up to a limit.
#[derive(Debug)]
pub(crate) struct BodyReader {
    kept: Vec<u8>,
    keep: bool,
    left: usize,
    skip: bool,
}

impl BodyReader {
    /// Takes frames as long as there are any.
    pub(crate) fn poll(
        &mut self,
        mut next: impl FnMut() -> Poll<Option<hyper::Result<Frame<Bytes>>>>,
    ) -> Poll<BodyEnd> {
        if self.skip {
            return Poll::Ready(BodyEnd::Cut);
        }
        loop {
            let frame = match next() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(BodyEnd::Complete),
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    let why = describe_hyper(&error);
                    return Poll::Ready(BodyEnd::Broken(Broken::Connection(
                        format!("the response's body broke off: {why}").into(),
                    )));
                }
            };
            let Some(data) = frame.data_ref() else { continue };
            let taken = data.len().min(self.left);
            if self.keep {
                self.kept.extend_from_slice(&data[..taken]);
            }
            if taken < data.len() {
                return Poll::Ready(BodyEnd::Cut);
            }
            self.left -= taken;
        }
    }
}

/// How the reading of a body ended.
#[derive(Debug)]
pub(crate) enum BodyEnd {
    Complete,
    /// It is longer than the limit.
    Cut,
    Broken(Broken),
}

impl BodyEnd {
    pub(crate) fn late() -> Self {
        Self::Broken(Broken::Late(Step::Body))
    }

    pub(crate) fn is_complete(&self) -> bool {
        matches!(self, Self::Complete)
    }
}

/// A response, read as far as it will be. Small, as every delivery moves it.
#[derive(Debug)]
pub(crate) struct Answered {
    /// When the head had come.
    pub(crate) at: Instant,
    /// When the reading ended.
    pub(crate) ended: Instant,
    status: StatusCode,
    version: http::Version,
    /// `None` when the status alone says all that is asked for.
    contents: Option<Box<Contents>>,
}

#[derive(Debug)]
struct Contents {
    head: response::Parts,
    body: Vec<u8>,
    end: BodyEnd,
}

impl Answered {
    /// A response without a body.
    pub(crate) fn new(head: response::Parts, reading: Reading, at: Instant) -> Self {
        let (status, version) = (head.status, head.version);
        let wanted = reading.keeps(status);
        let contents = wanted.then(|| Contents { head, body: Vec::new(), end: BodyEnd::Complete });
        Self { at, ended: at, status, version, contents: contents.map(Box::new) }
    }

    pub(crate) fn with_body(
        head: response::Parts,
        reader: BodyReader,
        end: BodyEnd,
        at: Instant,
    ) -> Self {
        let (status, version) = (head.status, head.version);
        let contents = Some(Box::new(Contents { head, body: reader.kept, end }));
        Self { at, ended: Instant::now(), status, version, contents }
    }

    /// What came of the attempt.
    pub(crate) fn conclude(
        self,
        config: &EmitterConfig,
        delivery: &Delivery,
        mut exchange: Exchange,
    ) -> Outcome {
        exchange.status = Some(self.status.as_u16());
        exchange.http_version = spoken(self.version).or(exchange.http_version);
        match self.contents {
            Some(contents) => contents.conclude(config, delivery, exchange),
            None => Outcome::delivered(exchange),
        }
    }
}

impl Contents {
    fn conclude(
        self,
        config: &EmitterConfig,
        delivery: &Delivery,
        mut exchange: Exchange,
    ) -> Outcome {
        let Self { head, body, end } = self;
        exchange.body_cut = matches!(end, BodyEnd::Cut);
        exchange.body = Bytes::from(body);
        let failure = match end {
            _ if !head.status.is_success() => Some(bad_status(&head, config, SystemTime::now())),
            BodyEnd::Broken(broken) => Some(broken.into_failure(config.request_timeout)),
            BodyEnd::Complete | BodyEnd::Cut => None,
        };
        if failure.is_some() || delivery.capture {
            exchange.head = Some(Box::new(describe_head(&head)));
        }
        match failure {
            Some(failure) => Outcome::failed(failure, exchange),
            None => Outcome::delivered(exchange),
        }
    }
}

fn bad_status(head: &response::Parts, config: &EmitterConfig, now: SystemTime) -> Failure {
    let status = head.status;
    let advice = match status {
        StatusCode::GONE => Advice::Gone,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            match retry_after(&head.headers, now) {
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

/// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). What is neither is ignored; a date that
/// has passed means at once.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit are as good as for ever; the limit cuts them.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

fn spoken(version: http::Version) -> Option<SpokenVersion> {
    match version {
        http::Version::HTTP_10 => Some(SpokenVersion::Http10),
        http::Version::HTTP_11 => Some(SpokenVersion::Http11),
        http::Version::HTTP_2 => Some(SpokenVersion::Http2),
        _ => None,
    }
}

fn describe_head(head: &response::Parts) -> ResponseHead {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut described = ResponseHead::default();
    described.version = format!("{:?}", head.version);
    described.headers =
        head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    described
}
