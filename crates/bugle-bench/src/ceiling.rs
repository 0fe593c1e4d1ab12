//! The ceiling: bare hyper connections, one for each lane, and nothing around them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::payload::{BYTES, Filler};
use crate::receiver::Addresses;
use crate::throughput::Side;

type Connection = SendRequest<Full<Bytes>>;

/// Kept-alive connections, each of which sends one request after another.
pub(crate) struct Ceiling {
    address: SocketAddr,
    /// What each request's payload is copied from.
    body: Arc<[u8]>,
    resting: Vec<Connection>,
    sending: JoinSet<Result<Connection>>,
    completed: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
}

impl Ceiling {
    /// Connects.
    pub(crate) async fn connect(to: &Addresses, lanes: usize, tls: bool) -> Result<Self> {
        let address = if tls { to.tls } else { to.plain };
        let connector = connector(&to.certificate)?;
        let mut resting = Vec::with_capacity(lanes);
        for _ in 0..lanes {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            resting.push(if tls {
                let name = ServerName::from(address.ip());
                handshake(connector.connect(name, stream).await?).await?
            } else {
                handshake(stream).await?
            });
        }
        Ok(Self {
            address,
            body: serde_json::to_vec(&Filler::new(BYTES).payload())?.into(),
            resting,
            sending: JoinSet::new(),
            completed: Arc::default(),
            stopping: Arc::default(),
        })
    }
}

impl Side for Ceiling {
    fn start(&mut self) {
        self.stopping.store(false, Ordering::Relaxed);
        for connection in self.resting.drain(..) {
            let lane = Lane {
                connection,
                address: self.address,
                body: Arc::clone(&self.body),
                completed: Arc::clone(&self.completed),
                stopping: Arc::clone(&self.stopping),
            };
            self.sending.spawn(lane.send());
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

struct Lane {
    connection: Connection,
    address: SocketAddr,
    body: Arc<[u8]>,
    completed: Arc<AtomicU64>,
    stopping: Arc<AtomicBool>,
}

impl Lane {
    async fn send(mut self) -> Result<Connection> {
        let host = HeaderValue::try_from(self.address.to_string())?;
        let json = HeaderValue::from_static("application/json");
        let path = Uri::from_static("/");
        while !self.stopping.load(Ordering::Relaxed) {
            // Allocated anew, as a real event's payload is.
            let mut request =
                Request::post(path.clone()).body(Full::new(Bytes::copy_from_slice(&self.body)))?;
            request.headers_mut().insert(HOST, host.clone());
            request.headers_mut().insert(CONTENT_TYPE, json.clone());
            self.connection.ready().await?;
            let response = self.connection.send_request(request).await?;
            ensure!(response.status() == StatusCode::NO_CONTENT, "{}", response.status());
            response.into_body().collect().await?;
            self.completed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(self.connection)
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Connection> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; an error is the sender's too.
    tokio::spawn(connection);
    Ok(sender)
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
