//! Delivers change events to handlers in the process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bugle_core::{BoxFuture, Event, EventName, EventNames, Fate, RequestId, TraceContext};
use bugle_events::ChangeEvent;
use bugle_runtime::{
    AttachError, ControlError, EmitBatch, EmitError, EmitOptions, Handled, Handler, HandlerConfig,
    HandlerError, Receipt, Runtime,
};
use parking_lot::{Mutex, RwLock};

use super::claims::{Claim, Claims};

/// The emitters of subscribers are named `change/SUBSCRIBER`.
const PREFIX: &str = "change/";

/// Handles change events, for every subscriber: Keel's `EventHandler`. A function of a subscriber,
/// an event and a traceparent is a handler if it returns a future of a `Result`, or of nothing
/// where it can't fail; so is an `Arc` of a handler.
pub trait ChangeHandler: Send + Sync + 'static {
    /// Handles one event for one subscriber. An error fails the attempt, which is then retried. The
    /// traceparent is empty when the event has none.
    fn handle(
        &self,
        subscriber: Arc<str>,
        event: Arc<ChangeEvent>,
        traceparent: String,
    ) -> BoxFuture<'_, Result<(), HandlerError>>;
}

impl<F, Fut> ChangeHandler for F
where
    F: Fn(Arc<str>, Arc<ChangeEvent>, String) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Handled,
{
    fn handle(
        &self,
        subscriber: Arc<str>,
        event: Arc<ChangeEvent>,
        traceparent: String,
    ) -> BoxFuture<'_, Result<(), HandlerError>> {
        let handled = self(subscriber, event, traceparent);
        Box::pin(async move { handled.await.handled() })
    }
}

impl<H: ChangeHandler + ?Sized> ChangeHandler for Arc<H> {
    fn handle(
        &self,
        subscriber: Arc<str>,
        event: Arc<ChangeEvent>,
        traceparent: String,
    ) -> BoxFuture<'_, Result<(), HandlerError>> {
        (**self).handle(subscriber, event, traceparent)
    }
}

/// No handler of change events was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no handler for change events: set one with Changes::set_event_handler")]
pub struct NoHandler;

/// Change events and their subscribers, in a runtime. Clones share one handler.
///
/// | in Keel | here |
/// | --- | --- |
/// | `WithEventHandler` | [`Changes::set_event_handler`] |
/// | `HasEventHandler` | [`Changes::has_event_handler`] |
/// | `GetEventHandler` | [`Changes::event_handler`] |
/// | `SendEvents` | [`Changes::send_events`]; for a table, `AuditTable` of `bugle-postgres` |
/// | a subscriber in the schema | [`Changes::subscribe`] |
///
/// A subscriber is an in-process emitter: its events wait in a queue, are handled in order, retried
/// when they fail, and supervised. A subscriber's trouble is never another's.
#[derive(Clone)]
pub struct Changes {
    runtime: Runtime,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    handler: RwLock<Option<Arc<dyn ChangeHandler>>>,
    /// The last error of each subscriber, for the events whose sender may still ask for it.
    errors: Mutex<BTreeMap<RequestId, BTreeMap<Arc<str>, String>>>,
    claims: Arc<Claims>,
}

impl Changes {
    /// Makes the change events of a runtime, without a handler yet.
    pub fn new(runtime: &Runtime) -> Self {
        Self { runtime: runtime.clone(), shared: Arc::default() }
    }

    /// Sets the handler, in the place of the one before: Keel's `WithEventHandler`.
    pub fn set_event_handler(&self, handler: impl ChangeHandler) {
        *self.shared.handler.write() = Some(Arc::new(handler));
    }

    /// True when a handler is set: Keel's `HasEventHandler`.
    pub fn has_event_handler(&self) -> bool {
        self.shared.handler.read().is_some()
    }

    /// The handler: Keel's `GetEventHandler`.
    ///
    /// # Errors
    /// [`NoHandler`] when none was set.
    pub fn event_handler(&self) -> Result<Arc<dyn ChangeHandler>, NoHandler> {
        self.shared.handler.read().clone().ok_or(NoHandler)
    }

    /// Subscribes to change events, by names as `member.created` or by patterns as `member.*`. From
    /// now on the handler receives them under this subscriber's name. The emitter's id is
    /// `change/SUBSCRIBER`.
    ///
    /// # Errors
    /// [`AttachError`]; nothing was changed then.
    pub async fn subscribe(
        &self,
        subscriber: &str,
        events: impl EventNames,
        config: HandlerConfig,
    ) -> Result<(), AttachError> {
        let handler = Subscriber { name: subscriber.into(), shared: Arc::clone(&self.shared) };
        self.runtime.attach_handler(format!("{PREFIX}{subscriber}"), events, handler, config).await
    }

    /// Ends a subscription, and drops the events that wait for it. An unknown subscriber is no
    /// error.
    ///
    /// # Errors
    /// [`ControlError`] when the runtime was shut down, or the store fails.
    pub async fn unsubscribe(&self, subscriber: &str) -> Result<(), ControlError> {
        self.runtime.detach(&format!("{PREFIX}{subscriber}")).await
    }

    /// Sends change events to their subscribers, webhooks among them, in this order: all are
    /// accepted, or none. It is Keel's `SendEvents` for events that the caller has gathered.
    /// Waiting for the handlers with [`SentChanges::settled`] is optional: the delivery of accepted
    /// events does not depend on it.
    ///
    /// # Errors
    /// [`EmitError`]; nothing was stored then.
    pub async fn send_events(
        &self,
        events: impl IntoIterator<Item = ChangeEvent>,
        trace: Option<TraceContext>,
    ) -> Result<SentChanges, EmitError> {
        let options = match trace {
            Some(trace) => EmitOptions::new().trace(trace),
            None => EmitOptions::new(),
        };
        self.send_events_with(events.into_iter().map(|event| (event, options.clone()))).await
    }

    /// Does the same as [`Changes::send_events`], where the caller gives each event a request id,
    /// an ordering key or a trace context.
    ///
    /// # Errors
    /// [`EmitError`]; nothing was stored then.
    pub async fn send_events_with(
        &self,
        events: impl IntoIterator<Item = (ChangeEvent, EmitOptions)>,
    ) -> Result<SentChanges, EmitError> {
        let mut batch = EmitBatch::new();
        for (event, options) in events {
            batch.push(&event.event_name, &event, options)?;
        }
        // The errors are kept from before the events are handled, and dropped if they are not
        // accepted.
        let asked = Asked::new(&self.shared, batch.request_ids());
        let receipts = self.runtime.emit_batch(batch).await?;
        Ok(SentChanges { receipts, asked: vec![asked], set_aside: Vec::new() })
    }

    /// Claims rows of a source for one call that gathers and sends their change events. It leaves
    /// out the rows that another call in this process is sending. It never waits, so a handler may
    /// send events too. It claims nothing from other processes.
    pub fn claim(&self, source: &str, rows: impl IntoIterator<Item = String>) -> Claim {
        self.shared.claims.claim(source, rows)
    }

    /// Answers true the first time that it is called for a source of change events, and false from
    /// then on. A caller logs by it what it wants to log once.
    pub fn is_new(&self, source: &str) -> bool {
        self.shared.claims.is_new(source)
    }

    /// True when an event of this name has a subscriber: one of these, or any other emitter of the
    /// runtime, a webhook among them. A paused emitter counts.
    pub fn has_subscriber(&self, event: &EventName) -> bool {
        self.runtime.emitters().iter().any(|emitter| emitter.subscription.matches(event))
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes")
            .field("runtime", &self.runtime)
            .field("has_event_handler", &self.has_event_handler())
            .finish()
    }
}

struct Subscriber {
    name: Arc<str>,
    shared: Arc<Shared>,
}

impl Handler for Subscriber {
    fn handle(&self, event: Arc<Event>) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            let result = self.handle_change(&event).await;
            if let Err(error) = &result
                && let Some(errors) = self.shared.errors.lock().get_mut(&event.request_id)
            {
                errors.insert(Arc::clone(&self.name), error.to_string());
            }
            result
        })
    }
}

impl Subscriber {
    async fn handle_change(&self, event: &Event) -> Result<(), HandlerError> {
        let handler = self.shared.handler.read().clone();
        let handler = handler.ok_or_else(|| HandlerError::new(NoHandler))?;
        let change: ChangeEvent = serde_json::from_slice(&event.payload)
            .map_err(|error| HandlerError::new(format_args!("no change event: {error}")))?;
        let trace = event.trace.as_deref().map(|trace| trace.traceparent.clone());
        handler.handle(Arc::clone(&self.name), Arc::new(change), trace.unwrap_or_default()).await
    }
}

/// Change events that were accepted. By default there are none.
#[derive(Default)]
#[must_use = "nothing is lost with it, but what became of the events is not known"]
pub struct SentChanges {
    receipts: Vec<Receipt>,
    asked: Vec<Asked>,
    set_aside: Vec<SetAside>,
}

/// A row that can't become a change event, and was skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("row {row} can't be an event: {reason}")]
pub struct SetAside {
    /// The row's id.
    pub row: String,
    /// The reason, in words.
    pub reason: String,
}

/// The events whose errors are kept while this lives.
struct Asked {
    shared: Arc<Shared>,
    events: Vec<RequestId>,
}

impl Asked {
    fn new<'a>(shared: &Arc<Shared>, events: impl Iterator<Item = &'a RequestId>) -> Self {
        let events: Vec<RequestId> = events.cloned().collect();
        let fresh = events.iter().map(|id| (id.clone(), BTreeMap::new()));
        shared.errors.lock().extend(fresh);
        Self { shared: Arc::clone(shared), events }
    }

    fn error(&self, event: &RequestId, subscriber: &str) -> Option<String> {
        self.shared.errors.lock().get(event)?.get(subscriber).cloned()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut errors = self.shared.errors.lock();
        for event in &self.events {
            errors.remove(event);
        }
    }
}

/// The last error of one subscriber that gave up on an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subscriber}: {message}")]
#[non_exhaustive]
pub struct SubscriberError {
    /// The subscriber, or the id of a webhook's emitter.
    pub subscriber: String,
    /// The event.
    pub request_id: RequestId,
    /// The last error of its handler, in words.
    pub message: String,
}

/// All errors of all events at all subscribers, joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerErrors(Vec<SubscriberError>);

impl HandlerErrors {
    /// The errors, in the order of the events.
    pub fn errors(&self) -> &[SubscriberError] {
        &self.0
    }
}

impl fmt::Display for HandlerErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for HandlerErrors {}

impl SentChanges {
    /// The events' receipts, in their order.
    pub fn receipts(&self) -> &[Receipt] {
        &self.receipts
    }

    /// Adds others behind these.
    pub fn append(&mut self, mut others: SentChanges) {
        self.receipts.append(&mut others.receipts);
        self.asked.append(&mut others.asked);
        self.set_aside.append(&mut others.set_aside);
    }

    /// The rows that can't become events. They were not sent, and delayed no other.
    pub fn set_aside(&self) -> &[SetAside] {
        &self.set_aside
    }

    /// Adds a row that can't become an event.
    pub fn push_set_aside(&mut self, row: SetAside) {
        self.set_aside.push(row);
    }

    /// Waits until every subscriber has handled every event, or has given up on it.
    ///
    /// # Errors
    /// [`HandlerErrors`] with every subscriber that gave up, and its reason. The events are among
    /// its dead letters then; the other subscribers were not delayed.
    pub async fn settled(&self) -> Result<(), HandlerErrors> {
        let mut failed = Vec::new();
        for receipt in &self.receipts {
            for at in receipt.settled().await {
                let id = at.emitter.as_str();
                let subscriber = id.strip_prefix(PREFIX).unwrap_or(id).to_owned();
                let request_id = receipt.request_id().clone();
                let message = match at.fate {
                    Some(Fate::Delivered) => continue,
                    Some(Fate::DeadLettered) => {
                        let mut asked = self.asked.iter();
                        let told = asked.find_map(|asked| asked.error(&request_id, &subscriber));
                        told.unwrap_or_else(|| "given up: see its dead letters".to_owned())
                    }
                    Some(_) => "dropped before it was handled".to_owned(),
                    None => "not handled before the runtime was shut down".to_owned(),
                };
                failed.push(SubscriberError { subscriber, request_id, message });
            }
        }
        if failed.is_empty() { Ok(()) } else { Err(HandlerErrors(failed)) }
    }
}

impl fmt::Debug for SentChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.receipts).finish()
    }
}
