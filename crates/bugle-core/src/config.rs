//! The settings of an emitter, each with its default beside it.

use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use jiff::Timestamp;
use url::{Position, Url};

use crate::{
    ClientIdentity, ConfigError, DestinationPolicy, Gone, HttpVersion, Order, Proxy, RateLimit,
    RetryPolicy, Secret, header, receiver_url,
};

/// The settings of an emitter that delivers over HTTP. Made by [`EmitterConfig::new`] from the
/// receiver's URL; every other setting has a default. They are checked at `attach`.
///
/// ```
/// use std::time::Duration;
/// use bugle_core::{EmitterConfig, RetryPolicy, Secret};
///
/// let config = EmitterConfig::new("https://example.com/hooks")?
///     .secret(Secret::parse("supersecret")?)
///     .retry(RetryPolicy::patient())
///     .request_timeout(Duration::from_secs(10));
/// config.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct EmitterConfig {
    /// The receiver's URL: http or https, without credentials.
    pub url: Url,
    /// The keys that sign. Default: none, requests are unsigned.
    pub secrets: Vec<Secret>,
    /// The middle of the `X-…-Event` headers' names. Default `Webhooks`.
    pub header_identifier: String,
    /// Additional headers, in order. Default: none.
    pub headers: Vec<(String, String)>,
    /// The deadline of one attempt, the response's body included. Default 5 s. A status from 200 to
    /// 299 that came in time settles the delivery, though its body may be cut by the deadline.
    pub request_timeout: Duration,
    /// The most bytes of a response's body that are read. Default 16 KiB.
    pub response_body_limit: usize,
    /// The time that connection and courier are kept with nothing to deliver. Default 30 s.
    pub idle_timeout: Duration,
    /// The number of attempts, and the waits between them. Default [`RetryPolicy::default`].
    pub retry: RetryPolicy,
    /// The longest `Retry-After` that is honoured. Default 1 h.
    pub retry_after_limit: Duration,
    /// The order of deliveries, and the number in flight. Default [`Order::Strict`].
    pub order: Order,
    /// The consequence of a 410 answer. Default [`Gone::Retry`].
    pub on_gone: Gone,
    /// The rate at which it may deliver. Default: unlimited.
    pub rate_limit: Option<RateLimit>,
    /// The addresses that may be connected to. Default: public ones only.
    pub destinations: DestinationPolicy,
    /// The version of HTTP. Default [`HttpVersion::Auto`].
    pub http_version: HttpVersion,
    /// The proxy. Default: none.
    pub proxy: Option<Proxy>,
    /// Certificate authorities that are trusted beside the system's, PEM. Default: none.
    pub root_certificates: Vec<String>,
    /// The client certificate. Default: none.
    pub client_identity: Option<ClientIdentity>,
    /// True accepts any certificate of the receiver. Default: false.
    pub danger_accept_invalid_certificates: bool,
}

impl EmitterConfig {
    /// Makes a configuration that delivers to this URL, with every other setting at its default.
    ///
    /// # Errors
    /// [`ConfigError`] when the URL has no scheme, is not http or https, has no host, or carries
    /// credentials (use [`EmitterConfig::header`] for an `authorization` instead).
    pub fn new(url: impl AsRef<str>) -> Result<Self, ConfigError> {
        Ok(Self {
            url: receiver_url::parse(url.as_ref())?,
            secrets: Vec::new(),
            header_identifier: "Webhooks".to_owned(),
            headers: Vec::new(),
            request_timeout: Duration::from_secs(5),
            response_body_limit: 16 * 1024,
            idle_timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            retry_after_limit: Duration::from_secs(3600),
            order: Order::Strict,
            on_gone: Gone::Retry,
            rate_limit: None,
            destinations: DestinationPolicy::default(),
            http_version: HttpVersion::Auto,
            proxy: None,
            root_certificates: Vec::new(),
            client_identity: None,
            danger_accept_invalid_certificates: false,
        })
    }

    /// Adds a key that signs every request. With several, each signs until it expires: that is how
    /// keys are rotated. None by default: requests are unsigned. When all have expired, attempts
    /// fail as `unsigned` until the runtime's `update` brings a new one.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    /// Signs every request with these keys, in the place of all that were set before: the newest
    /// first, for receivers that look at the first signature alone.
    ///
    /// # Errors
    /// [`ConfigError`] when there is none, as when a list was configured and is empty: signing is
    /// never left out by accident. Leave `secrets` out where requests are to be unsigned.
    pub fn secrets(
        mut self,
        secrets: impl IntoIterator<Item = Secret>,
    ) -> Result<Self, ConfigError> {
        self.secrets = secrets.into_iter().collect();
        if self.secrets.is_empty() {
            return Err(ConfigError::new(
                "secrets",
                "the list of keys is empty, so nothing would be signed: give at least one key, or \
                 leave secrets out where requests are to be unsigned",
            ));
        }
        Ok(self)
    }

    /// Sets the middle of the `X-…-Event`, `X-…-Delivery` and `X-…-Signature` headers' names.
    /// Default `Webhooks`.
    #[must_use]
    pub fn header_identifier(mut self, identifier: impl Into<String>) -> Self {
        self.header_identifier = identifier.into();
        self
    }

    /// Adds a header to every request. The delivery's own headers, `host`, `content-length`,
    /// `transfer-encoding` and `connection` can't be set.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the time that one attempt may take in all: resolve, connect, TLS, write, the response's
    /// headers and the bounded read of its body. Default 5 s.
    ///
    /// It begins anew when the request is made again, uncounted, because it was surely not
    /// processed or met a kept connection that brought no byte of an answer. Waiting for a place
    /// under the transport's cap on connections, or for a stream of a shared one, is not in it.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets the most bytes of a response's body that are read; the connection of a longer one is
    /// dropped. Default 16 KiB.
    #[must_use]
    pub fn response_body_limit(mut self, bytes: usize) -> Self {
        self.response_body_limit = bytes;
        self
    }

    /// Sets the time that the emitter keeps its connection, and its courier, with nothing to
    /// deliver. Default 30 s.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = timeout;
        self
    }

    /// Sets when and how often an event is tried again. Default: 3 attempts in all, 1 s apart at
    /// first, growing to at most 60 s, with jitter.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets the number of attempts that an event gets in all, the first included. Default 3.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.retry = self.retry.max_attempts(attempts);
        self
    }

    /// Sets the longest `Retry-After` that is honoured; a longer one counts as this. Default 1 h.
    #[must_use]
    pub fn retry_after_limit(mut self, limit: Duration) -> Self {
        self.retry_after_limit = limit;
        self
    }

    /// Sets the order of deliveries, and the number in flight. Default [`Order::Strict`].
    #[must_use]
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Sets the consequence of a 410 answer. Default [`Gone::Retry`].
    #[must_use]
    pub fn on_gone(mut self, gone: Gone) -> Self {
        self.on_gone = gone;
        self
    }

    /// Sets the rate at which it may deliver. Default: as fast as the receiver answers.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Sets the addresses that may be connected to, in the place of all that were allowed before.
    /// Default: public ones only.
    #[must_use]
    pub fn destinations(mut self, policy: DestinationPolicy) -> Self {
        self.destinations = policy;
        self
    }

    /// Allows destinations in these networks, which are refused otherwise: loopback, private,
    /// link-local, shared, multicast, reserved and metadata addresses. Default: none.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use bugle_core::EmitterConfig;
    ///
    /// let config = EmitterConfig::new("http://10.1.2.3/hooks")?
    ///     .allow_destinations(["10.1.2.0/24".parse()?]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn allow_destinations(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.destinations = self.destinations.allow(networks);
        self
    }

    /// Allows every destination. For development, and for services that deliver inside their own
    /// network only.
    #[must_use]
    pub fn allow_private_destinations(mut self) -> Self {
        self.destinations = self.destinations.allow_private();
        self
    }

    /// Sets the version of HTTP. Default [`HttpVersion::Auto`].
    #[must_use]
    pub fn http_version(mut self, version: HttpVersion) -> Self {
        self.http_version = version;
        self
    }

    /// Connects through a proxy. Default: directly.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Trusts the certificate authorities of this PEM text too, beside the system's and those of
    /// earlier calls.
    #[must_use]
    pub fn root_certificate(mut self, pem: impl Into<String>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Shows this certificate to receivers that ask for one. Default: none.
    #[must_use]
    pub fn client_identity(mut self, identity: ClientIdentity) -> Self {
        self.client_identity = Some(identity);
        self
    }

    /// Accepts, with `true`, *any* certificate of the receiver, which lets anybody on the way read
    /// and change what is delivered. `false` takes that back: certificates are checked, as by
    /// default. These are the original's `allow_insecure` and `disallow_insecure`. For a test
    /// receiver with a certificate of its own, use [`EmitterConfig::root_certificate`].
    #[must_use]
    pub fn danger_accept_invalid_certificates(mut self, accept: bool) -> Self {
        self.danger_accept_invalid_certificates = accept;
        self
    }

    /// True when it has keys and all of them have expired by now, so that a request would go out
    /// unsigned. The clock is asked only where the answer depends on it.
    pub fn is_out_of_keys(&self, now: impl FnOnce() -> Timestamp) -> bool {
        let mut last = None;
        for secret in &self.secrets {
            let Some(expires_at) = secret.expires_at else { return false };
            last = last.max(Some(expires_at));
        }
        last.is_some_and(|last| last <= now())
    }

    /// Checks all settings together. `attach` does it too.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let identifier = &self.header_identifier;
        if !header::is_identifier(identifier) {
            return Err(ConfigError::new(
                "header_identifier",
                format!(
                    "{identifier:?} can't be part of a header's name; write letters, digits and \
                     '-', as in Webhooks"
                ),
            ));
        }
        for (name, value) in &self.headers {
            let parsed = HeaderName::try_from(name.as_str()).map_err(|_| {
                ConfigError::new(
                    "header",
                    format!("{name:?} is not a header's name; write letters, digits and '-'"),
                )
            })?;
            if header::is_reserved(&parsed, identifier) {
                return Err(ConfigError::new(
                    "header",
                    format!(
                        "{name:?} belongs to the delivery itself and can't be set; leave it out"
                    ),
                ));
            }
            HeaderValue::try_from(value.as_str()).map_err(|_| {
                ConfigError::new(
                    "header",
                    format!(
                        "the value of {name:?} has a line break or another control character, \
                         which a header can't carry; leave that out"
                    ),
                )
            })?;
        }
        receiver_url::check(&self.url)?;
        if self.request_timeout.is_zero() {
            return Err(ConfigError::new(
                "request_timeout",
                "no attempt can be made in no time; give it seconds, as the default of 5",
            ));
        }
        self.order.validate()?;
        self.rate_limit.as_ref().map_or(Ok(()), RateLimit::validate)?;
        self.retry.validate()
    }
}

impl fmt::Debug for EmitterConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header values and the URL's query may be credentials: neither is shown.
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("EmitterConfig")
            .field("url", &&self.url[..Position::AfterPath])
            .field("secrets", &self.secrets)
            .field("headers", &headers)
            .field("request_timeout", &self.request_timeout)
            .field("retry", &self.retry)
            .field("order", &self.order)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_together() -> Result<(), ConfigError> {
        let config = || EmitterConfig::new("http://example.com");
        let field = |config: EmitterConfig| config.validate().map_err(|error| error.field);
        assert_eq!(field(config()?), Ok(()));
        assert_eq!(field(config()?.header("authorization", "Bearer x")), Ok(()));
        assert_eq!(field(config()?.header("Host", "x")), Err("header"));
        assert_eq!(field(config()?.header("X-Webhooks-Event", "x")), Err("header"));
        assert_eq!(field(config()?.header("webhook-id", "x")), Err("header"));
        assert_eq!(field(config()?.header("x y", "x")), Err("header"));
        assert_eq!(field(config()?.header("x", "a\nb")), Err("header"));
        assert_eq!(field(config()?.header_identifier("a b")), Err("header_identifier"));
        assert_eq!(field(config()?.request_timeout(Duration::ZERO)), Err("request_timeout"));
        assert_eq!(field(config()?.order(Order::PerKey { window: 0 })), Err("order"));
        assert_eq!(field(config()?.max_attempts(0)), Err("max_attempts"));
        for (limit, expected) in [
            (RateLimit::per_second(0), Err("rate_limit")),
            (RateLimit::per_second(1_000_001), Err("rate_limit")),
            (RateLimit::per_minute(1).burst(0), Err("rate_limit")),
            (RateLimit::per_hour(1).burst(1_000_001), Err("rate_limit")),
            (RateLimit::per_hour(1_000_000).burst(1_000_000), Ok(())),
        ] {
            assert_eq!(field(config()?.rate_limit(limit)), expected, "{limit:?}");
        }
        Ok(())
    }
}
