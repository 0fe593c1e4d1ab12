//! The way in: an event is encoded once and appended. The journal wakes its emitters.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bugle_core::{
    Answer, AppendError, Event, EventName, OrderingKey, RequestId, Sequence, TraceContext, payload,
};
use jiff::Timestamp;
use serde::Serialize;
use tracing::Instrument;

use crate::api::receipt::Receipt;
use crate::api::runtime::Runtime;
use crate::words::error::EmitError;
use crate::words::log;

/// Options of [`Runtime::emit_with`]: each may be left out.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct EmitOptions {
    request_id: Option<String>,
    key: Option<String>,
    trace: Option<TraceContext>,
}

impl EmitOptions {
    /// Nothing special: what `emit` does.
    pub fn new() -> Self {
        Self::default()
    }

    /// The id to deliver the event under, instead of a random one: 1 to 256 visible ASCII
    /// characters without a dot.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// The key that orders the event in emitters with `Order::PerKey`.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The trace that the event belongs to. Default: that of the current span, with the feature
    /// `opentelemetry`; none without.
    pub fn trace(mut self, trace: TraceContext) -> Self {
        self.trace = Some(trace);
        self
    }

    /// With the trace of the current span, unless there is one already.
    pub(crate) fn in_trace(mut self) -> Self {
        self.trace = self.trace.or_else(crate::words::trace::current);
        self
    }
}

impl Runtime {
    /// Accepts an event: encodes the payload once, stores it as safely as the journal promises,
    /// which wakes the emitters that want it. No emitter is no error.
    ///
    /// # Errors
    /// [`EmitError`]; nothing of the event was stored then, unless nobody knows
    /// ([`EmitError::Unknown`]).
    pub async fn emit<T: Serialize + ?Sized>(
        &self,
        name: impl AsRef<str>,
        payload: &T,
    ) -> Result<Receipt, EmitError> {
        self.emit_with(name, payload, EmitOptions::default()).await
    }

    /// Accepts an event, with a request id, an ordering key or a trace context of the caller's.
    ///
    /// # Errors
    /// [`EmitError`]; nothing of the event was stored then.
    pub async fn emit_with<T: Serialize + ?Sized>(
        &self,
        name: impl AsRef<str>,
        payload: &T,
        options: EmitOptions,
    ) -> Result<Receipt, EmitError> {
        let name = name.as_ref();
        // The caller's trace is the event's, and not what is told of this call.
        let options = options.in_trace();
        let Some(span) = log::emit_span(name) else {
            return self.accept(name, payload, options).await;
        };
        let receipt = self.accept(name, payload, options).instrument(span.clone()).await?;
        span.record("request_id", receipt.request_id().as_str());
        Ok(receipt)
    }

    async fn accept<T: Serialize + ?Sized>(
        &self,
        name: &str,
        payload: &T,
        options: EmitOptions,
    ) -> Result<Receipt, EmitError> {
        let inner = &self.inner;
        if !inner.accepting.load(Ordering::Acquire) {
            return Err(EmitError::ShutDown);
        }
        let capacity = inner.payload_size.get();
        let event = Arc::new(encode(name, payload, options, capacity)?);
        inner.payload_size.put(event.payload.len());
        self.check(&event)?;
        let (name, request_id) = (event.name.clone(), event.request_id.clone());
        let sequence = self.appended(&request_id, inner.journal.append(event)).await?;
        // A caller that emits without end gives the couriers their turn.
        tokio::task::coop::consume_budget().await;
        Ok(self.receipt(request_id, sequence, name))
    }

    /// Says whether this runtime accepts an event of this size, name and payload.
    pub(crate) fn check(&self, event: &Event) -> Result<(), EmitError> {
        let (bytes, limit) = (event.payload.len(), self.inner.max_payload_bytes);
        if bytes > limit {
            return Err(EmitError::TooLarge { bytes, limit });
        }
        if let Some(check) = &self.inner.event_check {
            check.check(&event.name, &event.payload)?;
        }
        Ok(())
    }

    /// Waits for the journal's answer, as long as there can be one.
    async fn appended(
        &self,
        id: &RequestId,
        appending: Answer<'_, Result<Sequence, AppendError>>,
    ) -> Result<Sequence, EmitError> {
        self.answered(appending).await?.map_err(|error| EmitError::of(id, error))
    }

    pub(crate) async fn answered<T: Unpin>(
        &self,
        appending: Answer<'_, T>,
    ) -> Result<T, EmitError> {
        match appending {
            Answer::Now(Some(appended)) => Ok(appended),
            appending => {
                let mut closed = self.inner.closed.subscribe();
                tokio::select! {
                    biased;
                    appended = appending => Ok(appended),
                    // There will be no more room: nobody delivers any longer.
                    _ = closed.wait_for(|closed| *closed) => Err(EmitError::ShutDown),
                }
            }
        }
    }

    pub(crate) fn receipt(
        &self,
        request_id: RequestId,
        sequence: Sequence,
        name: EventName,
    ) -> Receipt {
        Receipt { request_id, sequence, name, runtime: Arc::downgrade(&self.inner) }
    }
}

/// Checks an event's names and encodes its payload.
pub(crate) fn encode<T: Serialize + ?Sized>(
    name: &str,
    payload: &T,
    options: EmitOptions,
    capacity: usize,
) -> Result<Event, EmitError> {
    let name = EventName::new(name)?;
    let request_id = match options.request_id {
        Some(id) => RequestId::new(id)?,
        None => RequestId::random(),
    };
    let key = options.key.map(OrderingKey::new).transpose()?;
    let payload = payload::encode_with_capacity(payload, capacity)?;
    let event = Event::new(name, request_id, payload, Timestamp::now());
    Ok(event.key(key).trace(options.trace))
}
