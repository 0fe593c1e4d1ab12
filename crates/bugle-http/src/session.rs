//! An emitter's session with its receiver: one attempt, step by step.

use std::net::SocketAddr;
use std::sync::Arc;

use bugle_core::{
    AttemptCode, BoxFuture, ConfigError, Delivery, EmitterConfig, Exchange, Failure, Outcome,
    Session, SpokenVersion,
};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::attempt::Attempt;
use crate::connection::Connection;
use crate::failure::{Broken, Progress, unsigned};
use crate::forwarded;
use crate::multiplex::{Allowance, Multiplex};
use crate::response::{Answered, Reading};
use crate::shared::Shared;
use crate::ways::{FoundWay, Way, Ways};

/// The number of times that a request is made again within one attempt, uncounted. A receiver that
/// takes none of them counts as unreachable.
const MADE_AGAIN: u32 = 4;

/// The deliveries to one receiver.
pub(crate) struct HttpSession {
    ways: Ways,
}

/// A request on a kept connection has to be made again.
enum Again {
    Broken(Broken),
    /// A forwarding proxy did not reach the address that it was given.
    NoWay,
}

impl Session for HttpSession {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
        if self.ways.config.is_out_of_keys(Timestamp::now) {
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
        Ok(Self { ways: Ways::new(shared, config)? })
    }

    /// Makes one attempt: over a kept connection where one still holds, else over a new one.
    async fn attempt(&self, delivery: &Delivery) -> Outcome {
        let started = Instant::now();
        let reading = Reading::new(&self.ways.config, delivery);
        let again = loop {
            let Some((mut connection, idle_for)) =
                self.ways.kept.take(started, self.ways.config.idle_timeout)
            else {
                break None;
            };
            if !connection.is_ready(idle_for) {
                continue;
            }
            let deadline = self.ways.deadline(started);
            let address = connection.address;
            match self.over(connection, delivery, reading, started, deadline).await {
                Err(broken) if broken.is_unprocessed() || broken.is_silent() => {
                    break Some(Again::Broken(broken));
                }
                Ok(answered) if self.found_no_way(&answered, address) => break Some(Again::NoWay),
                result => {
                    let mut exchange = Exchange::default();
                    exchange.connected_to = Some(address);
                    exchange.http_version = Some(SpokenVersion::Http11);
                    return self.outcome(result, delivery, started, started, exchange);
                }
            }
        };
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

    /// True when a request that brought no answer is made again at once, uncounted: because it was
    /// surely not processed, or, once, because a kept connection brought no byte. That connection
    /// had usually been dead for long, and so are the others that are kept.
    fn make_again(&self, attempt: &mut Attempt<'_>, broken: &Broken, kept: bool) -> bool {
        if kept && broken.is_silent() && !attempt.met_silence {
            attempt.met_silence = true;
            self.ways.kept.give_up_all();
        } else if !broken.is_unprocessed() || attempt.progress.made_again >= MADE_AGAIN {
            return false;
        }
        attempt.progress.made_again += 1;
        self.ways.shared.slots.count_made_again();
        true
    }

    /// True when a proxy that was given this address says that it did not reach it, so that another
    /// one may be tried. The next dial tries another address first, too, when the proxy doesn't
    /// say.
    fn found_no_way(&self, answered: &Answered, address: SocketAddr) -> bool {
        let status = answered.status().as_u16();
        if !self.ways.route.is_forwarded() || !forwarded::is_of_a_gateway(status) {
            return false;
        }
        self.ways.route.shun(address);
        self.ways.kept.give_up_all();
        forwarded::found_no_way(status, answered.headers())
    }

    /// True when there is an address left that a proxy may be asked for.
    fn turn(&self, attempt: &mut Attempt<'_>) -> bool {
        attempt.not_found_at += 1;
        let more = attempt.not_found_at < attempt.addresses;
        if more {
            attempt.progress.made_again += 1;
            self.ways.shared.slots.count_made_again();
        }
        more
    }

    async fn attempt_afresh(&self, mut attempt: Attempt<'_>) -> Outcome {
        loop {
            let FoundWay { way, kept, deadline } = match self.ways.find(&mut attempt).await {
                Ok(found) => found,
                Err(failure) => {
                    if failure.code == AttemptCode::Shortage {
                        self.ways.shared.slots.count_shortage();
                    }
                    if let Some(address) = attempt.progress.connected_to {
                        self.ways.route.shun(address);
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
                        self.ways.route.shun(address);
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
        let request = self.ways.template.http1(&self.ways.config, delivery, sent);
        let answered = connection.exchange(request, reading, deadline).await?;
        if connection.rest(answered.ended) {
            self.ways.kept.put(connection, self.ways.config.idle_timeout, &self.ways.shared.slots);
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
        let request = self.ways.template.http2(&self.ways.config, delivery);
        let allowance = Allowance { deadline, patience: self.ways.shared.patience };
        let result = multiplex.exchange(request, reading, allowance).await;
        match &result {
            // Other deliveries may have all streams: the connection stays.
            Ok(_) | Err(Broken::Crowded) => {}
            Err(Broken::Refused(_)) if multiplex.is_open() && attempt.progress.made_again == 0 => {}
            // The connection may hang altogether: the next delivery makes a new one.
            Err(_) => self.ways.kept.retire(&multiplex),
        }
        self.ways.kept.release(multiplex, &self.ways.shared.slots);
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
                let mut outcome = answered.conclude(&self.ways.config, delivery, exchange);
                if self.ways.route.is_forwarded() {
                    forwarded::amend(&mut outcome);
                }
                outcome
            }
            Err(broken) => {
                exchange.elapsed.first_byte = sent.elapsed();
                failed(broken.into_failure(self.ways.config.request_timeout), started, exchange)
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
    use std::time::Duration;

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
        let (mut connection, _) = session.ways.kept.take(Instant::now(), SOON).unwrap();
        receiver.go_down().await;
        receiver.come_back().unwrap();
        // Lets the runtime ask the system for the state of its sockets.
        tokio::time::sleep(Duration::from_millis(20)).await;
        // As if the last request had just ended: then the connection is not checked before the
        // next.
        connection.rest(Instant::now());
        assert!(connection.is_ready(Duration::ZERO));
        session.ways.kept.put(connection, SOON, &session.ways.shared.slots);
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
