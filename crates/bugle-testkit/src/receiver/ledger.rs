//! The record of a receiver's requests, connections and times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{Verifier, VerifyError};
use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::background;

/// One request that a [`Receiver`](crate::Receiver) got.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Received {
    /// The number of the request at this receiver; the first is 1.
    pub number: usize,
    /// The time at which the last of it that was read had come.
    pub at: Instant,
    /// The same time by the wall clock, for signatures with a timestamp.
    pub timestamp: Timestamp,
    /// The number of the connection that it came by, at this receiver; the first is 1.
    pub connection: u64,
    /// The sender's address.
    pub peer: SocketAddr,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: http::Version,
    /// The method, as `POST`.
    pub method: String,
    /// The path and the query, as the sender wrote them.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it was read.
    pub body: Bytes,
    /// True when all of the body was read. A reply that misbehaves before the body leaves it
    /// unread.
    pub complete: bool,
}

impl Received {
    /// A header's value; `None` when it is missing or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The event's request id, from the `webhook-id` header.
    pub fn request_id(&self) -> Option<&str> {
        self.header("webhook-id")
    }

    /// Verifies the request's signature, as a receiver does, at the time when it came.
    ///
    /// # Errors
    /// [`VerifyError`] says why the request can't be trusted.
    pub fn verify(&self, verifier: &Verifier) -> Result<(), VerifyError> {
        verifier.verify(|name| self.header(name), &self.body, self.timestamp)
    }

    /// The event's name, from the header `X-…-Event`, whatever the header identifier.
    pub fn event(&self) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(name, _)| {
            name.as_str().starts_with("x-") && name.as_str().ends_with("-event")
        })?;
        value.to_str().ok()
    }
}

/// Everything that a [`Receiver`](crate::Receiver) got, and the result of each request.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    requests: Vec<Arc<Received>>,
    opened: u64,
    closed: u64,
    in_flight: usize,
    most_in_flight: usize,
    answered: u64,
    misbehaved: u64,
    abandoned: u64,
    failed_handshakes: u64,
    body_bytes_sent: u64,
}

impl Ledger {
    /// The requests, in the order in which they came.
    pub fn requests(&self) -> &[Arc<Received>] {
        &self.requests
    }

    /// The number of connections that were accepted.
    pub fn connections_opened(&self) -> u64 {
        self.opened
    }

    /// The number of connections that are open now.
    pub fn connections_open(&self) -> u64 {
        self.opened - self.closed
    }

    /// The number of connections that have closed.
    pub fn connections_closed(&self) -> u64 {
        self.closed
    }

    /// The number of requests that wait for the end of their response now.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The largest number of requests that were in flight at once.
    pub fn most_in_flight(&self) -> usize {
        self.most_in_flight
    }

    /// The number of requests that got a whole response.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// The number of requests that got a misbehaving reply: hang, reset, close, garbage.
    pub fn misbehaved(&self) -> u64 {
        self.misbehaved
    }

    /// The number of requests that the sender gave up before they had a whole response.
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// The number of failed TLS handshakes.
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes
    }

    /// The number of bytes of response bodies that were handed to the network.
    pub fn body_bytes_sent(&self) -> u64 {
        self.body_bytes_sent
    }

    fn summary(&self) -> String {
        let Self { opened, answered, misbehaved, abandoned, in_flight, .. } = self;
        format!(
            "{} requests ({answered} answered, {misbehaved} misbehaved, {abandoned} abandoned, \
             {in_flight} in flight) by {opened} connections ({} open)",
            self.requests.len(),
            self.connections_open(),
        )
    }
}

/// A condition that a test waited for did not hold in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what} did not happen within {deadline:?}; so far: {seen}")]
#[non_exhaustive]
pub struct TimedOut {
    /// The condition, in words.
    pub what: String,
    /// The deadline that passed.
    pub deadline: Duration,
    /// The state at the deadline, in words.
    pub seen: String,
}

impl TimedOut {
    pub(crate) fn new(what: impl Into<String>, deadline: Duration, seen: String) -> Self {
        Self { what: what.into(), deadline, seen }
    }
}

/// The ledger while it is written: every change wakes those who wait for it.
#[derive(Debug)]
pub(crate) struct Book {
    ledger: Mutex<Ledger>,
    changed: watch::Sender<()>,
}

impl Book {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { ledger: Mutex::default(), changed: watch::Sender::new(()) })
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.ledger.lock())
    }

    fn write<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let value = change(&mut self.ledger.lock());
        self.changed.send_replace(());
        value
    }

    pub(crate) async fn wait(
        &self,
        what: &str,
        deadline: Duration,
        mut condition: impl FnMut(&Ledger) -> bool,
    ) -> Result<(), TimedOut> {
        let mut changed = self.changed.subscribe();
        let happened = background::within(deadline, async {
            while !self.read(&mut condition) {
                // The sender lives as long as the book does.
                let _ = changed.changed().await;
            }
        });
        match happened.await {
            Some(()) => Ok(()),
            None => Err(TimedOut::new(what, deadline, self.read(Ledger::summary))),
        }
    }

    pub(crate) fn open_connection(self: &Arc<Self>) -> OpenConnection {
        let number = self.write(|ledger| {
            ledger.opened += 1;
            ledger.opened
        });
        OpenConnection { number, book: Arc::clone(self) }
    }

    pub(crate) fn handshake_failed(&self) {
        self.write(|ledger| ledger.failed_handshakes += 1);
    }

    pub(crate) fn body_bytes(&self, bytes: usize) {
        self.write(|ledger| ledger.body_bytes_sent += bytes as u64);
    }

    /// Records a request, under the next number.
    pub(crate) fn record(self: &Arc<Self>, mut received: Received) -> (Arc<Received>, Exchange) {
        let received = self.write(|ledger| {
            received.number = ledger.requests.len() + 1;
            let received = Arc::new(received);
            ledger.requests.push(Arc::clone(&received));
            ledger.in_flight += 1;
            ledger.most_in_flight = ledger.most_in_flight.max(ledger.in_flight);
            received
        });
        (received, Exchange { book: Arc::clone(self), ending: ExchangeEnd::Abandoned })
    }
}

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    pub(crate) number: u64,
    book: Arc<Book>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.book.write(|ledger| ledger.closed += 1);
    }
}

/// A request that counts as in flight until this is dropped. It then counts as abandoned, unless
/// another end was set.
#[derive(Debug)]
pub(crate) struct Exchange {
    book: Arc<Book>,
    ending: ExchangeEnd,
}

#[derive(Debug, Clone, Copy)]
enum ExchangeEnd {
    Answered,
    Misbehaved,
    Abandoned,
}

impl Exchange {
    pub(crate) fn answered(mut self) {
        self.ending = ExchangeEnd::Answered;
    }

    pub(crate) fn misbehaved(&mut self) {
        self.ending = ExchangeEnd::Misbehaved;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let ending = self.ending;
        self.book.write(|ledger| {
            ledger.in_flight -= 1;
            match ending {
                ExchangeEnd::Answered => ledger.answered += 1,
                ExchangeEnd::Misbehaved => ledger.misbehaved += 1,
                ExchangeEnd::Abandoned => ledger.abandoned += 1,
            }
        });
    }
}
