//! One row on its way into the journal.

use bugle::EmitOptions;
use serde_json::value::RawValue;

use crate::audit::Changed;

/// A row's place in its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    id: String,
    position: Option<i64>,
}

impl Place {
    pub(super) fn new(id: String, position: Option<i64>) -> Self {
        Self { id, position }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn position(&self) -> Option<i64> {
        self.position
    }
}

/// A row: its place, and its event, or the reason why it can't be one.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) event: Result<(String, Content, EmitOptions), String>,
}

/// The content of an event.
#[derive(Debug)]
pub(super) enum Content {
    /// A change of a record.
    Change(Box<Changed>),
    /// A JSON text.
    Payload(String),
}

impl Entry {
    pub(super) fn new(place: Place, event: Result<(String, Content, EmitOptions), String>) -> Self {
        Self { place, event }
    }

    /// The memory that it takes, in bytes, about.
    pub(super) fn bytes(&self) -> usize {
        let content = match &self.event {
            Ok((_, Content::Change(changed), _)) => changed.bytes(),
            Ok((_, Content::Payload(payload), _)) => payload.len(),
            Err(_) => 0,
        };
        content + 256
    }
}

/// A payload that is passed on as it stands.
pub(super) fn verbatim(json: &str) -> Result<&RawValue, String> {
    serde_json::from_str(json).map_err(|error| format!("the payload is not JSON: {error}"))
}
