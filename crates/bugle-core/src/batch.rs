//! Events that are appended together, with the position of their source.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Event, IdError, Position, SourceId};

/// Events that a journal appends all together or not at all, with the position that their source
/// has once they are in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Batch {
    /// The events, in the order in which they are appended.
    pub events: Vec<Arc<Event>>,
    /// The source's position once they are in. Without one, no position changes.
    pub position: Option<SourcePosition>,
}

impl Batch {
    /// Makes a batch of events that belong together, without a position.
    pub fn new(events: Vec<Arc<Event>>) -> Self {
        Self { events, position: None }
    }

    /// Sets the position that the source has once these events are in.
    #[must_use]
    pub fn position(mut self, position: Option<SourcePosition>) -> Self {
        self.position = position;
        self
    }

    /// True when appending it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.position.is_none()
    }
}

/// The position up to which a source was read: everything before it was accepted, and nothing
/// behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SourcePosition {
    /// The source's id.
    pub source: SourceId,
    /// The position, in the source's own words.
    pub position: Position,
}

impl SourcePosition {
    /// Checks the two and puts them together.
    ///
    /// # Errors
    /// [`IdError`]: a source id has 1 to 256 bytes and no control characters, a position at most
    /// 1,024 bytes.
    pub fn new(source: impl AsRef<str>, position: impl AsRef<str>) -> Result<Self, IdError> {
        Ok(Self { source: SourceId::new(source)?, position: Position::new(position)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_and_its_position_are_checked() {
        for (source, position) in
            [("orders.ndjson", ""), ("a/b, c", "17"), ("x", &"9".repeat(1024))]
        {
            assert!(SourcePosition::new(source, position).is_ok(), "{source} {position}");
        }
        for (source, position) in [("", "1"), ("a\nb", "1"), ("x", &*"9".repeat(1025))] {
            assert!(SourcePosition::new(source, position).is_err(), "{source} {position}");
        }
    }
}
