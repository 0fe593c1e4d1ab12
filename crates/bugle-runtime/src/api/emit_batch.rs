//! The way in for many events at once, all or none, with how far their source was read.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bugle_core::{Batch, Event, JournalError, Position, RequestId, SourceId, SourcePosition};
use jiff::Timestamp;
use serde::Serialize;

use crate::api::emit::{EmitOptions, encode};
use crate::api::receipt::Receipt;
use crate::api::runtime::Runtime;
use crate::words::error::EmitError;

/// Events that are accepted together, all or none, for [`Runtime::emit_batch`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct EmitBatch {
    events: Vec<Event>,
    position: Option<SourcePosition>,
}

impl EmitBatch {
    /// No events yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event behind the others. Its payload is encoded here.
    ///
    /// # Errors
    /// [`EmitError::Id`] and [`EmitError::Payload`], as [`Runtime::emit`] has them.
    pub fn event<T: Serialize + ?Sized>(
        self,
        name: impl AsRef<str>,
        payload: &T,
    ) -> Result<Self, EmitError> {
        self.event_with(name, payload, EmitOptions::default())
    }

    /// Adds an event behind the others, with a request id, an ordering key or a trace context of
    /// the caller's.
    ///
    /// # Errors
    /// As [`EmitBatch::event`].
    pub fn event_with<T: Serialize + ?Sized>(
        mut self,
        name: impl AsRef<str>,
        payload: &T,
        options: EmitOptions,
    ) -> Result<Self, EmitError> {
        self.push(name, payload, options)?;
        Ok(self)
    }

    /// Adds an event behind the others in place: where it can't be added, the batch goes on
    /// without it.
    ///
    /// # Errors
    /// As [`EmitBatch::event`]; the batch is as it was.
    pub fn push<T: Serialize + ?Sized>(
        &mut self,
        name: impl AsRef<str>,
        payload: &T,
        options: EmitOptions,
    ) -> Result<(), EmitError> {
        let capacity = self.events.last().map_or(0, |event| event.payload.len());
        self.events.push(encode(name.as_ref(), payload, options.in_trace(), capacity)?);
        Ok(())
    }

    /// Says how far the source was read once these events are accepted. Without one no position
    /// changes; a batch may also consist of a position alone.
    pub fn position(mut self, position: SourcePosition) -> Self {
        self.position = Some(position);
        self
    }

    /// The request ids of its events, in their order.
    pub fn request_ids(&self) -> impl Iterator<Item = &RequestId> {
        self.events.iter().map(|event| &event.request_id)
    }

    /// Counts its events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Says whether it has no events. It may have a position nevertheless.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

impl Runtime {
    /// Accepts the events of a batch, in their order, and how far their source was read: all of it
    /// in one transaction, or nothing of it. So a source that goes on from
    /// [`Runtime::position`] loses no event and emits none twice, whatever ends the process in
    /// between. Returns a receipt for each event.
    ///
    /// With [`Overflow::Block`](bugle_core::Overflow::Block) it waits until all of the batch has
    /// room. Who stops waiting has emitted nothing, and the position is what it was. A source emits
    /// one batch after the other: the next one when this one was answered.
    ///
    /// ```
    /// # async fn follow(runtime: bugle_runtime::Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::collections::BTreeMap;
    /// use bugle_core::SourcePosition;
    /// use bugle_runtime::EmitBatch;
    ///
    /// // Where the last process came to, or the start.
    /// let at = runtime.position("orders.csv").await?;
    /// let mut line: u64 = at.map_or(Ok(0), |at| at.as_str().parse())?;
    ///
    /// let mut batch = EmitBatch::new();
    /// for id in [7, 8] {
    ///     batch = batch.event("order.placed", &BTreeMap::from([("id", id)]))?;
    ///     line += 1;
    /// }
    /// let batch = batch.position(SourcePosition::new("orders.csv", line.to_string())?);
    /// let receipts = runtime.emit_batch(batch).await?;
    /// assert_eq!(receipts.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`EmitError`]; nothing of the batch was stored then.
    pub async fn emit_batch(&self, batch: EmitBatch) -> Result<Vec<Receipt>, EmitError> {
        let inner = &self.inner;
        if !inner.accepting.load(Ordering::Acquire) {
            return Err(EmitError::ShutDown);
        }
        let now = Timestamp::now();
        let mut events = Vec::with_capacity(batch.events.len());
        for mut event in batch.events {
            self.check(&event)?;
            event.emitted_at = now;
            events.push(Arc::new(event));
        }
        let batch = Batch::new(events.clone()).position(batch.position);
        let sequences = self.answered(inner.journal.append_all(batch)).await??;
        tokio::task::coop::consume_budget().await;
        let receipt = |(event, sequence): (Arc<Event>, _)| {
            self.receipt(event.request_id.clone(), sequence, event.name.clone())
        };
        Ok(events.into_iter().zip(sequences).map(receipt).collect())
    }

    /// Looks up how far a source was read: the position of its last batch that was accepted. `None`
    /// when there was none.
    ///
    /// # Errors
    /// [`JournalError`] when the store can't read it.
    pub async fn position(&self, source: &str) -> Result<Option<Position>, JournalError> {
        match SourceId::new(source) {
            Ok(source) => self.inner.positions.position(&source).await,
            // No source has such an id.
            Err(_) => Ok(None),
        }
    }
}
