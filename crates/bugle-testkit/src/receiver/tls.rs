//! TLS, correct and faulty.

use std::io;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::ledger::Book;
use super::protocol::Protocol;
use super::wire::{Stream, Wire, gone};
use crate::authority::{Authority, Claims, ClientCa, Usage};

/// The TLS side of a [`Receiver`](crate::Receiver). Its certificates are made anew for each
/// receiver by an authority of its own, [`Receiver::ca_pem`](crate::Receiver::ca_pem).
#[derive(Debug, Clone)]
#[must_use]
pub struct Tls {
    manner: Manner,
    client_authority: Option<CertificateDer<'static>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Trusted,
    SelfSigned,
    Expired,
    WrongName,
    Garbage,
    Hang,
}

impl Tls {
    /// A good certificate for localhost, 127.0.0.1 and ::1, which the receiver's authority signed.
    pub fn trusted() -> Self {
        Self::in_manner(Manner::Trusted)
    }

    /// A certificate that is its own authority.
    pub fn self_signed() -> Self {
        Self::in_manner(Manner::SelfSigned)
    }

    /// A certificate of the receiver's authority that expired long ago.
    pub fn expired() -> Self {
        Self::in_manner(Manner::Expired)
    }

    /// A certificate of the receiver's authority, for another name.
    pub fn wrong_name() -> Self {
        Self::in_manner(Manner::WrongName)
    }

    /// Answers the handshake with bytes that are not TLS.
    pub fn garbage() -> Self {
        Self::in_manner(Manner::Garbage)
    }

    /// Never answers the handshake.
    pub fn hang() -> Self {
        Self::in_manner(Manner::Hang)
    }

    fn in_manner(manner: Manner) -> Self {
        Self { manner, client_authority: None }
    }

    /// Demands a certificate of this authority from the sender, and refuses one without it.
    pub fn require_client(mut self, authority: &ClientCa) -> Self {
        self.client_authority = Some(authority.certificate().der().clone());
        self
    }

    /// Makes the authority and the certificate.
    pub(crate) fn prepare(&self, protocol: Protocol) -> io::Result<PreparedTls> {
        let authority = Authority::new()?;
        let ca_pem = authority.pem();
        let wrong = self.manner == Manner::WrongName;
        let claims = Claims {
            common_name: "a test's receiver",
            names: if wrong { &["elsewhere.test"] } else { &["localhost", "127.0.0.1", "::1"] },
            usage: Usage::Server,
            expired: self.manner == Manner::Expired,
        };
        let (certificate, key) = match self.manner {
            Manner::SelfSigned => claims.self_signed()?,
            _ => authority.issue(&claims)?,
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone()).map_err(io::Error::other)?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()
                        .map_err(io::Error::other)?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = vec![certificate.der().clone()];
        let mut config = builder.with_single_cert(chain, key).map_err(io::Error::other)?;
        config.alpn_protocols =
            protocol.alpn().iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(PreparedTls { manner: self.manner, acceptor: Arc::new(config).into(), ca_pem })
    }
}

/// TLS with its certificates made.
pub(crate) struct PreparedTls {
    manner: Manner,
    acceptor: TlsAcceptor,
    pub(crate) ca_pem: String,
}

impl std::fmt::Debug for PreparedTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PreparedTls").field(&self.manner).finish()
    }
}

impl PreparedTls {
    /// Does the handshake, or misbehaves. `None` when the connection is over.
    pub(crate) async fn handshake(&self, mut tcp: TcpStream, book: &Book) -> Option<Wire> {
        match self.manner {
            Manner::Hang => {
                gone(&tcp).await;
                book.handshake_failed();
                None
            }
            Manner::Garbage => {
                let _ = tcp.write_all(b"220 this is a mail server\r\n").await;
                Wire::new(Stream::Plain(tcp)).close().await;
                book.handshake_failed();
                None
            }
            _ => match self.acceptor.accept(tcp).await {
                Ok(stream) => Some(Wire::new(Stream::Tls(Box::new(stream)))),
                Err(_) => {
                    book.handshake_failed();
                    None
                }
            },
        }
    }
}
