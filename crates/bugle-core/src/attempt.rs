//! The record of attempts: why a receiver did not get its events.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    AttemptCode, Delivery, Elapsed, EmitterId, EventName, LogError, Outcome, PointInTime,
    RequestId, ResponseHead, Sequence, SpokenVersion, page,
};

/// The unique id of an attempt, which its log gives it: a text that says nothing to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AttemptId(u64);

impl AttemptId {
    /// The id of a number, for the log that gave it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number, for the log that gave it.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<AttemptId> for String {
    fn from(id: AttemptId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for AttemptId {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// One try of a delivery, as the log keeps it. `id`, `code`, `message`, `event_id`, `webhook_id`
/// and `created` are StarkInfra's six fields, under their names; the rest is Bugle's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Attempt {
    /// The attempt's id.
    pub id: AttemptId,
    /// The kind of failure; absent when it was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<AttemptCode>,
    /// The failure in words; empty when it was delivered.
    pub message: String,
    /// The event's request id.
    pub event_id: RequestId,
    /// The emitter's id.
    pub webhook_id: EmitterId,
    /// The time at which the attempt ended.
    pub created: Timestamp,
    /// The event's name.
    pub event_name: EventName,
    /// The event's place in the journal.
    pub sequence: Sequence,
    /// The number of the attempt in its delivery; the first is 1.
    pub attempt: u32,
    /// The response's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_to: Option<std::net::SocketAddr>,
    /// The version of HTTP that was spoken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_version: Option<SpokenVersion>,
    /// The time that each phase took. In JSON the phases stand beside the other fields, as
    /// `elapsed_ms` and the rest.
    #[serde(flatten)]
    pub elapsed: Elapsed,
    /// The response's head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<ResponseHead>,
    /// The first part of the response's body, as text; bytes that are not UTF-8 are replaced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// True when the body was longer than the emitter's limit; the rest was not read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub body_cut: bool,
}

/// An attempt that the log has yet to number.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NewAttempt {
    /// The delivery that was tried.
    pub delivery: Delivery,
    /// The outcome of the attempt.
    pub outcome: Outcome,
    /// The time at which it ended.
    pub created: Timestamp,
}

impl NewAttempt {
    /// Makes the record of an attempt that has just ended.
    pub fn new(delivery: Delivery, outcome: Outcome, created: Timestamp) -> Self {
        Self { delivery, outcome, created }
    }

    /// Gives the attempt the number that the log chose for it.
    pub fn numbered(self, id: AttemptId) -> Attempt {
        let Self { delivery, outcome, created } = self;
        let (code, message) = match outcome.failure {
            Some(failure) => (Some(failure.code), failure.message.into_owned()),
            None => (None, String::new()),
        };
        Attempt {
            id,
            code,
            message,
            event_id: delivery.event.request_id.clone(),
            webhook_id: delivery.emitter,
            created,
            event_name: delivery.event.name.clone(),
            sequence: delivery.sequence,
            attempt: delivery.attempt,
            status: outcome.exchange.status,
            connected_to: outcome.exchange.connected_to,
            http_version: outcome.exchange.http_version,
            elapsed: outcome.exchange.elapsed,
            head: outcome.exchange.head.map(|head| *head),
            body: String::from_utf8_lossy(&outcome.exchange.body).into_owned(),
            body_cut: outcome.exchange.body_cut,
        }
    }
}

/// The attempts that a log keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptLogPolicy {
    /// The failed ones. The default.
    #[default]
    Failures,
    /// The successful ones too.
    All,
}

/// The attempts that are asked for. An empty list filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptQuery {
    /// Only those made at or after this instant.
    pub after: Option<Timestamp>,
    /// Only those made before this instant.
    pub before: Option<Timestamp>,
    /// Only those of these events.
    pub event_ids: Vec<RequestId>,
    /// Only those of these emitters. With events too, the events' attempts are found first, so it
    /// takes as long as these have attempts at all emitters.
    pub webhook_ids: Vec<EmitterId>,
    /// The number of rows: 1 to 100 a page, default 100; any number for a stream, default all.
    pub limit: Option<usize>,
}

impl AttemptQuery {
    /// Asks for all attempts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for those made at or after this instant, or the start of this date in UTC.
    #[must_use]
    pub fn after<P: PointInTime>(mut self, at: P) -> P::Made<Self> {
        at.make(|instant| {
            self.after = Some(instant);
            self
        })
    }

    /// Asks for those made before this instant, or the start of this date in UTC.
    #[must_use]
    pub fn before<P: PointInTime>(mut self, at: P) -> P::Made<Self> {
        at.make(|instant| {
            self.before = Some(instant);
            self
        })
    }

    /// Asks for those of these events.
    #[must_use]
    pub fn event_ids(mut self, ids: impl IntoIterator<Item = RequestId>) -> Self {
        self.event_ids = ids.into_iter().collect();
        self
    }

    /// Asks for those of these emitters.
    #[must_use]
    pub fn webhook_ids(mut self, ids: impl IntoIterator<Item = EmitterId>) -> Self {
        self.webhook_ids = ids.into_iter().collect();
        self
    }

    /// Sets the number of rows.
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// True when an attempt is among those asked for.
    pub fn matches(&self, attempt: &Attempt) -> bool {
        self.after.is_none_or(|after| attempt.created >= after)
            && self.before.is_none_or(|before| attempt.created < before)
            && (self.event_ids.is_empty() || self.event_ids.contains(&attempt.event_id))
            && (self.webhook_ids.is_empty() || self.webhook_ids.contains(&attempt.webhook_id))
    }

    /// The number of rows that a page of this query has.
    ///
    /// # Errors
    /// [`LogError::Limit`] when it is not from 1 to 100.
    pub fn page_limit(&self) -> Result<usize, LogError> {
        page::check_limit(self.limit)
    }
}
