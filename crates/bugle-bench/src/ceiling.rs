//! The ceilings: bare connections, one for each lane, and nothing around them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::payload::{BYTES, Filler};
use crate::receiver::Addresses;
use crate::throughput::Side;

/// A kept-alive connection.
pub(crate) trait Connection: Sized + Send + 'static {
    /// Makes a connection on a stream to this address.
    async fn on(stream: Stream, address: SocketAddr) -> Result<Self>;

    /// Posts a payload, and reads the answer, which must be 204.
    fn send(&mut self, payload: Bytes) -> impl Future<Output = Result<()>> + Send;
}

/// The stream under a connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Connections, each of which sends one request after another.
pub(crate) struct Ceiling<C> {
    /// The bytes that each request's payload is copied from.
    body: Arc<[u8]>,
    resting: Vec<C>,
    sending: JoinSet<Result<C>>,
    completed: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
}

impl<C: Connection> Ceiling<C> {
    /// Makes so many connections.
    pub(crate) async fn connect(to: &Addresses, lanes: usize, tls: bool) -> Result<Self> {
        let address = if tls { to.tls } else { to.plain };
        let connector = connector(&to.certificate)?;
        let mut resting = Vec::with_capacity(lanes);
        for _ in 0..lanes {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = if tls {
                let name = ServerName::from(address.ip());
                Stream::Tls(Box::new(connector.connect(name, stream).await?))
            } else {
                Stream::Plain(stream)
            };
            resting.push(C::on(stream, address).await?);
        }
        Ok(Self {
            body: serde_json::to_vec(&Filler::new(BYTES).payload())?.into(),
            resting,
            sending: JoinSet::new(),
            completed: Arc::default(),
            stopping: Arc::default(),
        })
    }
}

impl<C: Connection> Side for Ceiling<C> {
    fn start(&mut self) {
        self.stopping.store(false, Ordering::Relaxed);
        for connection in self.resting.drain(..) {
            let body = Arc::clone(&self.body);
            let completed = Arc::clone(&self.completed);
            self.sending.spawn(lane(connection, body, completed, Arc::clone(&self.stopping)));
        }
    }

    fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    async fn stop(&mut self) -> Result<()> {
        self.stopping.store(true, Ordering::Relaxed);
        while let Some(lane) = self.sending.join_next().await {
            self.resting.push(lane??);
        }
        Ok(())
    }
}

async fn lane<C: Connection>(
    mut connection: C,
    body: Arc<[u8]>,
    completed: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
) -> Result<C> {
    while !stopping.load(Ordering::Relaxed) {
        // Allocated anew, as a real event's payload is.
        connection.send(Bytes::copy_from_slice(&body)).await?;
        completed.fetch_add(1, Ordering::Relaxed);
    }
    Ok(connection)
}

fn connector(certificate: &str) -> Result<TlsConnector> {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
        .context("the receiver's certificate can't be read")?;
    roots.add(certificate)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
