//! Finds a connection for a request: one that is shared, or a new one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bugle_core::{AttemptCode, Failure};
use tokio::time::{Instant, timeout_at};

use crate::connection::Connection;
use crate::dial::Dialed;
use crate::failure::{Step, describe_hyper, late};
use crate::multiplex::Multiplex;
use crate::session::{Attempt, HttpSession};
use crate::transport::Shared;

/// A request that shared connections refused this many times gets a connection of its own: each of
/// the receiver's connections takes few requests.
const SHARED_REFUSALS: u32 = 2;

/// A shared connection could not be made. Deliveries that waited for it fail with it, instead of
/// trying the same one after the other.
pub(crate) struct Unmade {
    at: Instant,
    failure: Failure,
}

/// A connection that a request goes over.
pub(crate) enum Way {
    Own(Box<Connection>),
    Shared(Arc<Multiplex>),
}

/// The connection that was found for a request.
pub(crate) struct Found {
    pub(crate) way: Way,
    /// True when other requests went over it before.
    pub(crate) kept: bool,
    pub(crate) deadline: Instant,
}

impl HttpSession {
    /// Finds a connection for the request.
    pub(crate) async fn find(&self, attempt: &mut Attempt<'_>) -> Result<Found, Failure> {
        let shares = self.multiplexes.load(Ordering::Relaxed)
            && attempt.progress.made_again <= SHARED_REFUSALS + u32::from(attempt.met_silence);
        if !shares {
            return self.connect(attempt, false).await;
        }
        let asked = Instant::now();
        if let Some(multiplex) = self.kept.multiplex(self.config.idle_timeout) {
            let deadline = self.deadline(asked);
            return Ok(Found { way: Way::Shared(multiplex), kept: true, deadline });
        }
        attempt.progress.enter(Step::Connect);
        let mut making = self.making.lock().await;
        if let Some(multiplex) = self.kept.multiplex(self.config.idle_timeout) {
            attempt.progress.enter(Step::Respond);
            let deadline = self.deadline(Instant::now());
            return Ok(Found { way: Way::Shared(multiplex), kept: false, deadline });
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
    async fn connect(&self, attempt: &mut Attempt<'_>, share: bool) -> Result<Found, Failure> {
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
            Ok(way) => way.map(|way| Found { way, kept: false, deadline }),
            Err(_) => Err(late(attempt.progress.step(), timeout)),
        }
    }
}
