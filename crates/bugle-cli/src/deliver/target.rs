//! The receivers: an emitter for each `--to`, and those of an earlier run.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bugle::{
    AttachError, ClientIdentity, ConfigError, EmitterConfig, EmitterId, EmitterSpec, EventName,
    HttpVersion, Order, Proxy, RateLimit, RetryPolicy, Runtime, Subscription,
};

use super::args::{DeliverArgs, FlowArgs, NetworkArgs, OrderName, RetryArgs};
use super::receivers;
use crate::error::CliError;
use crate::keys::KeyArgs;

/// The subscription of a receiver that gets every event.
const ALL_EVENTS: &str = ">";

/// The subscription of a receiver of an earlier run that this one does not name: it gets nothing
/// more than the events that wait for it. No line may have this name.
pub(super) const NO_MORE_EVENTS: &str = "bugle.deliver.no-more-events";

/// The window of an order that has one, where `--window` is not given.
const DEFAULT_WINDOW: u16 = 16;

/// One receiver.
pub(crate) struct Target {
    /// The emitter's id: the URL's host and port, with a number where that is not enough.
    pub(crate) id: String,
    /// The URL as it was given.
    pub(crate) url: String,
    config: Arc<EmitterConfig>,
    /// The subscription that it had in an earlier run, if there was one.
    subscription: Option<Subscription>,
}

impl Target {
    /// Has its emitter run, with `events` as its subscription, whatever it had in an earlier run.
    async fn ensure(&self, runtime: &Runtime, events: &str) -> Result<(), CliError> {
        let ensured = runtime.ensure(&self.id, [events], Arc::clone(&self.config)).await;
        ensured.map_err(|error| match error {
            AttachError::Config(error) => unfit(&error),
            other => CliError::store(other),
        })?;
        if !runtime.is_started(&self.id) {
            runtime.restart(&self.id).await.map_err(CliError::store)?;
        }
        Ok(())
    }

    /// A receiver of an earlier run.
    fn stored(spec: &EmitterSpec) -> Self {
        let mut url = spec.config.url.clone();
        url.set_query(None);
        let subscription = Some(spec.subscription.clone());
        let config = Arc::clone(&spec.config);
        Self { id: spec.id.to_string(), url: url.into(), config, subscription }
    }
}

/// All receivers of a run.
pub(crate) struct Targets {
    /// All receivers; those that only get what waits for them come last.
    pub(crate) all: Vec<Target>,
    /// The number of receivers that get the events of this run.
    asked: usize,
    /// True when `--to` named them; otherwise all are as the store has them.
    pub(super) named: bool,
}

impl Targets {
    /// Joins the receivers that are named with those of an earlier run.
    pub(crate) fn new(named: Vec<EmitterConfig>, stored: &[EmitterSpec]) -> Result<Self, CliError> {
        let mut free = FreeIds::new(stored);
        let named = named.into_iter().map(|config| {
            let id = free.take(&config);
            let url = config.url.to_string();
            Target { id, url, config: Arc::new(config), subscription: None }
        });
        let mut all: Vec<Target> = named.collect();
        let named = !all.is_empty();
        let others = stored.iter().filter(|spec| !free.taken.contains(spec.id.as_str()));
        let asked = all.len();
        all.extend(others.map(Target::stored));
        if all.is_empty() {
            return Err(CliError::usage("the store has no receivers yet: name one with --to URL"));
        }
        let asked = if named { asked } else { all.len() };
        Ok(Self { all, asked, named })
    }

    /// Has the receivers' emitters run.
    pub(crate) async fn ensure(&self, runtime: &Runtime) -> Result<(), CliError> {
        if !self.named {
            return Ok(());
        }
        let (asked, others) = self.all.split_at(self.asked);
        for target in asked {
            target.ensure(runtime, ALL_EVENTS).await?;
        }
        for target in others {
            target.ensure(runtime, NO_MORE_EVENTS).await?;
        }
        Ok(())
    }

    /// The receivers' subscriptions; `None` where each of them gets every event.
    pub(super) fn wanted(&self) -> Option<Vec<Subscription>> {
        (!self.named).then(|| self.all.iter().filter_map(|it| it.subscription.clone()).collect())
    }

    /// The receivers that only get what waits for them.
    pub(crate) fn others(&self) -> &[Target] {
        self.all.get(self.asked..).unwrap_or_default()
    }
}

impl DeliverArgs {
    /// The configurations of the receivers that `--to` names. Everything is checked that can be
    /// checked before the first event.
    pub(super) fn configs(&self) -> Result<Vec<EmitterConfig>, CliError> {
        if let Some(name) = &self.event {
            EventName::new(name).map_err(|error| CliError::usage(format!("--event: {error}")))?;
        }
        let receivers = Receivers {
            to: &self.to,
            keys: &self.keys,
            identifier: &self.identifier,
            retries: &self.retries,
            flow: &self.flow,
            network: &self.network,
        };
        receivers.configs()
    }
}

/// The settings that receivers are made of, the same for each command that has receivers.
pub(crate) struct Receivers<'a> {
    pub(crate) to: &'a [String],
    pub(crate) keys: &'a KeyArgs,
    pub(crate) identifier: &'a str,
    pub(crate) retries: &'a RetryArgs,
    pub(crate) flow: &'a FlowArgs,
    pub(crate) network: &'a NetworkArgs,
}

impl Receivers<'_> {
    /// The receivers' configurations. Everything is checked that can be checked before the first
    /// event.
    pub(crate) fn configs(&self) -> Result<Vec<EmitterConfig>, CliError> {
        let checked = self.to.iter().map(|url| {
            let config = self.config(url)?;
            config.validate().map_err(|error| unfit(&error))?;
            Ok(config)
        });
        let configs: Vec<EmitterConfig> = checked.collect::<Result<_, CliError>>()?;
        match receivers::twice(&configs) {
            Some(why) => Err(CliError::usage(why)),
            None => Ok(configs),
        }
    }

    fn config(&self, url: &str) -> Result<EmitterConfig, CliError> {
        let mut config = EmitterConfig::new(url).map_err(|error| unfit(&error))?;
        for secret in self.keys.secrets()? {
            config = config.secret(secret);
        }
        config = config
            .header_identifier(self.identifier)
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
            Some(attempts) => policy.max_attempts(attempts),
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
        self.rate.map(|rate| RateLimit::per_second(rate.get()).burst((rate.get() / 10).max(1)))
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
            config = config.root_certificate(read("--ca", path)?);
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
            config = config.danger_accept_invalid_certificates(true);
        }
        Ok(config)
    }
}

/// Words a setting's error, under the name of its flag.
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
        .map_err(|error| CliError::unreadable(format_args!("{flag} {}", path.display()), &error))
}

/// The emitter ids that are still free.
struct FreeIds<'a> {
    stored: &'a [EmitterSpec],
    taken: HashSet<String>,
}

impl<'a> FreeIds<'a> {
    fn new(stored: &'a [EmitterSpec]) -> Self {
        Self { stored, taken: HashSet::new() }
    }

    /// Takes the id that this receiver had in an earlier run, or its URL's host and port, with a
    /// number where that is not enough.
    fn take(&mut self, config: &EmitterConfig) -> String {
        let url = &config.url;
        let before = self.stored.iter().filter(|spec| spec.config.url == *url);
        for spec in before {
            if self.taken.insert(spec.id.to_string()) {
                return spec.id.to_string();
            }
        }
        let host = url.host_str().unwrap_or_default();
        let name = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        // A host may be longer than an id; that it is unique matters more than that it is whole.
        let name = if EmitterId::new(&name).is_ok() { name } else { "to".to_owned() };
        let numbered = (2..).map(|number| format!("{name}#{number}"));
        let mut candidates = std::iter::once(name.clone()).chain(numbered);
        let is_stored = |id: &str| self.stored.iter().any(|spec| spec.id.as_str() == id);
        let id = candidates.find(|id| !is_stored(id) && !self.taken.contains(id)).unwrap_or(name);
        self.taken.insert(id.clone());
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(url: &str) -> EmitterConfig {
        EmitterConfig::new(url).unwrap()
    }

    fn stored(id: &str, url: &str) -> EmitterSpec {
        let subscription = Subscription::new([ALL_EVENTS]).unwrap();
        EmitterSpec::new(EmitterId::new(id).unwrap(), subscription, config(url))
    }

    #[test]
    fn a_receiver_keeps_its_id_and_takes_no_others() {
        let stored =
            [stored("a.com", "https://a.com/one?t=1"), stored("a.com#2", "https://a.com/two")];
        let ids = |urls: &[&str]| -> Vec<String> {
            let mut free = FreeIds::new(&stored);
            urls.iter().map(|url| free.take(&config(url))).collect()
        };
        assert_eq!(ids(&["https://a.com/two", "https://a.com/one?t=1"]), ["a.com#2", "a.com"]);
        assert_eq!(ids(&["https://a.com/one", "https://a.com/two"]), ["a.com#3", "a.com#2"]);
        assert_eq!(ids(&["https://a.com/two", "https://a.com/two"]), ["a.com#2", "a.com#3"]);
        assert_eq!(ids(&["http://b.com:81/", "http://b.com:81/x"]), ["b.com:81", "b.com:81#2"]);
    }
}
