//! The receivers: an emitter for each `--to`.

use std::collections::HashSet;
use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use bugle::{
    AttachError, ClientIdentity, ConfigError, EmitterConfig, EmitterId, EventName, HttpVersion,
    Order, Proxy, RateLimit, RetryPolicy, Runtime,
};

use super::args::{DeliverArgs, FlowArgs, NetworkArgs, OrderName, RetryArgs};
use crate::error::CliError;

/// Every event is for every receiver.
const ALL_EVENTS: &str = ">";

/// The window of an order that has one, unless it is set.
const DEFAULT_WINDOW: u16 = 16;

/// One receiver.
pub(super) struct Target {
    /// The emitter's id: the URL's host and port, with a number where that is not enough.
    pub(super) id: String,
    /// The URL as it was given.
    pub(super) url: String,
    config: Arc<EmitterConfig>,
}

impl Target {
    /// Attaches the emitter.
    pub(super) async fn attach(&self, runtime: &Runtime) -> Result<(), CliError> {
        let attached = runtime.attach(&self.id, ALL_EVENTS, Arc::clone(&self.config)).await;
        attached.map_err(|error| match error {
            AttachError::Config(error) => unfit(&error),
            other => CliError::failed(other),
        })
    }
}

impl DeliverArgs {
    /// The receivers, with everything checked that can be checked before the first event.
    pub(super) fn targets(&self) -> Result<Vec<Target>, CliError> {
        if let Some(name) = &self.event {
            EventName::new(name).map_err(|error| CliError::usage(format!("--event: {error}")))?;
        }
        let mut taken = HashSet::new();
        let mut targets = Vec::new();
        for url in &self.to {
            let config = self.config(url)?;
            config.validate().map_err(|error| unfit(&error))?;
            let id = free_id(&config, &mut taken);
            targets.push(Target { id, url: url.clone(), config: Arc::new(config) });
        }
        Ok(targets)
    }

    fn config(&self, url: &str) -> Result<EmitterConfig, CliError> {
        let mut config = EmitterConfig::new(url).map_err(|error| unfit(&error))?;
        for secret in self.keys.secrets()? {
            config = config.secret(secret);
        }
        config = config
            .header_identifier(&self.identifier)
            .request_timeout(self.retries.timeout)
            .retry(self.retries.policy())
            .order(self.flow.order()?);
        if let Some(limit) = self.flow.rate_limit() {
            config = config.rate_limit(limit);
        }
        self.network.apply(config)
    }
}

impl RetryArgs {
    fn policy(&self) -> RetryPolicy {
        let policy = match self.patient {
            true => RetryPolicy::patient(),
            false => RetryPolicy::exponential(self.retry_first, self.retry_max),
        };
        match self.max_attempts {
            Some(attempts) => policy.with_max_attempts(attempts),
            None => policy,
        }
    }
}

impl FlowArgs {
    fn order(&self) -> Result<Order, CliError> {
        let window = self.window.unwrap_or(DEFAULT_WINDOW);
        match self.order {
            OrderName::Strict if self.window.is_some() => Err(CliError::usage(
                "--window: strict order sends one at a time; add --order per-key or unordered",
            )),
            OrderName::Strict => Ok(Order::Strict),
            OrderName::PerKey => Ok(Order::PerKey { window }),
            OrderName::Unordered => Ok(Order::Unordered { window }),
        }
    }

    fn rate_limit(&self) -> Option<RateLimit> {
        // A tenth of a second's worth may go at once, as a timer is not exact.
        let burst = |rate: NonZeroU32| NonZeroU32::new(rate.get() / 10).unwrap_or(NonZeroU32::MIN);
        self.rate.map(|rate| RateLimit { per_second: rate, burst: burst(rate) })
    }
}

impl NetworkArgs {
    fn apply(&self, mut config: EmitterConfig) -> Result<EmitterConfig, CliError> {
        for header in &self.header {
            // The value may be a credential, so it is not repeated.
            let (name, value) = header.split_once(':').ok_or_else(|| {
                CliError::usage("--header: write it like 'Name: value', with a colon")
            })?;
            config = config.header(name.trim(), value.trim());
        }
        config = config.allow_destinations(self.allow_destination.iter().copied());
        if self.allow_private {
            config = config.allow_private_destinations();
        }
        for path in &self.ca {
            config = config.add_root_certificates(read("--ca", path)?);
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            let certificate = read("--client-cert", certificate)?;
            let key = read("--client-key", key)?;
            config = config.client_identity(ClientIdentity::from_pem(certificate, key));
        }
        if let Some(url) = &self.proxy {
            config = config.proxy(Proxy::new(url).map_err(|error| unfit(&error))?);
        }
        if self.http2 {
            config = config.http_version(HttpVersion::Http2);
        }
        if self.danger_accept_invalid_certs {
            config = config.danger_accept_invalid_certificates();
        }
        Ok(config)
    }
}

/// A setting's error, under the name of its flag.
fn unfit(error: &ConfigError) -> CliError {
    let flag = match error.field {
        "url" => "--to",
        "header" => "--header",
        "header_identifier" => "--identifier",
        "request_timeout" => "--timeout",
        "max_attempts" => "--max-attempts",
        "retry.first" => "--retry-first",
        "retry.max" => "--retry-max",
        "order" => "--window",
        "proxy" => "--proxy",
        "root_certificates" => "--ca",
        "client_identity" => "--client-cert",
        field => field,
    };
    CliError::usage(format!("{flag}: {}", error.message))
}

fn read(flag: &str, path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path)
        .map_err(|error| CliError::usage(format!("{flag} {}: {error}", path.display())))
}

fn free_id(config: &EmitterConfig, taken: &mut HashSet<String>) -> String {
    let url = &config.url;
    let host = url.host_str().unwrap_or_default();
    let name = match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    // A host may be longer than an id; that it is unique matters more than that it is whole.
    let name = if EmitterId::new(&name).is_ok() { name } else { "to".to_owned() };
    let numbered = (2..).map(|number| format!("{name}#{number}"));
    let mut candidates = std::iter::once(name.clone()).chain(numbered);
    candidates.find(|id| taken.insert(id.clone())).unwrap_or(name)
}
