//! Records each attempt as a `webhook_called` event.

use std::fmt;
use std::sync::Arc;

use bugle_core::{
    AttemptId, BoxFuture, ConfigError, Delivery, EmitterConfig, NewAttempt, Outcome, Session,
    Transport,
};
use bugle_events::flow::WebhookCalled;
use jiff::Timestamp;

use super::resthooks;

/// Receives the `webhook_called` events. Any function of one is a recorder. It runs on the way of
/// each delivery, so it must not block: put lasting work into a channel.
pub trait CallRecorder: Send + Sync + 'static {
    /// Receives the event of one attempt.
    fn record(&self, called: WebhookCalled);
}

impl<F: Fn(WebhookCalled) + Send + Sync + 'static> CallRecorder for F {
    fn record(&self, called: WebhookCalled) {
        self(called);
    }
}

/// A transport that makes a `webhook_called` event of each attempt of another transport, successes
/// too.
///
/// ```
/// # use bugle::{HttpTransport, Runtime};
/// use bugle::events::RecordCalls;
/// use bugle::events::flow::WebhookCalled;
///
/// let (sender, calls) = std::sync::mpsc::channel();
/// let record = move |called: WebhookCalled| _ = sender.send(called);
/// let builder = Runtime::builder().transport(RecordCalls::new(HttpTransport::default(), record));
/// # drop((builder, calls));
/// ```
///
/// The deliveries of `webhook_called` events themselves are not recorded. So the recorder may emit
/// them: an emitter that is attached to them causes no further ones.
pub struct RecordCalls<T> {
    inner: T,
    recorder: Arc<dyn CallRecorder>,
}

impl<T: Transport> RecordCalls<T> {
    /// Delivers through this transport, and hands each attempt to the recorder.
    pub fn new(inner: T, recorder: impl CallRecorder) -> Self {
        Self { inner, recorder: Arc::new(recorder) }
    }
}

impl<T: fmt::Debug> fmt::Debug for RecordCalls<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordCalls").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<T: Transport> Transport for RecordCalls<T> {
    fn open(&self, config: &Arc<EmitterConfig>) -> Result<Box<dyn Session>, ConfigError> {
        let inner = self.inner.open(config)?;
        let (config, recorder) = (Arc::clone(config), Arc::clone(&self.recorder));
        Ok(Box::new(Recorded { inner, config, recorder }))
    }

    fn check(&self, config: &Arc<EmitterConfig>) -> Result<(), ConfigError> {
        self.inner.check(config)
    }
}

struct Recorded {
    inner: Box<dyn Session>,
    config: Arc<EmitterConfig>,
    recorder: Arc<dyn CallRecorder>,
}

impl Session for Recorded {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
        if delivery.event.name.as_str() == "webhook_called" {
            return self.inner.deliver(delivery);
        }
        Box::pin(async move {
            let captured = delivery.clone().capturing(true);
            let outcome = self.inner.deliver(&captured).await;
            // The attempt log numbers attempts, and may not record this one; the event needs no
            // number.
            let attempt = NewAttempt::new(captured, outcome.clone(), Timestamp::now())
                .numbered(AttemptId::new(0));
            let event = &delivery.event;
            let mut called = WebhookCalled::of_attempt(&attempt, event, &self.config);
            called.resthook = resthooks::of(&event.name).unwrap_or_default().to_owned();
            self.recorder.record(called);
            outcome
        })
    }
}
