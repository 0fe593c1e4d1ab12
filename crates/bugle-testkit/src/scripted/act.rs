//! The scripted result of one attempt.

use std::time::Duration;

use bugle_core::{Advice, AttemptCode, EmitterConfig, Exchange, Failure, Outcome};

/// The scripted result of one attempt through a [`ScriptedTransport`](crate::ScriptedTransport).
#[derive(Debug, Clone)]
#[must_use]
pub struct Act {
    pub(super) latency: Duration,
    pub(super) kind: ActKind,
}

#[derive(Debug, Clone)]
pub(super) enum ActKind {
    Status { status: u16, retry_after: Option<Duration> },
    Outcome(Box<Outcome>),
    Hang,
    Panic,
}

impl Act {
    /// The receiver answers 204.
    pub fn deliver() -> Self {
        Self::status(204)
    }

    /// The receiver answers with this status: 200 to 299 is a delivery, 410 is Gone, and anything
    /// else is a failure that is worth another attempt.
    pub fn status(status: u16) -> Self {
        Self::of(ActKind::Status { status, retry_after: None })
    }

    /// The receiver answers 429, and asks the sender to wait this long.
    pub fn retry_after(delay: Duration) -> Self {
        Self::of(ActKind::Status { status: 429, retry_after: Some(delay) })
    }

    /// The receiver answers 410: it wants no more events.
    pub fn gone() -> Self {
        Self::status(410)
    }

    /// The connection is refused.
    pub fn refuse() -> Self {
        Self::fail(Failure::new(AttemptCode::BadConnection, "connection refused"))
    }

    /// The attempt fails in this way.
    pub fn fail(failure: Failure) -> Self {
        Self::outcome(Outcome::failed(failure, Exchange::default()))
    }

    /// The attempt has this outcome.
    pub fn outcome(outcome: Outcome) -> Self {
        Self::of(ActKind::Outcome(Box::new(outcome)))
    }

    /// The receiver never answers: the attempt ends at the emitter's `request_timeout`.
    pub fn hang() -> Self {
        Self::of(ActKind::Hang)
    }

    /// The transport panics, as a bug in it would.
    pub fn panic() -> Self {
        Self::of(ActKind::Panic)
    }

    fn of(kind: ActKind) -> Self {
        Self { latency: Duration::ZERO, kind }
    }

    /// Lets this much time pass first, by the clock of the test. Default: none.
    pub fn after(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Plays the act to its end.
    pub(super) async fn play(self, config: &EmitterConfig) -> Outcome {
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        match self.kind {
            ActKind::Status { status, retry_after } => answered(status, retry_after, config),
            ActKind::Outcome(outcome) => *outcome,
            ActKind::Hang => std::future::pending().await,
            #[allow(clippy::panic, reason = "it is what the script asks for")]
            ActKind::Panic => panic!("the script says that this attempt panics"),
        }
    }
}

fn answered(status: u16, retry_after: Option<Duration>, config: &EmitterConfig) -> Outcome {
    let mut exchange = Exchange::default();
    exchange.status = Some(status);
    if (200..300).contains(&status) {
        return Outcome::delivered(exchange);
    }
    let advice = match retry_after {
        Some(delay) => Advice::RetryAfter(delay.min(config.retry_after_limit)),
        None if status == 410 => Advice::Gone,
        None => Advice::Retry,
    };
    let message = format!("HTTP POST request returned status {status}");
    Outcome::failed(Failure::new(AttemptCode::BadHttpStatus, message).advising(advice), exchange)
}

/// The outcome of an attempt whose deadline has passed.
pub(super) fn timed_out(config: &EmitterConfig) -> Outcome {
    let message = format!("no response within {:?}", config.request_timeout);
    Outcome::failed(Failure::new(AttemptCode::Timeout, message), Exchange::default())
}
