//! The runtime with the defaults of a service.

use std::ops::Deref;
use std::sync::Arc;

use bugle_core::{EventCheck, RestartBudget, Transport};
use bugle_http::HttpTransport;
/// The calls of a running runtime: [`Runtime`] has them all.
pub use bugle_runtime::Runtime as RuntimeHandle;
use bugle_runtime::{RuntimeBuilder, StartError};
use bugle_store::Store;

/// A running supervision tree. It dereferences to [`RuntimeHandle`], whose methods are its own.
/// Clones are handles of the same runtime; when the last one is dropped without a
/// [`shutdown`](RuntimeHandle::shutdown), the tree stops at once.
#[derive(Debug, Clone)]
pub struct Runtime {
    handle: RuntimeHandle,
}

impl Runtime {
    /// A runtime with the memory store, and delivery over HTTP.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Deref for Runtime {
    type Target = RuntimeHandle;
    fn deref(&self) -> &RuntimeHandle {
        &self.handle
    }
}

/// Sets up a runtime before it starts.
#[derive(Debug, Default)]
#[must_use]
pub struct Builder {
    store: Store,
    transport: Option<Arc<dyn Transport>>,
    restore_emitters: bool,
    restart_budget: RestartBudget,
    max_payload_bytes: Option<usize>,
    watch_capacity: Option<usize>,
    event_check: Option<Box<dyn EventCheck>>,
}

impl Builder {
    /// Sets the store of events and attempts. Default [`Store::memory`].
    pub fn store(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// Sets the transport that makes deliveries. Default [`HttpTransport`] with its defaults.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(Arc::new(transport));
        self
    }

    /// With true, [`start`](Self::start) restores every emitter that the store knows, running or
    /// paused as it was. Default false: the service attaches or [ensures](RuntimeHandle::ensure)
    /// its emitters when it starts, and each continues from its cursor.
    ///
    /// Emitters that had failed run again. In-process handlers can't be restored: attach them, and
    /// they continue from their cursors too. With [`Store::memory`] there is nothing to restore.
    pub fn restore_emitters(mut self, restore: bool) -> Self {
        self.restore_emitters = restore;
        self
    }

    /// Sets the crashes that an emitter survives: one more, and it stays down. Default: 3 restarts
    /// in 5 seconds.
    pub fn restart_budget(mut self, budget: RestartBudget) -> Self {
        self.restart_budget = budget;
        self
    }

    /// Sets the size of the largest payload that `emit` accepts, in bytes of JSON. Default 4 MiB.
    pub fn max_payload_bytes(mut self, bytes: usize) -> Self {
        self.max_payload_bytes = Some(bytes);
        self
    }

    /// Sets the number of events that a watcher may fall behind before it misses some. Default
    /// 4,096.
    pub fn watch_capacity(mut self, events: usize) -> Self {
        self.watch_capacity = Some(events);
        self
    }

    /// Sets the judge of each event before it is accepted: with the feature `events`, a
    /// `RegistryCheck`. Default: every event is accepted.
    pub fn event_check(mut self, check: impl EventCheck) -> Self {
        self.event_check = Some(Box::new(check));
        self
    }

    /// Starts the root supervisor in the current tokio runtime, which needs its I/O and time
    /// drivers enabled.
    ///
    /// [`StartError`] when there is no tokio runtime here, or when an emitter can't be restored: it
    /// names the emitter, and the store is unchanged.
    pub async fn start(self) -> Result<Runtime, StartError> {
        let transport = self.transport.unwrap_or_else(|| Arc::new(HttpTransport::default()));
        let mut builder = RuntimeBuilder::new(self.store, transport)
            .restart_budget(self.restart_budget)
            .restore_emitters(self.restore_emitters);
        if let Some(bytes) = self.max_payload_bytes {
            builder = builder.max_payload_bytes(bytes);
        }
        if let Some(events) = self.watch_capacity {
            builder = builder.watch_capacity(events);
        }
        if let Some(check) = self.event_check {
            builder = builder.event_check(check);
        }
        Ok(Runtime { handle: builder.start().await? })
    }
}
