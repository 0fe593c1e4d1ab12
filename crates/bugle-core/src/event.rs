//! Events, as they are stored and delivered.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{EventName, OrderingKey, RequestId};

/// One accepted event. It is made once, at `emit`, and shared by every delivery of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The event's name, which says what happened, as `invoice.paid`.
    pub name: EventName,
    /// The id that every emitter delivers it under.
    pub request_id: RequestId,
    /// The JSON object, encoded once at `emit`: the body of every request.
    pub payload: Bytes,
    /// The key that orders the event in emitters with `Order::PerKey`; `None` orders it with none.
    pub key: Option<OrderingKey>,
    /// The trace that the event belongs to, if any.
    pub trace: Option<Box<TraceContext>>,
    /// The time at which it was emitted.
    pub emitted_at: Timestamp,
}

impl Event {
    /// Makes an event without a key or a trace.
    pub fn new(
        name: EventName,
        request_id: RequestId,
        payload: Bytes,
        emitted_at: Timestamp,
    ) -> Self {
        Self { name, request_id, payload, key: None, trace: None, emitted_at }
    }

    /// Sets the ordering key.
    #[must_use]
    pub fn key(mut self, key: Option<OrderingKey>) -> Self {
        self.key = key;
        self
    }

    /// Sets the trace context.
    #[must_use]
    pub fn trace(mut self, trace: Option<TraceContext>) -> Self {
        self.trace = trace.map(Box::new);
        self
    }
}

/// A W3C trace context, as its two headers carry it (<https://www.w3.org/TR/trace-context/>).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TraceContext {
    /// `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`.
    pub traceparent: String,
    /// The vendors' list, at most 512 bytes.
    pub tracestate: Option<String>,
}

impl TraceContext {
    /// Checks a `traceparent` header's value.
    ///
    /// # Errors
    /// [`crate::IdError`] when it is not of the form `00-<trace id>-<parent id>-<flags>` in
    /// lower-case hex digits, or when one of its ids is all zeros.
    pub fn new(traceparent: impl Into<String>) -> Result<Self, crate::IdError> {
        let traceparent = traceparent.into();
        if is_traceparent(&traceparent) {
            return Ok(Self { traceparent, tracestate: None });
        }
        Err(crate::IdError::new(
            "traceparent",
            &traceparent,
            "it reads 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, and no id is all zeros",
        ))
    }

    /// Adds the vendors' list.
    ///
    /// # Errors
    /// [`crate::IdError`] when it is longer than 512 bytes or is not printable ASCII.
    pub fn tracestate(mut self, tracestate: impl Into<String>) -> Result<Self, crate::IdError> {
        let tracestate = tracestate.into();
        let printable = tracestate.bytes().all(|byte| (0x20..0x7f).contains(&byte));
        if tracestate.len() > 512 || !printable {
            return Err(crate::IdError::new(
                "tracestate",
                &tracestate,
                "it has at most 512 bytes of printable ASCII",
            ));
        }
        self.tracestate = Some(tracestate);
        Ok(self)
    }
}

fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let hex = |part: &str, length: usize| {
        part.len() == length
            && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    matches!(parts.as_slice(), [version, trace, parent, flags]
        if *version == "00" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2)
            && !zero(trace) && !zero(parent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_checked() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert!(TraceContext::new(good).is_ok());
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx: y",
        ] {
            assert!(TraceContext::new(bad).is_err(), "{bad}");
        }
    }
}
