//! Finds a connection for a request: one that is shared, or a new one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bugle_core::{AttemptCode, ConfigError, EmitterConfig, Failure};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::attempt::Attempt;
use crate::connection::Connection;
use crate::dial::{Dialed, Route};
use crate::failure::{Step, describe_hyper, late};
use crate::kept::Kept;
use crate::multiplex::Multiplex;
use crate::request::Template;
use crate::shared::Shared;

/// A time longer than any deadline: ten years.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A request that shared connections refused this many times gets a connection of its own: each of
/// the receiver's connections takes few requests.
const SHARED_REFUSALS: u32 = 2;

/// An emitter's connections to its receiver: those that are open, and the way to open more.
pub(crate) struct Ways {
    /// The state that all sessions of the transport share.
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<EmitterConfig>,
    pub(crate) route: Route,
    pub(crate) template: Template,
    /// The connections that are open and idle, or shared.
    pub(crate) kept: Arc<Kept>,
    /// Is held while a connection is made that may turn out to be shared, so that the deliveries of
    /// a window don't make one each.
    making: Mutex<Option<Unmade>>,
    /// True while deliveries may find a shared connection.
    multiplexes: AtomicBool,
}

/// A shared connection could not be made. Deliveries that waited for it fail with it, instead of
/// trying the same one after the other.
struct Unmade {
    at: Instant,
    failure: Failure,
}

/// A connection that a request goes over.
pub(crate) enum Way {
    Own(Box<Connection>),
    Shared(Arc<Multiplex>),
}

/// The connection that was found for a request.
pub(crate) struct FoundWay {
    pub(crate) way: Way,
    /// True when other requests went over it before.
    pub(crate) kept: bool,
    pub(crate) deadline: Instant,
}

impl Ways {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        config: &Arc<EmitterConfig>,
    ) -> Result<Self, ConfigError> {
        let route = Route::new(config, &shared.tls)?;
        let kept = Arc::new(Kept::default());
        shared.slots.register(&kept);
        Ok(Self {
            shared: Arc::clone(shared),
            config: Arc::clone(config),
            multiplexes: AtomicBool::new(route.may_multiplex(config)),
            route,
            template: Template::new(config)?,
            kept,
            making: Mutex::default(),
        })
    }

    /// Checks the configuration as [`Ways::new`] does, and refuses the same.
    pub(crate) fn check(shared: &Shared, config: &EmitterConfig) -> Result<(), ConfigError> {
        Route::new(config, &shared.tls)?;
        Template::new(config)?;
        Ok(())
    }

    /// The deadline of an attempt that begins now.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        now.checked_add(self.config.request_timeout).unwrap_or(now + FOREVER)
    }

    /// Finds a connection for the request.
    pub(crate) async fn find(&self, attempt: &mut Attempt<'_>) -> Result<FoundWay, Failure> {
        let shares = self.multiplexes.load(Ordering::Relaxed)
            && attempt.progress.made_again <= SHARED_REFUSALS + u32::from(attempt.met_silence);
        if !shares {
            return self.connect(attempt, false).await;
        }
        let asked = Instant::now();
        if let Some(multiplex) = self.kept.multiplex(self.config.idle_timeout) {
            let deadline = self.deadline(asked);
            return Ok(FoundWay { way: Way::Shared(multiplex), kept: true, deadline });
        }
        attempt.progress.enter(Step::Connect);
        let mut making = self.making.lock().await;
        if let Some(multiplex) = self.kept.multiplex(self.config.idle_timeout) {
            attempt.progress.enter(Step::Respond);
            let deadline = self.deadline(Instant::now());
            return Ok(FoundWay { way: Way::Shared(multiplex), kept: false, deadline });
        }
        if let Some(unmade) = &*making
            && unmade.at >= asked
        {
            return Err(unmade.failure.clone());
        }
        if !self.multiplexes.load(Ordering::Relaxed) {
            // The last delivery found that the receiver doesn't share: no need to wait in line.
            drop(making);
            return self.connect(attempt, false).await;
        }
        let found = self.connect(attempt, true).await;
        *making = match &found {
            Ok(_) => None,
            Err(failure) => Some(Unmade { at: Instant::now(), failure: failure.clone() }),
        };
        found
    }

    /// Makes a new connection, to be shared where the receiver shares and other deliveries may use
    /// it.
    async fn connect(&self, attempt: &mut Attempt<'_>, share: bool) -> Result<FoundWay, Failure> {
        let Shared { resolver, slots, patience, .. } = &*self.shared;
        let timeout = self.config.request_timeout;
        let Attempt { progress, addresses, .. } = attempt;
        progress.enter(Step::Slot);
        let Some(slot) = slots.take(*patience).await else {
            return Err(late(Step::Slot, *patience));
        };
        let deadline = self.deadline(Instant::now());
        let work = async {
            let policy = &self.config.destinations;
            let dialed = self.route.dial(&**resolver, slots, slot, policy, progress).await?;
            progress.enter(Step::Respond);
            let broken = |error: hyper::Error| {
                Failure::new(AttemptCode::BadConnection, describe_hyper(&error))
            };
            if dialed.http2 {
                let multiplex =
                    Multiplex::start(dialed.stream, dialed.address).await.map_err(broken)?;
                if share {
                    self.kept.keep_multiplex(Arc::clone(&multiplex));
                }
                return Ok(Way::Shared(multiplex));
            }
            self.multiplexes.store(false, Ordering::Relaxed);
            let Dialed { stream, address, forwarded, .. } = dialed;
            let draft = self.template.draft(forwarded.as_ref());
            *addresses = forwarded.map_or(1, |forwarded| forwarded.addresses);
            Ok(Way::Own(Connection::new(stream, address, draft, deadline)))
        };
        match timeout_at(deadline, work).await {
            Ok(way) => way.map(|way| FoundWay { way, kept: false, deadline }),
            Err(_) => Err(late(attempt.progress.step(), timeout)),
        }
    }
}
