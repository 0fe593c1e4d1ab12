//! The outcome of one attempt. A failed delivery is data, never an `Err`.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::milliseconds;

/// The outcome of one attempt.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// The failure; `None` when the event was delivered.
    pub failure: Option<Failure>,
    /// The exchange on the wire, as far as it went.
    pub exchange: Exchange,
}

impl Outcome {
    /// Makes the outcome of a delivery.
    pub fn delivered(exchange: Exchange) -> Self {
        Self { failure: None, exchange }
    }

    /// Makes the outcome of a failure.
    pub fn failed(failure: Failure, exchange: Exchange) -> Self {
        Self { failure: Some(failure), exchange }
    }

    /// True when the event was delivered.
    pub fn is_delivered(&self) -> bool {
        self.failure.is_none()
    }
}

/// A failed attempt's cause, and its advice about the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The kind of failure.
    pub code: AttemptCode,
    /// The cause in words, without secrets.
    pub message: Cow<'static, str>,
    /// The advice about the next attempt.
    pub advice: Advice,
}

impl Failure {
    /// Makes a failure that is worth another attempt.
    pub fn new(code: AttemptCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), advice: Advice::Retry }
    }

    /// Sets the advice about the next attempt.
    #[must_use]
    pub fn advising(mut self, advice: Advice) -> Self {
        self.advice = advice;
        self
    }
}

/// The advice of a failure about the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Try again when the emitter's backoff allows.
    Retry,
    /// Try again, but no sooner than this from now: the receiver's `Retry-After`.
    RetryAfter(Duration),
    /// Another attempt can't succeed: dead-letter the event at once.
    GiveUp,
    /// The receiver answered 410: it wants no more of this. The emitter's `Gone` says what follows.
    Gone,
    /// The receiver is not to blame, and surely has not processed the event: try again when the
    /// emitter's backoff allows, and count this attempt as none. An attempt counts once the
    /// receiver may have processed it, or is itself unreachable.
    Uncounted,
}

/// The kind of a failed attempt. The first three are named as in StarkInfra's attempt log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum AttemptCode {
    /// The receiver answered with a status outside 200 to 299.
    BadHttpStatus,
    /// The connection was refused, reset, closed early, its name not resolved, or TLS failed.
    BadConnection,
    /// The deadline passed.
    Timeout,
    /// The destination guard refused the address.
    BlockedDestination,
    /// An in-process handler returned an error.
    HandlerError,
    /// The delivery made its emitter crash.
    Crashed,
    /// This machine was short of something: descriptors, ports, routes, or a resolver that answers.
    Shortage,
    /// The stored event is damaged, and can't be delivered as it was accepted.
    Damaged,
    /// Every key of the emitter has expired, so that the request would have gone out unsigned.
    Unsigned,
}

impl AttemptCode {
    /// The code as the attempt log shows it, as `badHttpStatus`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadHttpStatus => "badHttpStatus",
            Self::BadConnection => "badConnection",
            Self::Timeout => "timeout",
            Self::BlockedDestination => "blockedDestination",
            Self::HandlerError => "handlerError",
            Self::Crashed => "crashed",
            Self::Shortage => "shortage",
            Self::Damaged => "damaged",
            Self::Unsigned => "unsigned",
        }
    }
}

impl fmt::Display for AttemptCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The facts of one attempt on the wire. Everything is optional: an attempt may fail before any of
/// it is known, and an in-process handler has none of it.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Exchange {
    /// The response's status.
    pub status: Option<u16>,
    /// The address that was connected to.
    pub connected_to: Option<SocketAddr>,
    /// The version of HTTP: the response's, or the one in which the request was made where no
    /// response came.
    pub http_version: Option<SpokenVersion>,
    /// The time that each phase took.
    pub elapsed: Elapsed,
    /// The response's head, when the delivery asked for it or failed.
    pub head: Option<Box<ResponseHead>>,
    /// The first part of the response's body, up to the emitter's limit.
    pub body: Bytes,
    /// True when the body was not read whole: it was longer than that, broke off, or went on past
    /// the deadline. A status from 200 to 299 settles the delivery all the same.
    pub body_cut: bool,
    /// The number of times that the request was made again within this attempt, which counts as
    /// one: because it was surely not processed, or met a kept connection that brought no byte of
    /// an answer.
    pub made_again: u32,
}

/// The version of HTTP that was spoken on a connection. As text, and in JSON, it is `HTTP/1.1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SpokenVersion {
    /// HTTP/1.0, which a receiver may answer in.
    #[serde(rename = "HTTP/1.0")]
    Http10,
    /// HTTP/1.1.
    #[serde(rename = "HTTP/1.1")]
    Http11,
    /// HTTP/2.
    #[serde(rename = "HTTP/2.0")]
    Http2,
}

impl SpokenVersion {
    /// All versions.
    const ALL: [Self; 3] = [Self::Http10, Self::Http11, Self::Http2];

    /// The version as it is written in a response's head, as `HTTP/1.1`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }

    /// Reads a version from such a text; `None` when it is none.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }
}

impl fmt::Display for SpokenVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The head of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResponseHead {
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The headers in order; values that are not text are replaced.
    pub headers: Vec<(String, String)>,
}

/// The times that the phases of an attempt took. A phase that did not happen is zero: a kept-alive
/// connection resolves and connects nothing. The phase in which an attempt failed has the time
/// until it did. The rest of the total went by waiting for a place under the transport's cap on
/// connections, or reading the body.
///
/// In JSON each is a number of milliseconds, with a fraction: `resolve_ms`, `connect_ms`, `tls_ms`,
/// `first_byte_ms`, and `elapsed_ms` for the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Elapsed {
    /// The time of looking up the host's addresses.
    #[serde(rename = "resolve_ms", with = "milliseconds")]
    pub resolve: Duration,
    /// The time of connecting, through a proxy where there is one; or of waiting for another
    /// delivery of the emitter to make a connection that both may share.
    #[serde(rename = "connect_ms", with = "milliseconds")]
    pub connect: Duration,
    /// The time of the TLS handshake.
    #[serde(rename = "tls_ms", with = "milliseconds")]
    pub tls: Duration,
    /// The time from the request's first byte to the response's head.
    #[serde(rename = "first_byte_ms", with = "milliseconds")]
    pub first_byte: Duration,
    /// The time of all, with the bounded read of the body.
    #[serde(rename = "elapsed_ms", with = "milliseconds")]
    pub total: Duration,
}
