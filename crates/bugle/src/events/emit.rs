//! Emits typed events.

use bugle_core::Refused;
use bugle_events::{AnyEvent, EventType, Invalid};
use bugle_runtime::{EmitBatch, EmitError, EmitOptions, Receipt, Runtime};

/// Emits typed events under the name of their type. Each is checked before anything is stored.
pub trait EmitEvent {
    /// Accepts an event under its type's name.
    ///
    /// # Errors
    /// [`EmitError::Refused`] names every field that breaks a rule of the type; or as
    /// [`Runtime::emit`]. Nothing of the event was stored then.
    fn emit_event<E: EventType>(
        &self,
        event: &E,
    ) -> impl Future<Output = Result<Receipt, EmitError>> + Send;

    /// Accepts an event under its type's name, where the caller gives a request id, an ordering key
    /// or a trace context.
    ///
    /// # Errors
    /// As [`EmitEvent::emit_event`].
    fn emit_event_with<E: EventType>(
        &self,
        event: &E,
        options: EmitOptions,
    ) -> impl Future<Output = Result<Receipt, EmitError>> + Send;

    /// Accepts an event that a registry has read.
    ///
    /// # Errors
    /// As [`EmitEvent::emit_event`].
    fn emit_any_event(
        &self,
        event: &AnyEvent,
        options: EmitOptions,
    ) -> impl Future<Output = Result<Receipt, EmitError>> + Send;
}

impl EmitEvent for Runtime {
    async fn emit_event<E: EventType>(&self, event: &E) -> Result<Receipt, EmitError> {
        self.emit_event_with(event, EmitOptions::new()).await
    }

    async fn emit_event_with<E: EventType>(
        &self,
        event: &E,
        options: EmitOptions,
    ) -> Result<Receipt, EmitError> {
        event.check().map_err(refused)?;
        self.emit_with(E::NAME, event, options).await
    }

    async fn emit_any_event(
        &self,
        event: &AnyEvent,
        options: EmitOptions,
    ) -> Result<Receipt, EmitError> {
        event.check().map_err(refused)?;
        self.emit_with(event.name(), event, options).await
    }
}

/// Adds typed events to a batch.
pub trait EmitEventBatch: Sized {
    /// Adds an event under its type's name, behind the others.
    ///
    /// # Errors
    /// As [`EmitEvent::emit_event`].
    fn typed<E: EventType>(self, event: &E, options: EmitOptions) -> Result<Self, EmitError>;
}

impl EmitEventBatch for EmitBatch {
    fn typed<E: EventType>(self, event: &E, options: EmitOptions) -> Result<Self, EmitError> {
        event.check().map_err(refused)?;
        self.event_with(E::NAME, event, options)
    }
}

fn refused(invalid: Invalid) -> EmitError {
    Refused::new(invalid).into()
}
