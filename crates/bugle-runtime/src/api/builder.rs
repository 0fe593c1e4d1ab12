//! The start of a runtime.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bugle_core::{
    AttemptLog, EmitterSpecs, EventCheck, EventLog, Journal, RestartBudget, Transport,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use ractor::Actor;
use tokio::time::Instant;

use crate::api::runtime::{Inner, Runtime};
use crate::api::size_hint::SizeHint;
use crate::emitter::tools::Tools;
use crate::tree::Specs;
use crate::tree::expiry;
use crate::tree::router::Router;
use crate::tree::supervisor::{Supervisor, SupervisorArguments};
use crate::words::error::StartError;
use crate::words::watch::Teller;

/// Starts a runtime of these parts. The crate `bugle` has a builder with defaults for them.
#[derive(Debug)]
#[must_use]
pub struct RuntimeBuilder {
    journal: Arc<dyn Journal>,
    attempts: Arc<dyn AttemptLog>,
    events: Arc<dyn EventLog>,
    transport: Arc<dyn Transport>,
    specs: Option<Arc<dyn EmitterSpecs>>,
    restore: bool,
    restart_budget: RestartBudget,
    max_payload_bytes: usize,
    watch_capacity: usize,
    event_check: Option<Arc<dyn EventCheck>>,
}

impl RuntimeBuilder {
    /// A runtime that keeps its events and attempts here, and delivers through this transport.
    pub fn new(
        journal: Arc<dyn Journal>,
        attempts: Arc<dyn AttemptLog>,
        events: Arc<dyn EventLog>,
        transport: Arc<dyn Transport>,
    ) -> Self {
        Self {
            journal,
            attempts,
            events,
            transport,
            specs: None,
            restore: false,
            restart_budget: RestartBudget::default(),
            max_payload_bytes: 4 * 1024 * 1024,
            watch_capacity: 4096,
            event_check: None,
        }
    }

    /// Keeps the emitters' specs here, so that another process can restore them. It is of the same
    /// store as the journal. Default: nowhere.
    pub fn specs(mut self, specs: Arc<dyn EmitterSpecs>) -> Self {
        self.specs = Some(specs);
        self
    }

    /// Has [`start`](Self::start) bring back every emitter whose spec is kept, or not: running or
    /// paused as it was. Default: no; the service attaches its emitters when it starts, and each
    /// goes on from its cursor.
    ///
    /// Emitters that had failed run again. In-process handlers can't be restored: attach them, and
    /// they go on from their cursors too.
    pub fn restore_emitters(mut self, restore: bool) -> Self {
        self.restore = restore;
        self
    }

    /// Bounds how often each emitter may crash before it stays down. Default: 3 restarts in 5
    /// seconds.
    pub fn restart_budget(mut self, budget: RestartBudget) -> Self {
        self.restart_budget = budget;
        self
    }

    /// The largest payload that `emit` accepts, encoded. Default 4 MiB.
    pub fn max_payload_bytes(mut self, bytes: usize) -> Self {
        self.max_payload_bytes = bytes;
        self
    }

    /// Lets a watcher fall behind by this many events before it misses some. Default 4,096; at
    /// least 1.
    pub fn watch_capacity(mut self, events: usize) -> Self {
        self.watch_capacity = events.max(1);
        self
    }

    /// Has this check judge each event before it is accepted. Default: every event is.
    pub fn event_check(mut self, check: impl EventCheck) -> Self {
        self.event_check = Some(Arc::new(check));
        self
    }

    /// Starts the root supervisor in the current tokio runtime, and restores the emitters if that
    /// was asked for.
    ///
    /// # Errors
    /// [`StartError`] when there is no tokio runtime here, or an emitter can't be restored.
    /// Everything is kept as it was then.
    pub async fn start(self) -> Result<Runtime, StartError> {
        if let Err(error) = tokio::runtime::Handle::try_current() {
            return Err(StartError::Supervisor(error.to_string()));
        }
        let tools = Arc::new(Tools {
            transport: self.transport,
            attempts: Arc::clone(&self.attempts),
            teller: Teller::new(self.watch_capacity),
            epoch: Instant::now(),
            epoch_at: Timestamp::now(),
        });
        let router = Arc::new(Router::default());
        let specs = Arc::new(Specs::default());
        self.journal.on_expired(expiry::teller(&tools, &specs));
        let arguments = SupervisorArguments {
            journal: Arc::clone(&self.journal),
            kept: self.specs.clone(),
            tools: Arc::clone(&tools),
            router: Arc::clone(&router),
            specs: Arc::clone(&specs),
            budget: self.restart_budget,
        };
        let (supervisor, ended) = Actor::spawn(None, Supervisor, arguments)
            .await
            .map_err(|error| StartError::Supervisor(error.to_string()))?;
        let inner = Inner {
            journal: self.journal,
            kept: self.specs,
            attempts: self.attempts,
            events: self.events,
            router,
            specs,
            tools,
            supervisor,
            ended: Mutex::new(Some(ended)),
            accepting: AtomicBool::new(true),
            closed: Arc::new(tokio::sync::watch::Sender::new(false)),
            max_payload_bytes: self.max_payload_bytes,
            event_check: self.event_check,
            payload_size: SizeHint::default(),
        };
        let runtime = Runtime { inner: Arc::new(inner) };
        if self.restore
            && let Err(error) = runtime.restore().await
        {
            runtime.shutdown(Duration::ZERO).await;
            return Err(error);
        }
        Ok(runtime)
    }
}
