//! An emitter's session with its receiver: one attempt, step by step.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bugle_core::{
    AttemptCode, BoxFuture, ConfigError, Delivery, EmitterConfig, Exchange, Failure, Outcome,
    Session, SpokenVersion,
};
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::dial::Route;
use crate::failure::{Broken, Progress, unsigned};
use crate::forwarded;
use crate::http1::request::Draft;
use crate::kept::Kept;
use crate::multiplex::{Allowance, Multiplex};
use crate::request::Template;
use crate::response::{Answered, Reading};
use crate::transport::Shared;
use crate::ways::{Found, Unmade, Way};

/// A time longer than any deadline: ten years.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The number of times that a request is made again within one attempt, uncounted. A receiver that
/// takes none of them counts as unreachable.
const MADE_AGAIN: u32 = 4;

/// The deliveries to one receiver.
pub(crate) struct HttpSession {
    /// The state that all sessions of the transport share.
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Arc<EmitterConfig>,
    pub(crate) route: Route,
    pub(crate) template: Template,
    /// The connections that are open and idle, or shared.
    pub(crate) kept: Arc<Kept>,
    /// Is held while a connection is made that may turn out to be shared, so that the deliveries of
    /// a window don't make one each.
    pub(crate) making: Mutex<Option<Unmade>>,
    /// True while deliveries may find a shared connection.
    pub(crate) multiplexes: AtomicBool,
}

/// An attempt that needs a connection other than an idle one.
pub(crate) struct Attempt<'a> {
    pub(crate) delivery: &'a Delivery,
    pub(crate) reading: Reading,
    pub(crate) started: Instant,
    pub(crate) progress: Progress,
    /// True when the request was made again because a kept connection brought no byte of an answer.
    pub(crate) met_silence: bool,
    /// The number of addresses that a proxy may be asked for, and of those that it did not reach.
    pub(crate) addresses: usize,
    pub(crate) not_found_at: usize,
}

/// A request on a kept connection has to be made again.
enum Again {
    Broken(Broken),
    /// A forwarding proxy did not reach the address that it was given.
    NoWay,
}

impl Session for HttpSession {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
        if self.config.is_out_of_keys(Timestamp::now) {
            return Box::pin(std::future::ready(unsigned()));
        }
        Box::pin(self.attempt(delivery))
    }
}

impl HttpSession {
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

    /// Checks the configuration as [`HttpSession::new`] does, and refuses the same.
    pub(crate) fn check(shared: &Shared, config: &EmitterConfig) -> Result<(), ConfigError> {
        Route::new(config, &shared.tls)?;
        Template::new(config)?;
        Ok(())
    }

    /// Makes one attempt: over a kept connection where one still holds, else over a new one.
    async fn attempt(&self, delivery: &Delivery) -> Outcome {
        let started = Instant::now();
        let reading = Reading::new(&self.config, delivery);
        let mut again = None;
        while let Some((mut connection, idle_for)) =
            self.kept.take(started, self.config.idle_timeout)
        {
            if !connection.is_ready(idle_for) {
                continue;
            }
            let mut exchange = Exchange::default();
            exchange.connected_to = Some(connection.address);
            exchange.http_version = Some(SpokenVersion::Http11);
            let deadline = self.deadline(started);
            let address = connection.address;
            match self.over(connection, delivery, reading, started, deadline).await {
                Err(broken) if broken.is_unprocessed() || broken.is_silent() => {
                    again = Some(Again::Broken(broken));
                    break;
                }
                Ok(answered) if self.found_no_way(&answered, address) => {
                    again = Some(Again::NoWay);
                    break;
                }
                result => return self.outcome(result, delivery, started, started, exchange),
            }
        }
        let progress = Progress::begin(started);
        // The rare part is large: in a box of its own it keeps every delivery's future small.
        Box::pin(async move {
            let mut attempt = Attempt {
                delivery,
                reading,
                started,
                progress,
                met_silence: false,
                addresses: usize::MAX,
                not_found_at: 0,
            };
            match again {
                None => {}
                Some(Again::Broken(broken)) => _ = self.make_again(&mut attempt, &broken, true),
                Some(Again::NoWay) => _ = self.turn(&mut attempt),
            }
            self.attempt_afresh(attempt).await
        })
        .await
    }

    /// The deadline of an attempt that begins now.
    pub(crate) fn deadline(&self, now: Instant) -> Instant {
        now.checked_add(self.config.request_timeout).unwrap_or(now + FOREVER)
    }

    /// True when a request that brought no answer is made again at once, uncounted: because it was
    /// surely not processed, or, once, because a kept connection brought no byte. That connection
    /// had usually been dead for long, and so are the others that are kept.
    fn make_again(&self, attempt: &mut Attempt<'_>, broken: &Broken, kept: bool) -> bool {
        if kept && broken.is_silent() && !attempt.met_silence {
            attempt.met_silence = true;
            self.kept.give_up_all();
        } else if !broken.is_unprocessed() || attempt.progress.made_again >= MADE_AGAIN {
            return false;
        }
        attempt.progress.made_again += 1;
        self.shared.slots.count_made_again();
        true
    }

    /// True when a proxy that was given this address says that it did not reach it, so that another
    /// one may be tried. The next dial tries another address first, too, when the proxy doesn't
    /// say.
    fn found_no_way(&self, answered: &Answered, address: SocketAddr) -> bool {
        let status = answered.status().as_u16();
        if !self.route.is_forwarded() || !forwarded::is_of_a_gateway(status) {
            return false;
        }
        self.route.shun(address);
        self.kept.give_up_all();
        forwarded::found_no_way(status, answered.headers())
    }

    /// True when there is an address left that a proxy may be asked for.
    fn turn(&self, attempt: &mut Attempt<'_>) -> bool {
        attempt.not_found_at += 1;
        let more = attempt.not_found_at < attempt.addresses;
        if more {
            attempt.progress.made_again += 1;
            self.shared.slots.count_made_again();
        }
        more
    }

    async fn attempt_afresh(&self, mut attempt: Attempt<'_>) -> Outcome {
        loop {
            let Found { way, kept, deadline } = match self.find(&mut attempt).await {
                Ok(found) => found,
                Err(failure) => {
                    if failure.code == AttemptCode::Shortage {
                        self.shared.slots.count_shortage();
                    }
                    if let Some(address) = attempt.progress.connected_to {
                        self.route.shun(address);
                    }
                    return failed(failure, attempt.started, attempt.progress.into_exchange());
                }
            };
            let sent = Instant::now();
            let result = match way {
                Way::Own(connection) => {
                    attempt.progress.connected_to = Some(connection.address);
                    attempt.progress.http_version = Some(SpokenVersion::Http11);
                    let Attempt { delivery, reading, .. } = attempt;
                    self.over(connection, delivery, reading, sent, deadline).await
                }
                Way::Shared(multiplex) => self.over_shared(multiplex, &mut attempt, deadline).await,
            };
            match result {
                // A new connection of its own that takes nothing shows a receiver that takes
                // nothing.
                Err(broken)
                    if (kept || attempt.progress.http_version == Some(SpokenVersion::Http2))
                        && self.make_again(&mut attempt, &broken, kept) => {}
                Ok(answered)
                    if attempt.progress.connected_to.is_some_and(|address| {
                        self.found_no_way(&answered, address) && self.turn(&mut attempt)
                    }) => {}
                result => {
                    if let (Err(_), Some(address)) = (&result, attempt.progress.connected_to) {
                        self.route.shun(address);
                    }
                    let Attempt { delivery, started, .. } = attempt;
                    let exchange = attempt.progress.into_exchange();
                    return self.outcome(result, delivery, started, sent, exchange);
                }
            }
        }
    }

    /// Sends the request over a connection of its own, and reads the response. Keeps the connection
    /// if another request can follow.
    async fn over(
        &self,
        mut connection: Box<Connection>,
        delivery: &Delivery,
        reading: Reading,
        sent: Instant,
        deadline: Instant,
    ) -> Result<Answered, Broken> {
        let request = |draft: &mut Draft| self.template.http1(&self.config, delivery, sent, draft);
        let answered = connection.exchange(request, reading, deadline).await?;
        if connection.rest(answered.ended) {
            self.kept.put(connection, self.config.idle_timeout, &self.shared.slots);
        }
        Ok(answered)
    }

    /// Sends the request over the shared connection and reads the response.
    async fn over_shared(
        &self,
        multiplex: Arc<Multiplex>,
        attempt: &mut Attempt<'_>,
        deadline: Instant,
    ) -> Result<Answered, Broken> {
        attempt.progress.connected_to = Some(multiplex.address);
        attempt.progress.http_version = Some(SpokenVersion::Http2);
        let Attempt { delivery, reading, .. } = *attempt;
        let request = self.template.http2(&self.config, delivery);
        let allowance = Allowance { deadline, patience: self.shared.patience };
        let result = multiplex.exchange(request, reading, allowance).await;
        match &result {
            // Other deliveries may have all streams: the connection stays.
            Ok(_) | Err(Broken::Crowded) => {}
            Err(Broken::Refused(_)) if multiplex.is_open() && attempt.progress.made_again == 0 => {}
            // The connection may hang altogether: the next delivery makes a new one.
            Err(_) => self.kept.retire(&multiplex),
        }
        self.kept.release(multiplex, &self.shared.slots);
        result
    }

    fn outcome(
        &self,
        result: Result<Answered, Broken>,
        delivery: &Delivery,
        started: Instant,
        sent: Instant,
        mut exchange: Exchange,
    ) -> Outcome {
        match result {
            Ok(answered) => {
                exchange.elapsed.first_byte = answered.at - sent;
                let at_once = answered.ended == answered.at && sent == started;
                exchange.elapsed.total =
                    if at_once { exchange.elapsed.first_byte } else { answered.ended - started };
                let mut outcome = answered.conclude(&self.config, delivery, exchange);
                if self.route.is_forwarded() {
                    forwarded::amend(&mut outcome);
                }
                outcome
            }
            Err(broken) => {
                exchange.elapsed.first_byte = sent.elapsed();
                failed(broken.into_failure(self.config.request_timeout), started, exchange)
            }
        }
    }
}

fn failed(failure: Failure, started: Instant, mut exchange: Exchange) -> Outcome {
    exchange.elapsed.total = started.elapsed();
    Outcome::failed(failure, exchange)
}

#[cfg(test)]
mod tests {
    use bugle_core::{EmitterId, Event, EventName, RequestId, Sequence};
    use bugle_testkit::Receiver;
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::resolve::SystemResolver;
    use crate::slots::Slots;
    use crate::tls::TlsSettings;

    const SOON: Duration = Duration::from_secs(10);

    fn session(receiver: &Receiver) -> HttpSession {
        let shared = Arc::new(Shared {
            resolver: Box::new(SystemResolver::new()),
            slots: Slots::new(10),
            patience: SOON,
            tls: TlsSettings::default(),
        });
        HttpSession::new(&shared, &Arc::new(receiver.emitter_config("/").unwrap())).unwrap()
    }

    fn delivery() -> Delivery {
        let name = EventName::new("invoice.paid").unwrap();
        let id = RequestId::new("r-1").unwrap();
        let event = Event::new(name, id, Bytes::from_static(b"{}"), Timestamp::now());
        Delivery::new(EmitterId::new("billing").unwrap(), Sequence(1), Arc::new(event), 1)
    }

    #[tokio::test]
    async fn a_request_that_comes_back_unsent_goes_to_a_new_connection() {
        let receiver = Receiver::start().unwrap();
        let session = session(&receiver);
        let delivery = delivery();
        assert!(session.deliver(&delivery).await.is_delivered());
        let (mut connection, _) = session.kept.take(Instant::now(), SOON).unwrap();
        receiver.go_down().await;
        receiver.come_back().unwrap();
        // Lets the runtime ask the system for the state of its sockets.
        tokio::time::sleep(Duration::from_millis(20)).await;
        // As if the last request had just ended: then the connection is not checked before the
        // next.
        connection.rest(Instant::now());
        assert!(connection.is_ready(Duration::ZERO));
        session.kept.put(connection, SOON, &session.shared.slots);
        let outcome = session.deliver(&delivery).await;
        assert!(outcome.is_delivered(), "{outcome:?}");
        assert_eq!(receiver.requests().len(), 2);
    }

    #[test]
    fn a_delivery_is_small() {
        let receiver = Receiver::start().unwrap();
        let (session, delivery) = (session(&receiver), delivery());
        // The future is allocated for every attempt.
        let bytes = size_of_val(&session.attempt(&delivery));
        assert!(bytes <= 896, "{bytes}");
    }
}
