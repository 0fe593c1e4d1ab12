//! The port to the receivers.

use std::fmt;
use std::sync::Arc;

use crate::{BoxFuture, ConfigError, EmitterConfig, EmitterId, Event, Outcome, Sequence};

/// One attempt to deliver one event to one emitter's receiver.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Delivery {
    /// The emitter.
    pub emitter: EmitterId,
    /// The event's place in the journal.
    pub sequence: Sequence,
    /// The event.
    pub event: Arc<Event>,
    /// The number of the attempt; the first is 1.
    pub attempt: u32,
    /// True when the response's head and body are wanted also of a success. They are always kept of
    /// a failure.
    pub capture: bool,
}

impl Delivery {
    /// Makes an attempt that wants nothing of a good response but its status.
    pub fn new(emitter: EmitterId, sequence: Sequence, event: Arc<Event>, attempt: u32) -> Self {
        Self { emitter, sequence, event, attempt, capture: false }
    }

    /// Asks for the response's head and body whatever the outcome.
    #[must_use]
    pub fn capturing(mut self, capture: bool) -> Self {
        self.capture = capture;
        self
    }
}

/// Makes sessions with receivers. `bugle-http` implements it over hyper; tests script it.
pub trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Prepares deliveries to one emitter's receiver. No I/O happens here: the session connects
    /// when its first delivery needs it.
    ///
    /// The settings were validated, with [`EmitterConfig::validate`]: the transport judges only the
    /// rest. The runtime calls it each time that an emitter wakes from idleness.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that can't work and says what to do.
    fn open(&self, config: &Arc<EmitterConfig>) -> Result<Box<dyn Session>, ConfigError>;

    /// Finds settings that [`Transport::open`] would refuse, a certificate that can't be read, say.
    ///
    /// It is for callers that open later, and want bad settings refused now. Default: opens a
    /// session and drops it.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that can't work and says what to do.
    fn check(&self, config: &Arc<EmitterConfig>) -> Result<(), ConfigError> {
        self.open(config).map(drop)
    }
}

/// An emitter's way to its receiver. It keeps connections open between deliveries, and gives them
/// up when it is dropped, at once.
pub trait Session: Send + Sync {
    /// Makes one attempt. As many may run at once as the emitter's order allows. Dropping the
    /// future aborts the attempt and closes the connection that it used.
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome>;
}
