//! Events that waited too long.

use std::sync::Arc;

use crate::{EmitterId, EventName, RequestId, Sequence};

/// An event that waited for an emitter longer than its store lets events wait, and was dropped
/// there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expired {
    /// The emitter.
    pub emitter: EmitterId,
    /// The event's place in the journal.
    pub sequence: Sequence,
    /// The event's name.
    pub name: EventName,
    /// The event's request id.
    pub request_id: RequestId,
}

impl Expired {
    /// Makes the record of an event that was dropped at one emitter.
    pub fn new(
        emitter: EmitterId,
        sequence: Sequence,
        name: EventName,
        request_id: RequestId,
    ) -> Self {
        Self { emitter, sequence, name, request_id }
    }
}

/// Receives each event that is dropped because it waited too long. It is called by whoever drops,
/// so it returns soon and does not panic.
pub type OnExpired = Arc<dyn Fn(Expired) + Send + Sync>;
