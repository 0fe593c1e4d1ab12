//! The lane: case by case, and against a simulated world. Hours of retries pass in milliseconds,
//! because time is only a number.

#![allow(clippy::unwrap_used, clippy::panic)]

mod cases;
mod promises;

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Advice, AttemptCode, Entry, Event, EventName, Exchange, Failure, OrderingKey, Outcome,
    RequestId, Sequence,
};
use bytes::Bytes;
use jiff::Timestamp;

/// The ways in which a receiver treats one attempt.
#[derive(Debug, Clone, Copy)]
enum Act {
    Deliver,
    Fail,
    RetryAfter(u64),
    GiveUp,
    Crash,
    /// Surely not processed, or this machine is short of something.
    Uncounted,
}

fn outcome(act: Act) -> Outcome {
    let failed = |code, advice| {
        let failure = Failure::new(code, "as scripted").advising(advice);
        Outcome::failed(failure, Exchange::default())
    };
    match act {
        Act::Deliver => Outcome::delivered(Exchange::default()),
        Act::Fail => failed(AttemptCode::BadHttpStatus, Advice::Retry),
        Act::RetryAfter(seconds) => {
            let after = Advice::RetryAfter(Duration::from_secs(seconds));
            failed(AttemptCode::BadHttpStatus, after)
        }
        Act::GiveUp => failed(AttemptCode::BlockedDestination, Advice::GiveUp),
        Act::Crash => failed(AttemptCode::Crashed, Advice::Retry),
        Act::Uncounted => failed(AttemptCode::Shortage, Advice::Uncounted),
    }
}

fn entry(sequence: u64, key: Option<&str>) -> Entry {
    let event = Event::new(
        EventName::new("a").unwrap(),
        RequestId::new(sequence.to_string()).unwrap(),
        Bytes::from_static(b"{}"),
        Timestamp::UNIX_EPOCH,
    )
    .key(key.map(|key| OrderingKey::new(key).unwrap()));
    Entry::new(Sequence(sequence), Arc::new(event))
}

const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(3600);
