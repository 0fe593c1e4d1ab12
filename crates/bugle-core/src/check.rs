//! The port to the judge of events before they are accepted.

use std::fmt;

use crate::EventName;

/// Judges events before they are stored: names may be unknown, and payloads may lack fields.
/// `bugle-events` implements it with its registry of event types.
pub trait EventCheck: Send + Sync + fmt::Debug + 'static {
    /// Judges one event by its name and its encoded payload. It is on the way of every `emit`.
    ///
    /// # Errors
    /// [`Refused`] says why, to the caller of `emit`. Nothing is stored then.
    fn check(&self, name: &EventName, payload: &[u8]) -> Result<(), Refused>;
}

impl EventCheck for Box<dyn EventCheck> {
    fn check(&self, name: &EventName, payload: &[u8]) -> Result<(), Refused> {
        (**self).check(name, payload)
    }
}

/// The reason why an event is not accepted, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

impl Refused {
    /// A name for the kind of error that stays the same from version to version: `eventRefused`.
    pub fn code(&self) -> &'static str {
        "eventRefused"
    }

    /// Refuses an event for this reason.
    pub fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}
