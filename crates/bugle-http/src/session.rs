//! An emitter's way to its receiver: one attempt, step by step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bugle_core::{
    AttemptCode, BoxFuture, ConfigError, Delivery, EmitterConfig, Exchange, Failure, Outcome,
    Session, SpokenVersion,
};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::connection::Connection;
use crate::dial::Route;
use crate::failure::{Broken, Progress, Step, describe_hyper, late};
use crate::http1::request::Draft;
use crate::kept::Kept;
use crate::multiplex::Multiplex;
use crate::request::Template;
use crate::response::{Answered, Reading};
use crate::transport::Shared;

/// Longer than any deadline: ten years.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Deliveries to one receiver.
pub(crate) struct HttpSession {
    /// What all sessions of the transport have in common.
    shared: Arc<Shared>,
    config: Arc<EmitterConfig>,
    route: Route,
    template: Template,
    /// Connections that are open and idle, or shared.
    kept: Arc<Kept>,
    /// Held while a connection is made that may turn out to be shared, so that a window of
    /// deliveries doesn't make one each.
    making: Mutex<()>,
    /// Whether to look for a shared connection at all.
    multiplexes: AtomicBool,
}

/// An attempt that needs a new connection.
struct Attempt<'a> {
    delivery: &'a Delivery,
    reading: Reading,
    started: Instant,
    deadline: Instant,
    progress: Progress,
}

/// A connection that was just made.
enum Fresh {
    Own(Box<Connection>),
    Shared(Arc<Multiplex>),
}

impl Session for HttpSession {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
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
            making: Mutex::new(()),
        })
    }

    /// Finds what [`HttpSession::new`] would refuse.
    pub(crate) fn check(shared: &Shared, config: &EmitterConfig) -> Result<(), ConfigError> {
        Route::new(config, &shared.tls)?;
        Template::new(config)?;
        Ok(())
    }

    /// One attempt: over a kept connection where there is one that still holds, else over a new
    /// one. A request that a kept connection could not take goes to a new one, once.
    async fn attempt(&self, delivery: &Delivery) -> Outcome {
        let started = Instant::now();
        let deadline =
            started.checked_add(self.config.request_timeout).unwrap_or(started + FOREVER);
        let reading = Reading::new(&self.config, delivery);
        while let Some((mut connection, idle_for)) =
            self.kept.take(started, self.config.idle_timeout)
        {
            if !connection.is_ready(idle_for) {
                continue;
            }
            let mut exchange = Exchange::default();
            exchange.connected_to = Some(connection.address);
            exchange.http_version = Some(SpokenVersion::Http11);
            match self.over(connection, delivery, reading, started, deadline).await {
                Err(Broken::Unsent(_)) => break,
                result => return self.outcome(result, delivery, started, started, exchange),
            }
        }
        let progress = Progress::begin(started);
        // The rare part is large: it gets a box of its own, to keep every delivery's small.
        Box::pin(self.attempt_afresh(Attempt { delivery, reading, started, deadline, progress }))
            .await
    }

    async fn attempt_afresh(&self, mut attempt: Attempt<'_>) -> Outcome {
        if self.multiplexes.load(Ordering::Relaxed)
            && let Some(multiplex) = self.kept.multiplex(self.config.idle_timeout)
        {
            let sent = attempt.started;
            match self.over_shared(multiplex, &mut attempt).await {
                Err(Broken::Unsent(_)) => {}
                result => return self.outcome_afresh(result, attempt, sent),
            }
        }
        match self.connect(&mut attempt).await {
            Err(failure) => failed(failure, attempt.started, attempt.progress.into_exchange()),
            Ok(fresh) => {
                let sent = Instant::now();
                let result = match fresh {
                    Fresh::Own(connection) => {
                        attempt.progress.connected_to = Some(connection.address);
                        attempt.progress.http_version = Some(SpokenVersion::Http11);
                        let Attempt { delivery, reading, deadline, .. } = attempt;
                        self.over(connection, delivery, reading, sent, deadline).await
                    }
                    Fresh::Shared(multiplex) => self.over_shared(multiplex, &mut attempt).await,
                };
                self.outcome_afresh(result, attempt, sent)
            }
        }
    }

    /// A new connection, or one that another delivery has just made and shares.
    async fn connect(&self, attempt: &mut Attempt<'_>) -> Result<Fresh, Failure> {
        let (deadline, timeout) = (attempt.deadline, self.config.request_timeout);
        let progress = &mut attempt.progress;
        match timeout_at(deadline, self.connect_within(deadline, progress)).await {
            Ok(result) => result,
            Err(_) => Err(late(attempt.progress.step(), timeout)),
        }
    }

    async fn connect_within(
        &self,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<Fresh, Failure> {
        let mut making = None;
        if self.multiplexes.load(Ordering::Relaxed) {
            progress.enter(Step::Connect);
            making = Some(self.making.lock().await);
            if let Some(multiplex) = self.kept.multiplex(self.config.idle_timeout) {
                progress.enter(Step::Respond);
                return Ok(Fresh::Shared(multiplex));
            }
            // The last one found that the receiver doesn't share: no need to wait in line.
            if !self.multiplexes.load(Ordering::Relaxed) {
                making = None;
            }
        }
        let Shared { resolver, slots, .. } = &*self.shared;
        let policy = &self.config.destinations;
        let dialed = self.route.dial(&**resolver, slots, policy, progress).await?;
        progress.enter(Step::Respond);
        let broken =
            |error: hyper::Error| Failure::new(AttemptCode::BadConnection, describe_hyper(&error));
        if dialed.http2 {
            let multiplex =
                Multiplex::start(dialed.stream, dialed.address).await.map_err(broken)?;
            self.kept.keep_multiplex(Arc::clone(&multiplex));
            return Ok(Fresh::Shared(multiplex));
        }
        self.multiplexes.store(false, Ordering::Relaxed);
        drop(making);
        let draft = self.template.draft();
        let connection = Connection::new(dialed.stream, dialed.address, draft, deadline);
        Ok(Fresh::Own(connection))
    }

    /// Sends the request over a connection of its own and reads the response; keeps the
    /// connection if another request can follow.
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
    ) -> Result<Answered, Broken> {
        attempt.progress.connected_to = Some(multiplex.address);
        attempt.progress.http_version = Some(SpokenVersion::Http2);
        let Attempt { delivery, reading, deadline, .. } = *attempt;
        let request = self.template.http2(&self.config, delivery);
        let result = multiplex.exchange(request, reading, deadline).await;
        if result.is_err() {
            // It may hang altogether: whoever comes next makes a new one.
            self.kept.retire(&multiplex);
        }
        self.kept.release(multiplex, &self.shared.slots);
        result
    }

    fn outcome_afresh(
        &self,
        result: Result<Answered, Broken>,
        attempt: Attempt<'_>,
        sent: Instant,
    ) -> Outcome {
        let Attempt { delivery, started, .. } = attempt;
        self.outcome(result, delivery, started, sent, attempt.progress.into_exchange())
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
                answered.conclude(&self.config, delivery, exchange)
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
        // Has the runtime ask the system what its sockets know.
        tokio::time::sleep(Duration::from_millis(20)).await;
        // As if the last request were just done: then nobody looks before the next is handed over.
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
        // It is allocated for every attempt.
        let bytes = size_of_val(&session.attempt(&delivery));
        assert!(bytes <= 896, "{bytes}");
    }
}
