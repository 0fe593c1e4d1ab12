//! Where an emitter's deliveries go: to a receiver over HTTP, or to a handler in the process.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::sync::Arc;
use std::time::Duration;

use bugle_core::stored::StoredConfig;
use bugle_core::{
    ConfigError, EmitterConfig, EmitterId, Gone, Lane, Order, RateLimit, Sequence, Session,
    Transport,
};
use rustc_hash::FxHasher;

use crate::words::handler::{Handler, HandlerConfig, HandlerSession};

/// Where an emitter's deliveries go.
#[derive(Clone)]
pub(crate) enum Target {
    Http(Arc<EmitterConfig>),
    Handler(Arc<dyn Handler>, Arc<HandlerConfig>),
}

impl Target {
    pub(crate) fn open(&self, transport: &dyn Transport) -> Result<Box<dyn Session>, ConfigError> {
        match self {
            Self::Http(config) => transport.open(config),
            Self::Handler(handler, config) => Ok(Box::new(HandlerSession {
                handler: Arc::clone(handler),
                timeout: config.timeout,
            })),
        }
    }

    pub(crate) fn lane(&self, id: &EmitterId, cursor: Sequence) -> Lane {
        // The same emitter has the same jitter after a restart, and another one than its siblings.
        let seed = BuildHasherDefault::<FxHasher>::default().hash_one(id);
        match self {
            Self::Http(config) => Lane::new(config, seed, cursor),
            Self::Handler(_, config) => Lane::with(
                config.order,
                config.retry.clone(),
                Duration::MAX,
                Gone::Retry,
                seed,
                cursor,
            ),
        }
    }

    pub(crate) fn order(&self) -> Order {
        match self {
            Self::Http(config) => config.order,
            Self::Handler(_, config) => config.order,
        }
    }

    pub(crate) fn rate_limit(&self) -> Option<RateLimit> {
        match self {
            Self::Http(config) => config.rate_limit,
            Self::Handler(_, config) => config.rate_limit,
        }
    }

    pub(crate) fn idle_timeout(&self) -> Duration {
        match self {
            Self::Http(config) => config.idle_timeout,
            Self::Handler(_, config) => config.idle_timeout,
        }
    }

    /// An attempt may take this long.
    pub(crate) fn timeout(&self) -> Duration {
        match self {
            Self::Http(config) => config.request_timeout,
            Self::Handler(_, config) => config.timeout,
        }
    }

    /// Says whether it delivers in the same way. Of handlers nobody knows.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => {
                Arc::ptr_eq(one, other)
                    || matches!(
                        (StoredConfig::write(one), StoredConfig::write(other)),
                        (Ok(one), Ok(other)) if one == other
                    )
            }
            _ => false,
        }
    }

    /// Says whether both deliver to one receiver. Of handlers nobody knows.
    pub(crate) fn is_of_one_receiver(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http(one), Self::Http(other)) => one.url == other.url,
            _ => false,
        }
    }

    pub(crate) fn gone(&self) -> Gone {
        match self {
            Self::Http(config) => config.on_gone,
            Self::Handler(..) => Gone::Retry,
        }
    }

    /// The URL without what may be a token.
    pub(crate) fn shown_url(&self) -> Option<String> {
        match self {
            Self::Http(config) => {
                let mut url = config.url.clone();
                url.set_query(None);
                url.set_fragment(None);
                Some(url.into())
            }
            Self::Handler(..) => None,
        }
    }
}
