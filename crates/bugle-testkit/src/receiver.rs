//! A scripted HTTP receiver on loopback.

mod http1;
mod http2;
mod ledger;
mod protocol;
mod reply;
mod request;
mod script;
mod state;
mod tls;
mod wire;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{ConfigError, EmitterConfig};
use tokio::net::TcpStream;

use crate::gate::{Gate, Gates};
use crate::server::Server;
use ledger::{Book, OpenConnection};
use protocol::Protocol;
use script::ReplyScript;
use state::ReceiverState;
use wire::{Stream, Wire};

pub use ledger::{Ledger, Received, TimedOut};
pub use reply::{Reply, Stage};
pub(crate) use request::{Head, read_head};
pub use tls::Tls;

/// A scripted HTTP receiver on loopback, with a ledger of its requests and their times.
///
/// It listens on a port of its own until it is dropped, on threads of its own, so it works while a
/// test's clock is paused or its thread is blocked.
///
/// ```
/// use std::time::Duration;
/// use bugle_testkit::{Receiver, Reply};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Fails twice, then accepts everything.
/// let receiver = Receiver::builder()
///     .reply(Reply::status(500))
///     .reply(Reply::status(503).retry_after(Duration::from_secs(1)))
///     .start()?;
/// let config = receiver.emitter_config("/hooks")?;
/// # let _ = config;
///
/// // … deliver something to it …
/// # for _ in 0..3 {
/// #     use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// #     let mut tcp = tokio::net::TcpStream::connect(receiver.address()).await?;
/// #     tcp.write_all(b"POST /hooks HTTP/1.1\r\nconnection: close\r\n\r\n").await?;
/// #     tcp.read_to_end(&mut Vec::new()).await?;
/// # }
///
/// let requests = receiver.wait_for(3, Duration::from_secs(5)).await?;
/// assert_eq!(requests[2].path, "/hooks");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Receiver {
    server: Server,
    shared: Arc<ReceiverState>,
}

/// Builds a [`Receiver`].
#[derive(Debug)]
#[must_use]
pub struct ReceiverBuilder {
    address: IpAddr,
    script: ReplyScript,
    requests_per_connection: Option<u64>,
    streams_per_connection: u32,
    protocol: Protocol,
    tls: Option<Tls>,
}

impl ReceiverBuilder {
    /// Adds a reply to those that are given in order, one to each request.
    pub fn reply(self, reply: Reply) -> Self {
        self.script.push(reply);
        self
    }

    /// Adds the same reply a number of times.
    pub fn replies(mut self, times: usize, reply: Reply) -> Self {
        for _ in 0..times {
            self = self.reply(reply.clone());
        }
        self
    }

    /// Sets the reply to every request after the replies in order. Default: 204.
    pub fn otherwise(self, reply: Reply) -> Self {
        self.script.set_default(reply);
        self
    }

    /// Chooses the reply by the request, once the replies in order are used up. The function gets
    /// the whole request, so a fault at an earlier stage strikes after the body.
    pub fn choose(mut self, choice: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        self.script.set_choice(Box::new(choice));
        self
    }

    /// Closes every connection after this many requests, without announcing it. Default: never.
    pub fn requests_per_connection(mut self, requests: u64) -> Self {
        self.requests_per_connection = Some(requests);
        self
    }

    /// Takes this many requests at once on each HTTP/2 connection, and refuses those beyond.
    /// Default: 200.
    pub fn streams_per_connection(mut self, streams: u32) -> Self {
        self.streams_per_connection = streams;
        self
    }

    /// Speaks TLS. Default: plain HTTP.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Speaks HTTP/1.1 only. Default: HTTP/2 too, by TLS's ALPN and by prior knowledge.
    pub fn http1_only(mut self) -> Self {
        self.protocol = Protocol::Http1;
        self
    }

    /// Speaks HTTP/2 only, by TLS's ALPN or by prior knowledge. Default: HTTP/1.1 too.
    pub fn http2_only(mut self) -> Self {
        self.protocol = Protocol::Http2;
        self
    }

    /// Listens on this address of the machine. Default: 127.0.0.1.
    pub fn bind(mut self, address: impl Into<IpAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// Starts listening.
    ///
    /// # Errors
    /// An [`io::Error`] when the machine has no port or no thread to give.
    pub fn start(self) -> io::Result<Receiver> {
        let receiver = self.without_listener()?;
        receiver.come_back()?;
        Ok(receiver)
    }

    fn without_listener(self) -> io::Result<Receiver> {
        Ok(Receiver {
            server: Server::on(self.address)?,
            shared: Arc::new(ReceiverState {
                book: Book::new(),
                script: self.script,
                gates: Gates::new(),
                requests_per_connection: self.requests_per_connection,
                streams_per_connection: self.streams_per_connection,
                protocol: self.protocol,
                tls: self.tls.map(|tls| tls.prepare(self.protocol)).transpose()?,
            }),
        })
    }
}

impl Receiver {
    /// Starts a receiver that answers every request with 204.
    ///
    /// # Errors
    /// An [`io::Error`] when the machine has no port or no thread to give.
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Builds a receiver with a script.
    pub fn builder() -> ReceiverBuilder {
        ReceiverBuilder {
            address: Ipv4Addr::LOCALHOST.into(),
            script: ReplyScript::default(),
            requests_per_connection: None,
            streams_per_connection: 200,
            protocol: Protocol::Both,
            tls: None,
        }
    }

    /// Takes a port and does not listen: every connection is refused, until
    /// [`come_back`](Self::come_back). No other process can take the port.
    ///
    /// # Errors
    /// An [`io::Error`] when the machine has no port to give.
    pub fn refusing() -> io::Result<Self> {
        Self::builder().without_listener()
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The URL of a path, as `http://127.0.0.1:4711/hooks`.
    pub fn url(&self, path: &str) -> String {
        self.url_at(&self.address().ip().to_string(), path)
    }

    /// The URL of a path under another name for this machine, as `http://localhost:4711/hooks`.
    pub fn url_at(&self, host: &str, path: &str) -> String {
        let slash = if path.starts_with('/') { "" } else { "/" };
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{host}:{}{slash}{path}", self.address().port())
    }

    /// The certificate, PEM, of the authority that signed the receiver's. `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.shared.tls.as_ref().map(|tls| tls.ca_pem.as_str())
    }

    /// The settings of an emitter that delivers to a path here: private destinations allowed, the
    /// receiver's authority trusted, and everything else at its default.
    ///
    /// # Errors
    /// [`ConfigError`] when the path can't be part of a URL.
    pub fn emitter_config(&self, path: &str) -> Result<EmitterConfig, ConfigError> {
        let config = EmitterConfig::new(self.url(path))?.allow_private_destinations();
        Ok(match self.ca_pem() {
            Some(pem) => config.root_certificate(pem),
            None => config,
        })
    }

    /// Adds a reply behind those that are given in order.
    pub fn reply(&self, reply: Reply) {
        self.shared.script.push(reply);
    }

    /// Changes the reply to every request after the replies in order. A `choose` given to the
    /// builder precedes it.
    pub fn otherwise(&self, reply: Reply) {
        self.shared.script.set_default(reply);
    }

    /// Holds every response back until the gate is dropped. Requests are read and recorded
    /// meanwhile, and count as in flight.
    pub fn hold(&self) -> Gate {
        self.shared.gates.close_one()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Arc<Received>> {
        self.shared.book.read(|ledger| ledger.requests().to_vec())
    }

    /// Looks at the ledger. The function must use nothing else of this receiver.
    pub fn ledger<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        self.shared.book.read(look)
    }

    /// The number of requests that wait for the end of their response now.
    pub fn in_flight(&self) -> usize {
        self.ledger(Ledger::in_flight)
    }

    /// Waits until this many requests have come, and returns all that have come by then.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline, counted in real time, passes first.
    pub async fn wait_for(
        &self,
        requests: usize,
        deadline: Duration,
    ) -> Result<Vec<Arc<Received>>, TimedOut> {
        let enough = |ledger: &Ledger| ledger.requests().len() >= requests;
        self.shared.book.wait(&format!("{requests} requests"), deadline, enough).await?;
        Ok(self.requests())
    }

    /// Waits until this many requests are in flight at once.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline, counted in real time, passes first.
    pub async fn wait_in_flight(
        &self,
        requests: usize,
        deadline: Duration,
    ) -> Result<(), TimedOut> {
        let what = format!("{requests} requests in flight");
        self.shared.book.wait(&what, deadline, |ledger| ledger.in_flight() == requests).await
    }

    /// Waits until the condition holds for the ledger. It is tested whenever the ledger changes,
    /// and must use nothing else of this receiver.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline, counted in real time, passes first.
    pub async fn wait_until(
        &self,
        deadline: Duration,
        condition: impl FnMut(&Ledger) -> bool,
    ) -> Result<(), TimedOut> {
        self.shared.book.wait("what was waited for", deadline, condition).await
    }

    /// Closes the port and every connection. When this returns, connections are refused.
    pub async fn go_down(&self) {
        self.server.go_down().await;
    }

    /// Listens again, on the same port. Does nothing while it listens.
    ///
    /// # Errors
    /// An [`io::Error`] when the machine refuses.
    pub fn come_back(&self) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        // They are numbered as they are accepted, which is the order in which they were made.
        self.server
            .listen(move |tcp| serve(tcp, shared.book.open_connection(), Arc::clone(&shared)))
    }
}

/// Serves one connection. The sender notices by itself when it fails.
async fn serve(tcp: TcpStream, connection: OpenConnection, shared: Arc<ReceiverState>) {
    if let Some(reply) = shared.script.early(Stage::OnAccept) {
        let wire = Wire::new(Stream::Plain(tcp));
        let _ = http1::strike(wire, &reply, Stage::OnAccept).await;
        return;
    }
    let wire = match &shared.tls {
        None => Some(Wire::new(Stream::Plain(tcp))),
        Some(tls) => tls.handshake(tcp, &shared.book).await,
    };
    if let Some(wire) = wire {
        let _ = speak(wire, shared, &connection).await;
    }
}

/// Speaks the version of HTTP that the sender speaks.
async fn speak(
    mut wire: Wire,
    shared: Arc<ReceiverState>,
    connection: &OpenConnection,
) -> io::Result<()> {
    if !wire.first_byte().await? {
        return Ok(());
    }
    if let Some(reply) = shared.script.early(Stage::BeforeReading) {
        return http1::strike(wire, &reply, Stage::BeforeReading).await;
    }
    match (wire.starts_with(http2::PREFACE).await?, shared.protocol) {
        (true, Protocol::Both | Protocol::Http2) => http2::serve(shared, connection, wire).await,
        (_, Protocol::Both | Protocol::Http1) => http1::serve(shared, connection, wire).await,
        (false, Protocol::Http2) => Ok(()),
    }
}
