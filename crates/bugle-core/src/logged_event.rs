//! The record of events: what was accepted, and whether it has arrived.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{
    Event, EventName, LogError, OrderingKey, PointInTime, RequestId, Sequence, Subscription, page,
};

/// An accepted event, as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoggedEvent {
    /// The event's request id.
    pub id: RequestId,
    /// The event's name, which says what happened, as `invoice.paid`.
    pub name: EventName,
    /// The JSON object that every emitter delivers, byte for byte. In JSON it stands as it is.
    #[serde(serialize_with = "write_payload", deserialize_with = "read_payload")]
    pub payload: Bytes,
    /// The time at which it was emitted.
    pub created: Timestamp,
    /// The key that orders it in emitters with `Order::PerKey`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<OrderingKey>,
    /// The trace that it belongs to, as the header `traceparent` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Its place in the journal.
    pub sequence: Sequence,
    /// True when nothing is left to do for it: no emitter waits for it, and none that gave up on it
    /// keeps it as a dead letter. That is so for an event that no emitter wanted, too, and where it
    /// was dropped; each emitter counts what was dropped there.
    pub is_delivered: bool,
}

impl LoggedEvent {
    /// Makes the row of an event.
    pub fn new(event: &Event, sequence: Sequence, is_delivered: bool) -> Self {
        Self {
            id: event.request_id.clone(),
            name: event.name.clone(),
            payload: event.payload.clone(),
            created: event.emitted_at,
            key: event.key.clone(),
            traceparent: event.trace.as_ref().map(|trace| trace.traceparent.clone()),
            sequence,
            is_delivered,
        }
    }
}

/// Writes a payload as JSON; one that is no JSON, which `emit` never accepts, as text.
fn write_payload<S: Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    match serde_json::from_slice::<&RawValue>(payload) {
        Ok(json) => json.serialize(serializer),
        Err(_) => String::from_utf8_lossy(payload).serialize(serializer),
    }
}

fn read_payload<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let json = Box::<RawValue>::deserialize(deserializer)?;
    Ok(Bytes::from(String::from(Box::<str>::from(json))))
}

/// The events that are asked for. A field that is not set filters nothing, and so does an empty
/// list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventQuery {
    /// Only those emitted at or after this instant.
    pub after: Option<Timestamp>,
    /// Only those emitted before this instant.
    pub before: Option<Timestamp>,
    /// Only those with these request ids.
    pub event_ids: Vec<RequestId>,
    /// Only those of these names, or that these patterns match. Names are not indexed: a store
    /// looks at one event after the other, so a page of a rare name takes as long as there are
    /// events between; an instant or ids beside it bound that.
    pub names: Option<Subscription>,
    /// Only those that are delivered, or that are not: see [`LoggedEvent::is_delivered`].
    pub is_delivered: Option<bool>,
    /// The number of rows: 1 to 100 a page, default 100; any number for a stream, default all.
    pub limit: Option<usize>,
}

impl EventQuery {
    /// Asks for all events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for those emitted at or after this instant, or the start of this date in UTC.
    #[must_use]
    pub fn after<P: PointInTime>(mut self, at: P) -> P::Made<Self> {
        at.make(|instant| {
            self.after = Some(instant);
            self
        })
    }

    /// Asks for those emitted before this instant, or the start of this date in UTC.
    #[must_use]
    pub fn before<P: PointInTime>(mut self, at: P) -> P::Made<Self> {
        at.make(|instant| {
            self.before = Some(instant);
            self
        })
    }

    /// Asks for those with these request ids.
    #[must_use]
    pub fn event_ids(mut self, ids: impl IntoIterator<Item = RequestId>) -> Self {
        self.event_ids = ids.into_iter().collect();
        self
    }

    /// Asks for those that an emitter with this subscription would want.
    #[must_use]
    pub fn names(mut self, names: Subscription) -> Self {
        self.names = Some(names);
        self
    }

    /// Asks for those that are delivered (`true`), or that are not (`false`).
    #[must_use]
    pub fn is_delivered(mut self, is_delivered: bool) -> Self {
        self.is_delivered = Some(is_delivered);
        self
    }

    /// Sets the number of rows.
    #[must_use]
    pub fn limit(mut self, rows: usize) -> Self {
        self.limit = Some(rows);
        self
    }

    /// True when an event is among those asked for, as far as the event itself shows it: all but
    /// whether it is delivered.
    pub fn matches(&self, event: &Event) -> bool {
        self.is_in_time(event.emitted_at)
            && (self.event_ids.is_empty() || self.event_ids.contains(&event.request_id))
            && self.names.as_ref().is_none_or(|names| names.matches(&event.name))
    }

    /// True when an event that was emitted then may be among those asked for.
    pub fn is_in_time(&self, emitted_at: Timestamp) -> bool {
        self.after.is_none_or(|after| emitted_at >= after)
            && self.before.is_none_or(|before| emitted_at < before)
    }

    /// The number of rows that a page of this query has.
    ///
    /// # Errors
    /// [`LogError::Limit`] when it is not from 1 to 100.
    pub fn page_limit(&self) -> Result<usize, LogError> {
        page::check_limit(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_written_as_json_and_read_back() {
        let event = Event::new(
            EventName::new("invoice.paid").unwrap(),
            RequestId::new("7").unwrap(),
            Bytes::from_static(br#"{"b":1.50,"a":12345678901234567890123}"#),
            Timestamp::UNIX_EPOCH,
        );
        let row = LoggedEvent::new(&event, Sequence(3), false);
        let json = serde_json::to_string(&row).unwrap();
        assert_eq!(
            json,
            r#"{"id":"7","name":"invoice.paid","payload":{"b":1.50,"a":12345678901234567890123},"#
                .to_owned()
                + r#""created":"1970-01-01T00:00:00Z","sequence":3,"is_delivered":false}"#
        );
        assert_eq!(serde_json::from_str::<LoggedEvent>(&json).unwrap(), row);
    }
}
