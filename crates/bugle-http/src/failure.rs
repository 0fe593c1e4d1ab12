//! Failures, in words.

use std::borrow::Cow;
use std::error::Error as _;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bugle_core::{
    Advice, AttemptCode, Blocked, Elapsed, Exchange, Failure, Outcome, SpokenVersion,
};
use tokio::time::Instant;

use crate::causes::{find, joined};
use crate::shortage::{Of, Shortage};

/// The progress of an attempt, for the message of a deadline that passes and for the attempt's
/// record. The dial writes it; it is read when the dial is done or dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    step: Step,
    /// The start of the step.
    since: Instant,
    elapsed: Elapsed,
    pub(crate) connected_to: Option<SocketAddr>,
    pub(crate) http_version: Option<SpokenVersion>,
    /// The number of times that the request was made again, uncounted.
    pub(crate) made_again: u32,
}

impl Progress {
    /// Begins an attempt.
    pub(crate) fn begin(now: Instant) -> Self {
        Self {
            step: Step::default(),
            since: now,
            elapsed: Elapsed::default(),
            connected_to: None,
            http_version: None,
            made_again: 0,
        }
    }

    /// The step that the attempt is waiting in.
    pub(crate) fn step(&self) -> Step {
        self.step
    }

    /// Ends the current step, and begins the next one.
    pub(crate) fn enter(&mut self, step: Step) {
        let now = Instant::now();
        let took = now - self.since;
        match self.step {
            Step::Resolve => self.elapsed.resolve += took,
            Step::Connect | Step::ReachProxy | Step::Proxy => self.elapsed.connect += took,
            Step::Tls => self.elapsed.tls += took,
            // From its first byte on, the exchange measures itself.
            Step::Slot | Step::FirstByte | Step::Respond => {}
        }
        (self.step, self.since) = (step, now);
    }

    /// The record of the exchange so far, however the attempt ends.
    pub(crate) fn into_exchange(mut self) -> Exchange {
        self.enter(self.step);
        let mut exchange = Exchange::default();
        exchange.connected_to = self.connected_to;
        exchange.http_version = self.http_version;
        exchange.elapsed = self.elapsed;
        exchange.made_again = self.made_again;
        exchange
    }
}

/// A step of an attempt, in which it waits for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Step {
    #[default]
    Slot,
    Resolve,
    Connect,
    ReachProxy,
    Proxy,
    Tls,
    /// Waits for the first byte of the response.
    FirstByte,
    Respond,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slot => "waiting for a place under the transport's cap on open connections",
            Self::Resolve => "resolving the receiver's name",
            Self::Connect => "connecting",
            Self::ReachProxy => "connecting to the proxy",
            Self::Proxy => "waiting for the proxy",
            Self::Tls => "waiting for the TLS handshake",
            Self::FirstByte | Self::Respond => "waiting for the response",
        })
    }
}

/// A connection could not be made.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The guard allows none of the receiver's addresses; `blocked` is one of them.
    Blocked { host: String, blocked: Blocked },
    /// This machine is short of something.
    Short(Shortage),
    /// The receiver can't be reached; the reason, in words.
    Failed(String),
}

impl From<Shortage> for DialError {
    fn from(shortage: Shortage) -> Self {
        Self::Short(shortage)
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Blocked { host, blocked } => blocked_destination(&host, &blocked),
            DialError::Short(shortage) => shortage.into(),
            DialError::Failed(message) => Self::new(AttemptCode::BadConnection, message),
        }
    }
}

fn blocked_destination(host: &str, blocked: &Blocked) -> Failure {
    let address = blocked.address.to_string();
    let subject =
        if host.trim_matches(['[', ']']) == address { String::new() } else { format!("{host}: ") };
    Failure::new(AttemptCode::BlockedDestination, format!("{subject}{blocked}"))
        .advising(Advice::GiveUp)
}

/// An exchange on an open connection brought no response.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The request was surely not processed, and may go to another connection; the reason.
    Unsent(Cow<'static, str>),
    /// Some of the request was written, and the connection ended before the first byte of an
    /// answer; the reason. Usually, the receiver had closed a kept connection and read nothing.
    Silent(Cow<'static, str>),
    /// The receiver refused the request without processing it, and the connection stays open; the
    /// reason.
    Refused(Cow<'static, str>),
    /// No stream of a shared connection came free within the allowed wait.
    Crowded,
    /// The deadline passed.
    Late(Step),
    /// The connection failed.
    Connection(Cow<'static, str>),
}

impl Broken {
    /// True when the request was surely not processed.
    pub(crate) fn is_unprocessed(&self) -> bool {
        matches!(self, Self::Unsent(_) | Self::Refused(_))
    }

    /// True when no byte of an answer came.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Late(Step::FirstByte))
    }

    pub(crate) fn into_failure(self, timeout: Duration) -> Failure {
        match self {
            Self::Late(step) => late(step, timeout),
            Self::Crowded => Failure::new(
                AttemptCode::Timeout,
                "no stream of the connection that the emitter's deliveries share came free",
            )
            .advising(Advice::Uncounted),
            Self::Unsent(message)
            | Self::Silent(message)
            | Self::Refused(message)
            | Self::Connection(message) => Failure::new(AttemptCode::BadConnection, message),
        }
    }
}

/// The failure of a deadline that passed. When the attempt was waiting for something of our own, it
/// does not count.
pub(crate) fn late(step: Step, timeout: Duration) -> Failure {
    let of = match step {
        Step::Slot => Some(Of::Places),
        Step::Resolve => Some(Of::Resolver),
        Step::ReachProxy => Some(Of::Proxy),
        _ => None,
    };
    if let Some(of) = of {
        return Shortage::new(of, format!("{timeout:?} passed while {step}")).into();
    }
    Failure::new(AttemptCode::Timeout, format!("the deadline of {timeout:?} passed while {step}"))
}

/// Describes an error of hyper in words.
pub(crate) fn describe_hyper(error: &hyper::Error) -> Cow<'static, str> {
    if error.is_incomplete_message() {
        return "the receiver closed the connection before it answered".into();
    }
    let cause = joined(error);
    if error.is_parse() {
        return format!("the receiver's answer is not HTTP: {cause}").into();
    }
    match error.source() {
        Some(source) => match find::<io::Error>(source) {
            Some(io) => describe_io(io).into(),
            None => cause.into(),
        },
        None => format!("the connection failed: {cause}").into(),
    }
}

/// Describes an I/O error in words.
pub(crate) fn describe_io(error: &io::Error) -> String {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::ConnectionRefused => "the connection was refused".to_owned(),
        Kind::ConnectionReset => "the receiver reset the connection".to_owned(),
        Kind::BrokenPipe | Kind::ConnectionAborted | Kind::UnexpectedEof => {
            "the connection was closed early".to_owned()
        }
        Kind::TimedOut => "the network gave up connecting (timed out)".to_owned(),
        _ => joined(error),
    }
}

/// The failure of an attempt that could not be signed: it is never sent without its signature.
pub(crate) fn unsigned() -> Outcome {
    let message = "every key of this emitter has expired, so that the request would have gone out \
                   unsigned: give it a new key with update";
    Outcome::failed(Failure::new(AttemptCode::Unsigned, message), Exchange::default())
}
