//! The settings, each in its written form. A setting that is added to [`EmitterConfig`] and not
//! here does not compile.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::retry::Intervals;
use crate::{
    ClientIdentity, DestinationPolicy, EmitterConfig, Gone, HttpVersion, Order, Proxy, RateLimit,
    RetryPolicy, Secret,
};

#[derive(Serialize, Deserialize)]
#[serde(remote = "EmitterConfig", deny_unknown_fields)]
pub(super) struct Config {
    #[serde(with = "text")]
    url: Url,
    #[serde(with = "secrets")]
    secrets: Vec<Secret>,
    header_identifier: String,
    headers: Vec<(String, String)>,
    request_timeout: Duration,
    response_body_limit: usize,
    idle_timeout: Duration,
    #[serde(with = "Retry")]
    retry: RetryPolicy,
    retry_after_limit: Duration,
    #[serde(with = "WrittenOrder")]
    order: Order,
    #[serde(with = "WrittenGone")]
    #[serde(rename = "gone")]
    on_gone: Gone,
    #[serde(with = "rate_limit")]
    rate_limit: Option<RateLimit>,
    #[serde(with = "Destinations")]
    destinations: DestinationPolicy,
    #[serde(with = "Version")]
    http_version: HttpVersion,
    #[serde(with = "proxy")]
    proxy: Option<Proxy>,
    root_certificates: Vec<String>,
    #[serde(with = "identity")]
    client_identity: Option<ClientIdentity>,
    danger_accept_invalid_certificates: bool,
}

pub(super) fn write<S: Serializer>(config: &EmitterConfig, to: S) -> Result<S::Ok, S::Error> {
    Config::serialize(config, to)
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "RetryPolicy", deny_unknown_fields)]
struct Retry {
    max_attempts: u32,
    #[serde(with = "WrittenIntervals")]
    intervals: Intervals,
    #[serde(with = "optional_text")]
    multiplier: Option<f64>,
    #[serde(with = "text")]
    jitter: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Intervals", rename_all = "snake_case", deny_unknown_fields)]
enum WrittenIntervals {
    Growing { first: Duration, max: Duration },
    Listed(Arc<[Duration]>),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Order", rename_all = "snake_case", deny_unknown_fields)]
enum WrittenOrder {
    Strict,
    PerKey { window: u16 },
    Unordered { window: u16 },
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Gone", rename_all = "snake_case")]
enum WrittenGone {
    Retry,
    Pause,
    Detach,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "HttpVersion", rename_all = "snake_case")]
enum Version {
    Auto,
    Http1,
    Http2,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "DestinationPolicy", deny_unknown_fields)]
struct Destinations {
    allowed: Vec<IpNet>,
    all: bool,
}

/// What is written as text and read back exactly: URLs, and numbers with a fraction.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(it: &T, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(it)
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        from: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(|_| D::Error::custom("not as it was written"))
    }
}

mod optional_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(it: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        it.map(|it| it.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let number = text.map(|text| text.parse()).transpose();
        number.map_err(|_| D::Error::custom("not as it was written"))
    }
}

mod secrets {
    use jiff::Timestamp;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::Secret;
    use crate::secret::Key;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written<T> {
        /// A plain secret may look like a key.
        plain: bool,
        text: T,
        expires_at: Option<Timestamp>,
    }

    pub(super) fn serialize<S: Serializer>(it: &[Secret], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(it.iter().map(|secret| Written {
            plain: matches!(secret.key(), Key::Plain(_)),
            text: secret.reveal(),
            expires_at: secret.expires_at,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Secret>, D::Error> {
        let written = Vec::<Written<String>>::deserialize(from)?;
        let read = |Written { plain, text, expires_at }: Written<String>| {
            let text = zeroize::Zeroizing::new(text);
            let secret = if plain { Secret::plain(text.as_str()) } else { Secret::parse(&text) };
            let secret = secret.map_err(|_| D::Error::custom("not a key"))?;
            Ok(match expires_at {
                Some(instant) => secret.expires_at(instant),
                None => secret,
            })
        };
        written.into_iter().map(read).collect()
    }
}

mod rate_limit {
    use super::{Deserialize, Duration, RateLimit, Serialize, Serializer};
    use serde::Deserializer;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        attempts: u32,
        per: Duration,
        burst: u32,
    }

    pub(super) fn serialize<S: Serializer>(
        it: &Option<RateLimit>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let written = it.map(|RateLimit { attempts, per, burst }| Written { attempts, per, burst });
        written.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<RateLimit>, D::Error> {
        let written = Option::<Written>::deserialize(from)?;
        Ok(written.map(|Written { attempts, per, burst }| RateLimit { attempts, per, burst }))
    }
}

mod proxy {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::Proxy;

    /// How a proxy that resolves names is written; others are their URL alone.
    #[derive(Serialize, Deserialize)]
    #[serde(untagged, deny_unknown_fields)]
    enum Written<T> {
        Plain(T),
        Resolving { url: T, resolves_names: bool },
    }

    pub(super) fn serialize<S: Serializer>(it: &Option<Proxy>, to: S) -> Result<S::Ok, S::Error> {
        let written = it.as_ref().map(|proxy| {
            let url = proxy.url().as_str();
            match proxy.resolves_names() {
                false => Written::Plain(url),
                resolves_names => Written::Resolving { url, resolves_names },
            }
        });
        written.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Proxy>, D::Error> {
        // No error repeats what was read: it may hold credentials.
        let wrong = || D::Error::custom("not a proxy");
        let written = Option::<Written<String>>::deserialize(from).map_err(|_| wrong())?;
        let proxy = match written {
            None => return Ok(None),
            Some(Written::Plain(url)) => Proxy::new(&url),
            Some(Written::Resolving { url, resolves_names: false }) => Proxy::new(&url),
            Some(Written::Resolving { url, resolves_names: true }) => {
                Proxy::new(&url).map(Proxy::resolving_names)
            }
        };
        proxy.map(Some).map_err(|_| wrong())
    }
}

mod identity {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::ClientIdentity;

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written<T> {
        certificate_chain: T,
        private_key: T,
    }

    pub(super) fn serialize<S: Serializer>(
        it: &Option<ClientIdentity>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let written = it.as_ref().map(|identity| Written {
            certificate_chain: identity.certificate_chain(),
            private_key: identity.private_key(),
        });
        written.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<ClientIdentity>, D::Error> {
        let written = Option::<Written<String>>::deserialize(from)?;
        Ok(written.map(|it| ClientIdentity::from_pem(it.certificate_chain, it.private_key)))
    }
}
