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
    #[serde(with = "WrittenHttpVersion")]
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
enum WrittenHttpVersion {
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

/// Writes values as text that is read back exactly: URLs, and numbers with a fraction.
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
    struct WrittenSecret<T> {
        /// True for a plain secret, which may look like a key.
        plain: bool,
        text: T,
        expires_at: Option<Timestamp>,
    }

    pub(super) fn serialize<S: Serializer>(it: &[Secret], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(it.iter().map(|secret| WrittenSecret {
            plain: matches!(secret.key(), Key::Plain(_)),
            text: secret.reveal(),
            expires_at: secret.expires_at,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Secret>, D::Error> {
        let written = Vec::<WrittenSecret<String>>::deserialize(from)?;
        let read = |WrittenSecret { plain, text, expires_at }: WrittenSecret<String>| {
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
    struct WrittenRateLimit {
        attempts: u32,
        per: Duration,
        burst: u32,
    }

    pub(super) fn serialize<S: Serializer>(
        it: &Option<RateLimit>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let written =
            it.map(|RateLimit { attempts, per, burst }| WrittenRateLimit { attempts, per, burst });
        written.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<RateLimit>, D::Error> {
        let written = Option::<WrittenRateLimit>::deserialize(from)?;
        Ok(written.map(|WrittenRateLimit { attempts, per, burst }| RateLimit {
            attempts,
            per,
            burst,
        }))
    }
}

mod proxy {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::Proxy;

    /// The written form of a proxy that resolves names; others are their URL alone.
    #[derive(Serialize, Deserialize)]
    #[serde(untagged, deny_unknown_fields)]
    enum WrittenProxy<T> {
        Plain(T),
        Resolving { url: T, resolves_names: bool },
    }

    pub(super) fn serialize<S: Serializer>(it: &Option<Proxy>, to: S) -> Result<S::Ok, S::Error> {
        let written = it.as_ref().map(|proxy| {
            let url = proxy.url().as_str();
            match proxy.resolves_names() {
                false => WrittenProxy::Plain(url),
                resolves_names => WrittenProxy::Resolving { url, resolves_names },
            }
        });
        written.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Proxy>, D::Error> {
        // No error repeats what was read: it may hold credentials.
        let wrong = || D::Error::custom("not a proxy");
        let written = Option::<WrittenProxy<String>>::deserialize(from).map_err(|_| wrong())?;
        let proxy = match written {
            None => return Ok(None),
            Some(WrittenProxy::Plain(url)) => Proxy::new(&url),
            Some(WrittenProxy::Resolving { url, resolves_names: false }) => Proxy::new(&url),
            Some(WrittenProxy::Resolving { url, resolves_names: true }) => {
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
    struct WrittenIdentity<T> {
        certificate_chain: T,
        private_key: T,
    }

    pub(super) fn serialize<S: Serializer>(
        it: &Option<ClientIdentity>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let written = it.as_ref().map(|identity| WrittenIdentity {
            certificate_chain: identity.certificate_chain(),
            private_key: identity.private_key(),
        });
        written.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<ClientIdentity>, D::Error> {
        let written = Option::<WrittenIdentity<String>>::deserialize(from)?;
        Ok(written.map(|it| ClientIdentity::from_pem(it.certificate_chain, it.private_key)))
    }
}
