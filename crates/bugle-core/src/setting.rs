//! The settings that are types of their own.

use std::fmt;
use std::time::Duration;

use url::Url;

/// The order in which an emitter delivers, and the number of deliveries that it has in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Order {
    /// One at a time, in the journal's order. A failing event holds everything behind it. The
    /// default.
    #[default]
    Strict,
    /// Up to `window` at a time, one for each ordering key, in order within a key; events without
    /// a key are unordered. A failing event holds its key.
    PerKey {
        /// The most deliveries in flight: 1 to 1,024.
        window: u16,
    },
    /// Up to `window` at a time, in no order. A failing event holds nothing.
    Unordered {
        /// The most deliveries in flight: 1 to 1,024.
        window: u16,
    },
}

impl Order {
    /// The widest window.
    pub const MAX_WINDOW: u16 = 1024;

    /// The most deliveries that may be in flight.
    pub fn window(self) -> usize {
        match self {
            Self::Strict => 1,
            Self::PerKey { window } | Self::Unordered { window } => usize::from(window),
        }
    }

    /// Checks the window.
    ///
    /// # Errors
    /// [`ConfigError`] when it is not from 1 to 1,024.
    pub fn validate(self) -> Result<(), ConfigError> {
        if (1..=usize::from(Self::MAX_WINDOW)).contains(&self.window()) {
            return Ok(());
        }
        Err(ConfigError::new(
            "order",
            "a window is 1 to 1,024 deliveries; Order::Strict has one at a time",
        ))
    }
}

/// The consequence of a receiver's answer 410 Gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gone {
    /// The event is tried again, as with any other failure. The default, and the original's
    /// behaviour.
    #[default]
    Retry,
    /// The emitter is paused and its backlog kept, this event first, with whatever store.
    Pause,
    /// The emitter is detached, as resthooks have it: the receiver has unsubscribed.
    Detach,
}

/// The version of HTTP that an emitter speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/2 where TLS's ALPN agrees on it and the emitter keeps a window, else HTTP/1.1. The
    /// default.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only: by ALPN with https, by prior knowledge with http.
    Http2,
}

/// The rate at which an emitter may deliver: so many attempts in a second, a minute or an hour,
/// evenly spaced, and a number of them that may follow at once after a quiet time.
///
/// ```
/// use bugle_core::{EmitterConfig, RateLimit};
///
/// let config = EmitterConfig::new("https://example.com/hooks")?
///     .rate_limit(RateLimit::per_second(20).burst(5));
/// config.validate()?;
/// # Ok::<(), bugle_core::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// The number of attempts in each [`per`](Self::per): 1 to 1,000,000.
    pub attempts: u32,
    /// The time in which they fit: a second, a minute or an hour.
    pub per: Duration,
    /// The number that may follow at once after a quiet time: 1 to 1,000,000. Default 1.
    pub burst: u32,
}

impl RateLimit {
    /// The largest number of attempts in a second, a minute or an hour, and the largest burst.
    pub const MAX: u32 = 1_000_000;

    /// Allows at most so many attempts a second.
    pub fn per_second(attempts: u32) -> Self {
        Self { attempts, per: Duration::from_secs(1), burst: 1 }
    }

    /// Allows at most so many attempts a minute.
    pub fn per_minute(attempts: u32) -> Self {
        Self { per: Duration::from_mins(1), ..Self::per_second(attempts) }
    }

    /// Allows at most so many attempts an hour.
    pub fn per_hour(attempts: u32) -> Self {
        Self { per: Duration::from_hours(1), ..Self::per_second(attempts) }
    }

    /// Sets the number of attempts that may follow at once after a quiet time. Default 1: they stay
    /// as far apart as the rate says.
    #[must_use]
    pub fn burst(mut self, attempts: u32) -> Self {
        self.burst = attempts;
        self
    }

    /// The time between two attempts once the burst is used up.
    pub fn interval(&self) -> Duration {
        self.per / self.attempts.max(1)
    }

    /// Checks rate and burst. `attach` does it too.
    ///
    /// # Errors
    /// [`ConfigError`] when one of them is not from 1 to 1,000,000.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |message: &str| Err(ConfigError::new("rate_limit", message));
        if !(1..=Self::MAX).contains(&self.attempts) {
            return wrong(
                "a rate is 1 to 1,000,000 attempts: pause an emitter that is to make none, and set \
                 no rate limit where there is none",
            );
        }
        if !(1..=Self::MAX).contains(&self.burst) {
            return wrong("a burst is 1 to 1,000,000 attempts: 1 keeps them evenly spaced");
        }
        Ok(())
    }
}

/// A proxy between an emitter and its receiver. Receivers at `http://` are asked for with requests
/// to the proxy, those at `https://` through a tunnel; SOCKS5 makes a tunnel for both.
///
/// The receiver's name is still resolved here, and its address checked, before the proxy is told
/// that address, unless it is a proxy that [resolves names](Proxy::resolving_names). The proxy's
/// own address is the operator's choice and isn't checked.
///
/// An attempt counts when the proxy says of the receiver that it can't be reached, or may not be. A
/// proxy that can't be reached itself, or takes neither us nor our user and password, is not the
/// receiver's fault: an attempt that fails so counts as none.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// In a box: most configurations have no proxy, and each has the room for one.
    url: Box<Url>,
    resolves_names: bool,
}

impl Proxy {
    /// Makes a proxy at `http://host:port` or `socks5://host:port`, with `user:password@` where it
    /// asks for that. `socks5h://host:port` is a SOCKS5 proxy that resolves names, as curl has it.
    ///
    /// # Errors
    /// [`ConfigError`] when it is not such a URL.
    pub fn new(url: &str) -> Result<Self, ConfigError> {
        let wrong =
            || ConfigError::new("proxy", "a proxy is http://host:port or socks5://host:port");
        let url = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "socks5" | "socks5h") || !url.has_host() {
            return Err(wrong());
        }
        let resolves_names = url.scheme() == "socks5h";
        Ok(Self { url: Box::new(url), resolves_names })
    }

    /// Leaves receivers' names to the proxy to resolve: for proxies that allow or know receivers by
    /// their names. Default: names are resolved here.
    ///
    /// This gives the destination guard's job to the proxy, as far as names go: what they lead to
    /// is no longer checked here, and a name may lead into the proxy's own network. Receivers whose
    /// URL has an address, in whatever spelling, or `localhost`, are still checked.
    #[must_use]
    pub fn resolving_names(mut self) -> Self {
        self.resolves_names = true;
        self
    }

    /// True when resolving names is left to the proxy.
    pub fn resolves_names(&self) -> bool {
        self.resolves_names
    }

    /// The proxy's URL, with its credentials. Never print it.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(f, "Proxy({}://{host}:{:?})", self.url.scheme(), self.url.port_or_known_default())
    }
}

/// A client certificate and its private key, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    certificate_chain: String,
    private_key: zeroize::Zeroizing<String>,
}

impl ClientIdentity {
    /// Takes a certificate chain, the client's own certificate first, and its key.
    pub fn from_pem(certificate_chain: impl Into<String>, private_key: impl Into<String>) -> Self {
        Self {
            certificate_chain: certificate_chain.into(),
            private_key: zeroize::Zeroizing::new(private_key.into()),
        }
    }

    /// The certificate chain, PEM.
    pub fn certificate_chain(&self) -> &str {
        &self.certificate_chain
    }

    /// The private key, PEM. Never print it.
    pub fn private_key(&self) -> &str {
        &self.private_key
    }
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity(..)")
    }
}

/// A setting that can't work: its name, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting's name, as its setter is called.
    pub field: &'static str,
    /// Says what is expected of the setting.
    pub message: String,
}

impl ConfigError {
    /// A name for the kind of error that stays the same from version to version: `invalidConfig`.
    pub fn code(&self) -> &'static str {
        "invalidConfig"
    }

    /// Makes an error about one setting.
    pub fn new(field: &'static str, message: impl Into<String>) -> Self {
        Self { field, message: message.into() }
    }
}
