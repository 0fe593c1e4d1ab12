//! The transport: the state that all emitters' sessions share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{ConfigError, EmitterConfig, Session, Transport};

use crate::resolve::{Resolve, SystemResolver};
use crate::session::HttpSession;
use crate::shared::Shared;
use crate::slots::{ConnectionStats, Slots, default_limit};
use crate::tls::TlsSettings;
use crate::ways::Ways;

/// The longest wait of an attempt for a connection or a stream, unless another is set.
const DEFAULT_PATIENCE: Duration = Duration::from_secs(30);

/// Delivers over HTTP/1.1 and HTTP/2, with TLS and through proxies. Cheap to clone: clones share
/// their connections' cap and TLS settings.
///
/// It must be used inside a tokio runtime with its time and I/O drivers on.
///
/// ```
/// use std::sync::Arc;
/// use bugle_core::{EmitterConfig, Transport};
/// use bugle_http::HttpTransport;
///
/// let transport = HttpTransport::builder().max_connections(500).build();
/// let config = Arc::new(EmitterConfig::new("https://example.com/hooks")?);
/// let session = transport.open(&config)?;
/// # drop(session);
/// # Ok::<(), bugle_core::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct HttpTransport {
    shared: Arc<Shared>,
}

/// Settings of a transport, each with its default.
#[derive(Debug)]
#[must_use = "a builder makes nothing until build() is called"]
pub struct HttpTransportBuilder {
    max_connections: Option<usize>,
    patience: Duration,
    resolver: Box<dyn Resolve>,
}

impl HttpTransport {
    /// Makes a transport with the default settings.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins a transport with settings of your own.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder {
            max_connections: None,
            patience: DEFAULT_PATIENCE,
            resolver: Box::new(SystemResolver::new()),
        }
    }

    /// Counts the connections that are open now, and the attempts that met their cap.
    pub fn connections(&self) -> ConnectionStats {
        self.shared.slots.stats()
    }
}

impl HttpTransportBuilder {
    /// Sets the most connections that may be open at a time, over all emitters; at least 1.
    /// Default: the file descriptors that the process may have as the transport is built (its soft
    /// limit, `ulimit -n`), less a quarter, and less 32 at least, for the store and the service
    /// itself; 10,000 at most.
    ///
    /// An attempt that finds the cap reached closes an idle connection of any emitter. When none is
    /// idle it waits for the next delivery that ends, up to [`HttpTransportBuilder::max_wait`].
    /// [`HttpTransport::connections`] shows the number of attempts that wait now and that ever did.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = Some(connections);
        self
    }

    /// Sets the longest wait of an attempt for a slot under the cap on connections, and for a
    /// stream where the emitter's deliveries share an HTTP/2 connection. Default 30 s.
    ///
    /// The wait is no part of the attempt's deadline, `request_timeout`, which begins after it. An
    /// attempt that waits in vain does not count, and is made again after the emitter's backoff.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.patience = wait;
        self
    }

    /// Sets the resolver of names. Default [`SystemResolver`].
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Box::new(resolver);
        self
    }

    /// Makes the transport.
    pub fn build(self) -> HttpTransport {
        HttpTransport {
            shared: Arc::new(Shared {
                resolver: self.resolver,
                slots: Slots::new(self.max_connections.unwrap_or_else(default_limit)),
                patience: self.patience,
                tls: TlsSettings::default(),
            }),
        }
    }
}

impl Default for HttpTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl Transport for HttpTransport {
    fn open(&self, config: &Arc<EmitterConfig>) -> Result<Box<dyn Session>, ConfigError> {
        Ok(Box::new(HttpSession::new(&self.shared, config)?))
    }

    fn check(&self, config: &Arc<EmitterConfig>) -> Result<(), ConfigError> {
        Ways::check(&self.shared, config)
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("connections", &self.connections()).finish()
    }
}
