//! In-process subscribers: handlers in the place of a receiver.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    AttemptCode, BoxFuture, ConfigError, Delivery, Event, Exchange, Failure, Order, Outcome,
    RateLimit, RetryPolicy, Session,
};

/// Why a handler did not take an event, in words for the attempt log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HandlerError(String);

impl HandlerError {
    /// An error in words.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

/// Takes events in the service itself.
///
/// Functions that take an `Arc<Event>` are handlers, when they return a future of a `Result`, or of
/// nothing where nothing can go wrong; so is an `Arc` of a handler, which several emitters share.
/// Handlers run on the service's own threads: what blocks belongs into
/// `tokio::task::spawn_blocking`.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use bugle_core::{BoxFuture, Event};
/// use bugle_runtime::{Handler, HandlerError};
///
/// #[derive(Default)]
/// struct Count(AtomicU64);
///
/// impl Handler for Count {
///     fn handle(&self, _event: Arc<Event>) -> BoxFuture<'_, Result<(), HandlerError>> {
///         Box::pin(async move {
///             self.0.fetch_add(1, Ordering::Relaxed);
///             Ok(())
///         })
///     }
/// }
///
/// fn is_handler(_: impl Handler) {}
/// let count = Arc::new(Count::default());
/// is_handler(Arc::clone(&count));
/// is_handler(|event: Arc<Event>| async move { println!("{}", event.name) });
/// is_handler(|event: Arc<Event>| async move {
///     if event.payload.len() < 1024 { Ok(()) } else { Err("too long to print") }
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    note = "a handler is a function of an `Arc<Event>` whose future is `()`, or a `Result` of `()` \
            with an error that can be displayed; or a type that implements `Handler`, or its `Arc`"
)]
pub trait Handler: Send + Sync + 'static {
    /// Takes one event. An error, a panic or the deadline makes the attempt fail.
    fn handle(&self, event: Arc<Event>) -> BoxFuture<'_, Result<(), HandlerError>>;
}

impl<F, Fut> Handler for F
where
    F: Fn(Arc<Event>) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: Handled,
{
    fn handle(&self, event: Arc<Event>) -> BoxFuture<'_, Result<(), HandlerError>> {
        let handled = self(event);
        Box::pin(async move { handled.await.handled() })
    }
}

impl<H: Handler + ?Sized> Handler for Arc<H> {
    fn handle(&self, event: Arc<Event>) -> BoxFuture<'_, Result<(), HandlerError>> {
        (**self).handle(event)
    }
}

/// Comes out of a function that handles events: a `Result`, or `()`, which never fails.
pub trait Handled {
    /// Makes it what [`Handler::handle`] answers.
    ///
    /// # Errors
    /// [`HandlerError`] with the words of the function's own error.
    fn handled(self) -> Result<(), HandlerError>;
}

impl Handled for () {
    fn handled(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: fmt::Display> Handled for Result<(), E> {
    fn handled(self) -> Result<(), HandlerError> {
        self.map_err(HandlerError::new)
    }
}

/// The settings of a handler's emitter.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HandlerConfig {
    /// One attempt may take this long. Default 5 s.
    pub timeout: Duration,
    /// When and how often to try again. Default [`RetryPolicy::default`].
    pub retry: RetryPolicy,
    /// In which order, and how many at once. Default [`Order::Strict`].
    pub order: Order,
    /// Bounds how fast it may take events. Default: unlimited.
    pub rate_limit: Option<RateLimit>,
    /// Keeps its courier this long with nothing to do. Default 30 s.
    pub idle_timeout: Duration,
}

impl Default for HandlerConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            retry: RetryPolicy::default(),
            order: Order::Strict,
            rate_limit: None,
            idle_timeout: Duration::from_secs(30),
        }
    }
}

impl HandlerConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets one attempt take this long.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// When and how often to try again.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Gives each event this many attempts in all, the first included. Default 3.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.retry = self.retry.max_attempts(attempts);
        self
    }

    /// In which order, and how many at once.
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Bounds how fast it may take events.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Keeps its courier this long with nothing to do.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Checks all settings together. `attach_handler` does it too.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.timeout.is_zero() {
            return Err(ConfigError::new(
                "timeout",
                "no attempt can be made in no time; give it seconds, as the default of 5",
            ));
        }
        self.order.validate()?;
        self.rate_limit.as_ref().map_or(Ok(()), RateLimit::validate)?;
        self.retry.validate()
    }
}

/// The session of an in-process emitter: each delivery calls the handler.
pub(crate) struct HandlerSession {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) timeout: Duration,
}

impl Session for HandlerSession {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let start = tokio::time::Instant::now();
            let handled = self.handler.handle(Arc::clone(&delivery.event));
            let failure = match tokio::time::timeout(self.timeout, handled).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Failure::new(AttemptCode::HandlerError, error.to_string())),
                Err(_) => Some(Failure::new(
                    AttemptCode::Timeout,
                    format!("the handler took longer than {:?}", self.timeout),
                )),
            };
            let mut exchange = Exchange::default();
            exchange.elapsed.total = start.elapsed();
            match failure {
                None => Outcome::delivered(exchange),
                Some(failure) => Outcome::failed(failure, exchange),
            }
        })
    }
}
