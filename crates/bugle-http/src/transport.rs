//! The transport: what all emitters' sessions share.

use std::fmt;
use std::sync::Arc;

use bugle_core::{ConfigError, EmitterConfig, Session, Transport};

use crate::resolve::{Resolve, SystemResolver};
use crate::session::HttpSession;
use crate::slots::{ConnectionStats, Slots};
use crate::tls::TlsSettings;

/// How many connections a transport has open at most, unless it is told otherwise.
const DEFAULT_MAX_CONNECTIONS: usize = 10_000;

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

/// What all sessions of a transport have in common.
pub(crate) struct Shared {
    pub(crate) resolver: Box<dyn Resolve>,
    pub(crate) slots: Slots,
    pub(crate) tls: TlsSettings,
}

/// Settings of a transport, each with its default.
#[derive(Debug)]
#[must_use = "a builder makes nothing until build() is called"]
pub struct HttpTransportBuilder {
    max_connections: usize,
    resolver: Box<dyn Resolve>,
}

impl HttpTransport {
    /// A transport with the default settings.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A transport with settings of your own.
    pub fn builder() -> HttpTransportBuilder {
        HttpTransportBuilder {
            max_connections: DEFAULT_MAX_CONNECTIONS,
            resolver: Box::new(SystemResolver::new()),
        }
    }

    /// How many connections are open now, and how often their cap was reached.
    pub fn connections(&self) -> ConnectionStats {
        self.shared.slots.stats()
    }
}

impl HttpTransportBuilder {
    /// The most connections that may be open at a time, over all emitters. Default 10,000; at
    /// least 1.
    ///
    /// An attempt that finds the cap reached has an idle connection closed, whosever it is. When
    /// none is idle it waits for the next delivery that ends, within its own deadline.
    /// [`HttpTransport::connections`] shows how many wait and how many ever did.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Who looks up names. Default [`SystemResolver`].
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Box::new(resolver);
        self
    }

    /// Makes the transport.
    pub fn build(self) -> HttpTransport {
        HttpTransport {
            shared: Arc::new(Shared {
                resolver: self.resolver,
                slots: Slots::new(self.max_connections),
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
        HttpSession::check(&self.shared, config)
    }
}

impl fmt::Debug for HttpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTransport").field("connections", &self.connections()).finish()
    }
}
