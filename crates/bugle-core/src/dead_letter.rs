//! Dead letters: the events that emitters gave up on.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::de::{self, Deserializer};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    AttemptCode, EmitterId, Entry, Event, EventName, LogError, OrderingKey, PointInTime, RequestId,
    Sequence, Subscription, TraceContext, page,
};

/// The unique id of a dead letter, which its store gives it: a text that says nothing to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeadLetterId(u64);

impl DeadLetterId {
    /// The id of a number, for the store that gave it.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number, for the store that gave it.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<DeadLetterId> for String {
    fn from(id: DeadLetterId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for DeadLetterId {
    type Error = std::num::ParseIntError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// An event that an emitter gave up on.
///
/// In JSON it has the names of [`Attempt`](crate::Attempt) where both have the same thing
/// (`webhook_id` is the emitter, `event_id` the request id), and its payload is JSON too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The dead letter's id, which the store gives it; 0 before.
    pub id: DeadLetterId,
    /// The emitter that gave up.
    pub emitter: EmitterId,
    /// The place in the journal at which the emitter read it.
    pub sequence: Sequence,
    /// The event's first place in the journal: `sequence`, unless the emitter gave up on a replay.
    pub origin: Sequence,
    /// The event itself, ready to be delivered again.
    pub event: Arc<Event>,
    /// The last attempt's code.
    pub code: AttemptCode,
    /// The last attempt's message.
    pub message: String,
    /// The number of attempts that were made.
    pub attempts: u32,
    /// The time at which it was given up.
    pub created: Timestamp,
}

impl DeadLetter {
    /// Makes the dead letter of an event that an emitter gave up on.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        emitter: EmitterId,
        entry: &Entry,
        code: AttemptCode,
        message: impl Into<String>,
        attempts: u32,
        created: Timestamp,
    ) -> Self {
        Self {
            id: DeadLetterId(0),
            emitter,
            sequence: entry.sequence,
            origin: entry.sequence,
            event: Arc::clone(&entry.event),
            code,
            message: message.into(),
            attempts,
            created,
        }
    }

    /// Gives the dead letter the number that the journal chose for it, and the first place of its
    /// event.
    #[must_use]
    pub fn numbered(mut self, id: DeadLetterId, origin: Sequence) -> Self {
        self.id = id;
        self.origin = origin;
        self
    }

    /// The event's name.
    pub fn name(&self) -> &EventName {
        &self.event.name
    }

    /// The event's request id.
    pub fn request_id(&self) -> &RequestId {
        &self.event.request_id
    }
}

/// A dead letter as JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    id: DeadLetterId,
    code: AttemptCode,
    message: String,
    event_id: RequestId,
    webhook_id: EmitterId,
    created: Timestamp,
    event_name: EventName,
    sequence: Sequence,
    origin: Sequence,
    attempts: u32,
    emitted_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<OrderingKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<TraceContext>,
    payload: Box<RawValue>,
}

impl Serialize for DeadLetter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            id: self.id,
            code: self.code,
            message: self.message.clone(),
            event_id: self.event.request_id.clone(),
            webhook_id: self.emitter.clone(),
            created: self.created,
            event_name: self.event.name.clone(),
            sequence: self.sequence,
            origin: self.origin,
            attempts: self.attempts,
            emitted_at: self.event.emitted_at,
            key: self.event.key.clone(),
            trace: self.event.trace.as_deref().cloned(),
            payload: as_json(&self.event.payload).map_err(serde::ser::Error::custom)?,
        };
        written.serialize(serializer)
    }
}

/// Writes a payload as it is, since it is JSON; another journal's might not be, and becomes a
/// string.
fn as_json(payload: &[u8]) -> serde_json::Result<Box<RawValue>> {
    serde_json::from_slice(payload)
        .or_else(|_| serde_json::value::to_raw_value(&String::from_utf8_lossy(payload)))
}

impl<'de> Deserialize<'de> for DeadLetter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let it = Written::deserialize(deserializer)?;
        let payload = Bytes::copy_from_slice(it.payload.get().as_bytes());
        if !it.payload.get().starts_with('{') {
            return Err(de::Error::custom("the payload is a JSON object"));
        }
        let event = Event::new(it.event_name, it.event_id, payload, it.emitted_at)
            .key(it.key)
            .trace(it.trace);
        Ok(Self {
            id: it.id,
            emitter: it.webhook_id,
            sequence: it.sequence,
            origin: it.origin,
            event: Arc::new(event),
            code: it.code,
            message: it.message,
            attempts: it.attempts,
            created: it.created,
        })
    }
}

/// The dead letters that are asked for. An empty list filters nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetterQuery {
    /// Only those given up at or after this instant.
    pub after: Option<Timestamp>,
    /// Only those given up before this instant.
    pub before: Option<Timestamp>,
    /// Only those of these emitters.
    pub emitter_ids: Vec<EmitterId>,
    /// Only those of these events.
    pub event_ids: Vec<RequestId>,
    /// Only those whose event's name this matches.
    pub names: Option<Subscription>,
    /// Only those whose last attempt failed with one of these.
    pub codes: Vec<AttemptCode>,
    /// The number of rows: 1 to 100 a page, default 100; any number for a stream, default all.
    pub limit: Option<usize>,
}

impl DeadLetterQuery {
    /// Asks for all dead letters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for those given up at or after this instant, or the start of this date in UTC.
    #[must_use]
    pub fn after<P: PointInTime>(mut self, at: P) -> P::Made<Self> {
        at.make(|instant| {
            self.after = Some(instant);
            self
        })
    }

    /// Asks for those given up before this instant, or the start of this date in UTC.
    #[must_use]
    pub fn before<P: PointInTime>(mut self, at: P) -> P::Made<Self> {
        at.make(|instant| {
            self.before = Some(instant);
            self
        })
    }

    /// Asks for those of these emitters.
    #[must_use]
    pub fn emitter_ids(mut self, ids: impl IntoIterator<Item = EmitterId>) -> Self {
        self.emitter_ids = ids.into_iter().collect();
        self
    }

    /// Asks for those of these events.
    #[must_use]
    pub fn event_ids(mut self, ids: impl IntoIterator<Item = RequestId>) -> Self {
        self.event_ids = ids.into_iter().collect();
        self
    }

    /// Asks for those whose event's name is among these names and patterns.
    #[must_use]
    pub fn names(mut self, names: Subscription) -> Self {
        self.names = Some(names);
        self
    }

    /// Asks for those whose last attempt failed with one of these.
    #[must_use]
    pub fn codes(mut self, codes: impl IntoIterator<Item = AttemptCode>) -> Self {
        self.codes = codes.into_iter().collect();
        self
    }

    /// Sets the number of rows.
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// True when a dead letter is among those asked for.
    pub fn matches(&self, letter: &DeadLetter) -> bool {
        self.fits(letter.created, letter.code)
            && (self.emitter_ids.is_empty() || self.emitter_ids.contains(&letter.emitter))
            && (self.event_ids.is_empty() || self.event_ids.contains(letter.request_id()))
            && self.names.as_ref().is_none_or(|names| names.matches(letter.name()))
    }

    /// True when one that was given up then, for this reason, may be among those asked for: the
    /// judgement that needs no event.
    pub fn fits(&self, created: Timestamp, code: AttemptCode) -> bool {
        self.after.is_none_or(|after| created >= after)
            && self.before.is_none_or(|before| created < before)
            && (self.codes.is_empty() || self.codes.contains(&code))
    }

    /// The number of rows that a page of this query has.
    ///
    /// # Errors
    /// [`LogError::Limit`] when it is not from 1 to 100.
    pub fn page_limit(&self) -> Result<usize, LogError> {
        page::check_limit(self.limit)
    }
}
