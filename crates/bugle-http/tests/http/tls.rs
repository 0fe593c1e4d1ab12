//! HTTPS, correct and faulty.

use bugle_core::AttemptCode::BadConnection;
use bugle_core::EmitterConfig;
use bugle_testkit::{ClientCa, Receiver, Tls};

use crate::support::{assert_failed, deliver, delivery, open};

fn speaking(tls: Tls) -> Receiver {
    Receiver::builder().tls(tls).start().unwrap()
}

/// A configuration with the receiver's URL alone, which does not know its authority.
fn stranger(receiver: &Receiver) -> EmitterConfig {
    EmitterConfig::new(receiver.url("/")).unwrap().allow_private_destinations()
}

#[tokio::test]
async fn an_own_authority_is_trusted() {
    let receiver = speaking(Tls::trusted());
    let session = open(receiver.emitter_config("/hooks").unwrap());
    for _ in 0..20 {
        assert!(session.deliver(&delivery()).await.is_delivered());
    }
    assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 1);
    let request = &receiver.requests()[0];
    assert_eq!(request.version, http::Version::HTTP_11, "one at a time goes over HTTP/1.1");
    assert_eq!(request.header("host"), Some(&*receiver.address().to_string()));
}

#[tokio::test]
async fn by_name_and_by_address() {
    let receiver = speaking(Tls::trusted());
    let config = EmitterConfig::new(receiver.url_at("localhost", "/"))
        .unwrap()
        .allow_private_destinations()
        .root_certificate(receiver.ca_pem().unwrap());
    let outcome = deliver(config).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
    assert!(!outcome.exchange.elapsed.tls.is_zero());
}

#[tokio::test]
async fn a_certificate_that_does_not_hold_is_refused_in_words() {
    for (tls, words) in [
        (Tls::self_signed(), "UnknownIssuer"),
        (Tls::expired(), "expired"),
        (Tls::wrong_name(), "not valid for"),
    ] {
        let receiver = speaking(tls);
        let outcome = deliver(receiver.emitter_config("/").unwrap()).await;
        assert_failed(&outcome, BadConnection, "the TLS handshake failed");
        assert_failed(&outcome, BadConnection, words);
        assert!(receiver.requests().is_empty());
    }
    let receiver = speaking(Tls::trusted());
    assert_failed(&deliver(stranger(&receiver)).await, BadConnection, "UnknownIssuer");
}

#[tokio::test]
async fn any_certificate_will_do_when_asked_so() {
    for tls in [Tls::self_signed(), Tls::expired(), Tls::wrong_name(), Tls::trusted()] {
        let receiver = speaking(tls);
        let config = stranger(&receiver).danger_accept_invalid_certificates(true);
        let outcome = deliver(config).await;
        assert!(outcome.is_delivered(), "{outcome:?}");
    }
}

#[tokio::test]
async fn what_is_not_tls_is_said_to_be_so() {
    let garbage = speaking(Tls::garbage());
    let outcome = deliver(garbage.emitter_config("/").unwrap()).await;
    assert_failed(&outcome, BadConnection, "the TLS handshake failed");

    let plain = Receiver::start().unwrap();
    let url = plain.url("/").replace("http:", "https:");
    let config = EmitterConfig::new(url).unwrap().allow_private_destinations();
    assert_failed(&deliver(config).await, BadConnection, "the TLS handshake failed");

    // The same the other way round.
    let receiver = speaking(Tls::trusted());
    let url = receiver.url("/").replace("https:", "http:");
    let config = EmitterConfig::new(url).unwrap().allow_private_destinations();
    assert_failed(&deliver(config).await, BadConnection, "");
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_asked_for() {
    let authority = ClientCa::new().unwrap();
    let receiver = speaking(Tls::trusted().require_client(&authority));
    let config = || receiver.emitter_config("/").unwrap();
    let identity = authority.issue("billing").unwrap();
    let outcome = deliver(config().client_identity(identity)).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
    // TLS 1.3 tells the client only after its handshake is done.
    assert_failed(&deliver(config()).await, BadConnection, "");
    assert_eq!(receiver.requests().len(), 1);
}
