//! The receiver over TLS: good certificates, and each way in which a handshake goes wrong.

#![allow(clippy::unwrap_used)]

mod common;

use std::io;
use std::sync::Arc;

use bugle_core::ClientIdentity;
use bugle_testkit::{ClientCa, Ledger, Receiver, Reply, Stage, Tls};
use common::{SOON, Sender};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

async fn shake(
    receiver: &Receiver,
    name: &'static str,
    identity: Option<ClientIdentity>,
    protocols: &[&str],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let authority = receiver.ca_pem().unwrap().as_bytes();
    roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = identity.certificate_chain().as_bytes();
            let chain = CertificateDer::pem_slice_iter(chain).map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(identity.private_key().as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(receiver.address()).await?;
    let name = ServerName::try_from(name).unwrap();
    timeout(SOON, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.unwrap()
}

fn with(tls: Tls) -> Receiver {
    Receiver::builder().tls(tls).start().unwrap()
}

#[tokio::test]
async fn a_trusted_certificate_holds_for_each_name_of_the_machine() {
    let receiver = with(Tls::trusted());
    assert!(receiver.url("/a").starts_with("https://127.0.0.1:"));
    for name in ["localhost", "127.0.0.1", "::1"] {
        let stream = shake(&receiver, name, None, &[]).await.unwrap();
        let answer = Sender::over(stream).post("/a", "{}").await.unwrap();
        assert_eq!(answer.status, 204);
    }
    assert_eq!(receiver.requests().len(), 3);
    let config = receiver.emitter_config("/a").unwrap();
    assert_eq!(config.root_certificates, [receiver.ca_pem().unwrap()]);
}

#[tokio::test]
async fn a_bad_certificate_is_refused_for_its_own_reason() {
    for (tls, reason) in [
        (Tls::self_signed(), "UnknownIssuer"),
        (Tls::expired(), "expired"),
        (Tls::wrong_name(), "not valid for name"),
        (Tls::garbage(), "corrupt"),
    ] {
        let receiver = with(tls.clone());
        let error = shake(&receiver, "localhost", None, &[]).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{tls:?}: {error}");
        receiver.wait_until(SOON, |ledger| ledger.failed_handshakes() == 1).await.unwrap();
        receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
        assert_eq!(receiver.requests().len(), 0);
    }
}

#[tokio::test]
async fn a_handshake_can_hang() {
    let receiver = with(Tls::hang());
    let shaking = shake(&receiver, "localhost", None, &[]);
    tokio::select! {
        _ = shaking => unreachable!("the handshake hangs"),
        opened = receiver.wait_until(SOON, |ledger| ledger.connections_open() == 1) => {
            opened.unwrap();
        }
    }
    receiver.wait_until(SOON, |ledger| ledger.failed_handshakes() == 1).await.unwrap();
}

#[tokio::test]
async fn a_client_certificate_is_asked_for() {
    let (authority, stranger) = (ClientCa::new().unwrap(), ClientCa::new().unwrap());
    let receiver = with(Tls::trusted().require_client(&authority));
    for (identity, welcome) in [
        (None, false),
        (Some(stranger.issue("billing").unwrap()), false),
        (Some(authority.issue("billing").unwrap()), true),
    ] {
        // In TLS 1.3 the client learns that it is refused only when it reads.
        let stream = shake(&receiver, "localhost", identity, &[]).await.unwrap();
        let answer = Sender::over(stream).post("/a", "{}").await;
        assert_eq!(answer.is_ok(), welcome);
    }
    assert_eq!(receiver.ledger(Ledger::failed_handshakes), 2);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn faults_strike_under_tls_too() {
    for stage in [Stage::BeforeReading, Stage::AfterHead, Stage::AfterBody, Stage::InResponseBody] {
        let receiver = Receiver::builder()
            .tls(Tls::trusted())
            .reply(Reply::reset(stage))
            .reply(Reply::hang_at(stage))
            .start()
            .unwrap();
        let stream = shake(&receiver, "localhost", None, &[]).await.unwrap();
        let mut sender = Sender::over(stream);
        let _ = sender.send("/a", "{}").await;
        let (bytes, _) = timeout(SOON, sender.rest()).await.unwrap();
        assert_eq!(bytes.is_empty(), stage != Stage::InResponseBody, "{stage:?}");
        assert!(!bytes.ends_with(b"}"), "{stage:?}");

        let stream = shake(&receiver, "localhost", None, &[]).await.unwrap();
        let mut sender = Sender::over(stream);
        sender.send("/a", "{}").await.unwrap();
        receiver.wait_until(SOON, |ledger| ledger.connections_open() == 1).await.unwrap();
        drop(sender);
        receiver.wait_until(SOON, |ledger| ledger.connections_open() == 0).await.unwrap();
        assert_eq!(receiver.in_flight(), 0);
    }
}

#[tokio::test]
async fn alpn_agrees_on_what_the_receiver_speaks() {
    let offer = ["h2", "http/1.1"];
    for (builder, agreed) in [
        (Receiver::builder(), "h2"),
        (Receiver::builder().http1_only(), "http/1.1"),
        (Receiver::builder().http2_only(), "h2"),
    ] {
        let receiver = builder.tls(Tls::trusted()).start().unwrap();
        let stream = shake(&receiver, "localhost", None, &offer).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(agreed.as_bytes()));
    }
}
