//! The shared parts of these tests.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bugle_core::{
    AttemptCode, BoxFuture, Delivery, EmitterConfig, EmitterId, Event, EventName, Exchange,
    Outcome, RequestId, Sequence, Session, Transport,
};
use bugle_http::{HttpTransport, Resolve};
use bytes::Bytes;
use jiff::Timestamp;

/// A time long enough for anything that does happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A time short enough to wait for something that does not.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) const PAYLOAD: &[u8] = br#"{"id":1}"#;

pub(crate) fn event() -> Event {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    let id = format!("request-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
    Event::new(
        EventName::new("invoice.paid").unwrap(),
        RequestId::new(id).unwrap(),
        Bytes::from_static(PAYLOAD),
        Timestamp::now(),
    )
}

pub(crate) fn delivery_of(event: Event) -> Delivery {
    Delivery::new(EmitterId::new("billing").unwrap(), Sequence(1), Arc::new(event), 1)
}

pub(crate) fn delivery() -> Delivery {
    delivery_of(event())
}

/// An emitter's session with a transport of its own.
pub(crate) fn open(config: EmitterConfig) -> Box<dyn Session> {
    open_with(&HttpTransport::new(), config)
}

pub(crate) fn open_with(transport: &HttpTransport, config: EmitterConfig) -> Box<dyn Session> {
    transport.open(&Arc::new(config)).unwrap()
}

/// The settings of an emitter that delivers to a private address.
pub(crate) fn private(address: std::net::SocketAddr) -> EmitterConfig {
    EmitterConfig::new(format!("http://{address}/")).unwrap().allow_private_destinations()
}

/// One delivery over a new session.
pub(crate) async fn deliver(config: EmitterConfig) -> Outcome {
    open(config).deliver(&delivery()).await
}

/// Returns the code and the message of a failed attempt.
#[track_caller]
pub(crate) fn failure(outcome: &Outcome) -> (AttemptCode, &str) {
    match &outcome.failure {
        Some(failure) => (failure.code, &failure.message),
        None => panic!("it was delivered: {outcome:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_failed(outcome: &Outcome, code: AttemptCode, words: &str) {
    let (found, message) = failure(outcome);
    assert_eq!(found, code, "{message}");
    assert!(message.contains(words), "{message:?} doesn't say {words:?}");
}

/// Asserts which phases took a time: resolve, connect, tls, first_byte. The total covers them all.
#[track_caller]
pub(crate) fn phases(exchange: &Exchange) -> [bool; 4] {
    let elapsed = exchange.elapsed;
    let phases = [elapsed.resolve, elapsed.connect, elapsed.tls, elapsed.first_byte];
    assert!(elapsed.total >= phases.iter().sum::<Duration>(), "{elapsed:?}");
    phases.map(|phase| !phase.is_zero())
}

/// A scripted resolver.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    known: HashMap<String, Vec<IpAddr>>,
}

impl Names {
    pub(crate) fn of<const N: usize>(names: [(&str, &[&str]); N]) -> Self {
        let known = names
            .into_iter()
            .map(|(name, addresses)| {
                let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
                (name.to_owned(), addresses)
            })
            .collect();
        Self { known }
    }

    pub(crate) fn transport(self) -> HttpTransport {
        HttpTransport::builder().resolver(self).build()
    }
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let unknown = || io::Error::new(io::ErrorKind::NotFound, "no such name");
            self.known.get(host).cloned().ok_or_else(unknown)
        })
    }
}

/// Starts a receiver that treats each connection with this function.
pub(crate) async fn raw_receiver<F, S>(serve: S) -> std::net::SocketAddr
where
    S: Fn(tokio::net::TcpStream) -> F + Send + 'static,
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(serve(tcp));
        }
    });
    address
}

/// Makes this many deliveries at once, each in a task of its own.
pub(crate) async fn deliver_at_once(session: &Arc<dyn Session>, count: usize) -> Vec<Outcome> {
    let flight: Vec<_> = (0..count)
        .map(|_| {
            let session = Arc::clone(session);
            tokio::spawn(async move { session.deliver(&delivery()).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for delivered in flight {
        outcomes.push(delivered.await.unwrap());
    }
    outcomes
}
