//! The start of a runtime.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bugle_core::{EventCheck, RestartBudget, Store, Transport};
use jiff::Timestamp;
use parking_lot::Mutex;
use ractor::Actor;
use tokio::time::Instant;

use crate::api::runtime::{Inner, Runtime};
use crate::api::size_hint::SizeHint;
use crate::emitter::tools::Tools;
use crate::tree::Specs;
use crate::tree::supervisor::{Supervisor, SupervisorArguments};
use crate::words::error::StartError;
use crate::words::watch::Teller;

/// Starts a runtime of these parts. The crate `bugle` has a builder with defaults for them.
#[derive(Debug)]
#[must_use]
pub struct RuntimeBuilder {
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    restore: bool,
    restart_budget: RestartBudget,
    max_payload_bytes: usize,
    watch_capacity: usize,
    event_check: Option<Arc<dyn EventCheck>>,
}

impl RuntimeBuilder {
    /// A runtime that keeps all that it keeps in this store, and delivers through this transport.
    ///
    /// Several runtimes may share a store: what one of them accepts, the emitters of all deliver.
    /// An emitter is at the runtime that attached it last; at the others it is
    /// [`Elsewhere`](crate::Status::Elsewhere).
    pub fn new(store: impl Into<Arc<dyn Store>>, transport: Arc<dyn Transport>) -> Self {
        Self {
            store: store.into(),
            transport,
            restore: false,
            restart_budget: RestartBudget::default(),
            max_payload_bytes: 4 * 1024 * 1024,
            watch_capacity: 4096,
            event_check: None,
        }
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
        let store = self.store;
        let info = store.info();
        let (journal, attempts, kept) = (store.journal(), store.attempts(), store.specs());
        let tools = Arc::new(Tools {
            transport: self.transport,
            attempts: Arc::clone(&attempts),
            teller: Teller::new(self.watch_capacity),
            epoch: Instant::now(),
            epoch_at: Timestamp::now(),
            taken: Arc::default(),
            counts_are_exact: info.capabilities.exact_counts,
        });
        let specs = Arc::new(Specs::default());
        let arguments = SupervisorArguments {
            journal: Arc::clone(&journal),
            kept: kept.clone(),
            backlog: info.default_backlog,
            tools: Arc::clone(&tools),
            specs: Arc::clone(&specs),
            budget: self.restart_budget,
        };
        let (supervisor, ended) = Actor::spawn(None, Supervisor, arguments)
            .await
            .map_err(|error| StartError::Supervisor(error.to_string()))?;
        let inner = Inner {
            journal,
            letters: store.dead_letters(),
            positions: store.positions(),
            attempts,
            events: store.events(),
            kept,
            store,
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
