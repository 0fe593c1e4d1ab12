//! Resthooks: named hooks that receivers subscribe to, until they answer 410.

use bugle_core::{ConfigError, EmitterConfig, EmitterId, EventName, Gone, IdError};
use bugle_events::Json;
use bugle_events::flow::ResthookCalled;
use bugle_runtime::{
    AttachError, ControlError, EmitBatch, EmitError, EmitOptions, Receipt, Runtime,
};
use serde::Serialize;

use super::EmitEventBatch as _;

/// The events of resthooks are named `resthook.NAME`.
const PREFIX: &str = "resthook.";

/// The name of the resthook that an event belongs to; `None` for any other event.
pub(crate) fn of(event: &EventName) -> Option<&str> {
    event.as_str().strip_prefix(PREFIX)
}

/// Named hooks. A receiver subscribes to a hook; a call of the hook delivers its payload to every
/// subscriber, and is recorded as a `resthook_called` event whether there are any or not. A
/// subscriber that answers 410 is removed.
///
/// Subscribers are emitters: each has its queue, its retries and its attempts.
#[derive(Debug, Clone)]
pub struct Resthooks {
    runtime: Runtime,
}

/// A resthook was not called, or not subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResthookError {
    /// The name can't be that of a resthook.
    #[error(transparent)]
    Name(#[from] IdError),
    /// The subscriber was not attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// The call was not accepted.
    #[error(transparent)]
    Emit(#[from] EmitError),
    /// The payload can't be written as JSON.
    #[error("the payload can't be written as JSON: {0}: correct that part")]
    Payload(String),
}

impl ResthookError {
    /// A name for the kind of error that stays the same from version to version, as
    /// `invalidEventName`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(error) => error.code(),
            Self::Attach(error) => error.code(),
            Self::Emit(error) => error.code(),
            Self::Payload(_) => "payloadNotEncodable",
        }
    }
}

impl From<ConfigError> for ResthookError {
    fn from(error: ConfigError) -> Self {
        Self::Attach(error.into())
    }
}

impl Resthooks {
    /// Makes the resthooks of a runtime.
    pub fn new(runtime: &Runtime) -> Self {
        Self { runtime: runtime.clone() }
    }

    /// Subscribes a receiver to a resthook. A resthook's name consists of tokens of `[A-Za-z0-9_-]`
    /// joined by dots. Returns the id of the subscriber's emitter, `resthook/NAME/SUBSCRIBER`.
    ///
    /// A 410 detaches it, whatever the configuration says.
    ///
    /// # Errors
    /// [`ResthookError`]; nothing was changed then.
    pub async fn subscribe(
        &self,
        resthook: &str,
        subscriber: &str,
        config: EmitterConfig,
    ) -> Result<EmitterId, ResthookError> {
        let event = event_name(resthook)?;
        let id = emitter_id(resthook, subscriber)?;
        self.runtime.attach(&id, &event, config.on_gone(Gone::Detach)).await?;
        Ok(id)
    }

    /// Ends a subscription, and drops the events that wait for it. An unknown subscriber is no
    /// error.
    ///
    /// # Errors
    /// [`ControlError`] when the runtime was shut down, or the store fails.
    pub async fn unsubscribe(&self, resthook: &str, subscriber: &str) -> Result<(), ControlError> {
        match emitter_id(resthook, subscriber) {
            Ok(id) => self.runtime.detach(id.as_str()).await,
            Err(_) => Ok(()),
        }
    }

    /// The subscribers of a resthook, sorted.
    pub fn subscribers(&self, resthook: &str) -> Vec<String> {
        let prefix = format!("resthook/{resthook}/");
        let emitters = self.runtime.emitters().into_iter();
        let own = emitters
            .filter_map(|emitter| emitter.id.as_str().strip_prefix(&prefix).map(str::to_owned));
        own.collect()
    }

    /// Calls a resthook: its subscribers get the payload as it is, and the call is recorded as a
    /// `resthook_called` event. Both are accepted, or none. The receipt is that of the payload.
    ///
    /// # Errors
    /// [`ResthookError`]; nothing was stored then.
    pub async fn call<T: Serialize + ?Sized>(
        &self,
        resthook: &str,
        payload: &T,
    ) -> Result<Receipt, ResthookError> {
        let event = event_name(resthook)?;
        let json = bugle_core::payload::encode(payload).map_err(EmitError::from)?;
        let unwritten = |error: &dyn std::fmt::Display| ResthookError::Payload(error.to_string());
        let json = String::from_utf8(json.to_vec()).map_err(|error| unwritten(&error))?;
        let json = Json::parse(json).map_err(|error| unwritten(&error))?;
        let called = ResthookCalled::new(resthook, json.clone());
        let batch = EmitBatch::new().typed(&called, EmitOptions::new())?.event(&event, &json)?;
        let mut receipts = self.runtime.emit_batch(batch).await?;
        // Each event has a receipt.
        receipts.pop().ok_or(ResthookError::Emit(EmitError::ShutDown))
    }
}

fn event_name(resthook: &str) -> Result<EventName, IdError> {
    EventName::new(format!("{PREFIX}{resthook}"))
}

fn emitter_id(resthook: &str, subscriber: &str) -> Result<EmitterId, IdError> {
    EmitterId::new(format!("resthook/{resthook}/{subscriber}"))
}
