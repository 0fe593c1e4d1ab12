//! The guard checks addresses where the connection is made.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use bugle_core::AttemptCode::{BadConnection, BlockedDestination};
use bugle_core::{Advice, BoxFuture, EmitterConfig, Outcome};
use bugle_http::{HttpTransport, Resolve};
use bugle_testkit::Receiver;

use crate::support::{Names, assert_failed, deliver, delivery, open_with};

fn assert_blocked(outcome: &Outcome, words: &str) {
    assert_failed(outcome, BlockedDestination, words);
    assert_failed(outcome, BlockedDestination, "allow_private_destinations()");
    assert_eq!(outcome.failure.as_ref().unwrap().advice, Advice::GiveUp);
    assert_eq!(outcome.exchange.connected_to, None);
}

#[tokio::test]
async fn addresses_that_are_not_public_are_refused() {
    let receiver = Receiver::start().unwrap();
    let port = receiver.address().port();
    for (host, shown) in [
        ("127.0.0.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("10.0.0.1", "10.0.0.1"),
    ] {
        let config = EmitterConfig::new(format!("http://{host}:{port}/")).unwrap();
        assert_blocked(&deliver(config).await, shown);
    }
    assert_eq!(receiver.ledger(|ledger| ledger.connections_opened()), 0);
}

#[tokio::test]
async fn the_systems_own_localhost_is_refused() {
    let receiver = Receiver::start().unwrap();
    let config = EmitterConfig::new(receiver.url_at("localhost", "/")).unwrap();
    assert_blocked(&deliver(config.clone()).await, "localhost: ");
    let outcome = deliver(config.allow_destinations(["127.0.0.0/8".parse().unwrap()])).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
}

#[tokio::test]
async fn of_a_mix_only_the_allowed_are_connected_to() {
    let receiver = Receiver::start().unwrap();
    let port = receiver.address().port();
    // 127.0.0.2 is refused, and would answer if the receiver were bound to it.
    let names = Names::of([
        ("mixed.test", &["127.0.0.2", "10.0.0.1", "::1", "127.0.0.1"][..]),
        ("inside.test", &["10.0.0.1", "192.168.0.1"][..]),
    ]);
    let transport = names.transport();
    let config = |host: &str| {
        EmitterConfig::new(format!("http://{host}:{port}/"))
            .unwrap()
            .allow_destinations(["127.0.0.1/32".parse().unwrap()])
    };
    let outcome = open_with(&transport, config("mixed.test")).deliver(&delivery()).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
    assert_eq!(outcome.exchange.connected_to, Some(receiver.address()));
    let host = format!("mixed.test:{port}");
    assert_eq!(receiver.requests()[0].header("host"), Some(&*host));

    let outcome = open_with(&transport, config("inside.test")).deliver(&delivery()).await;
    assert_blocked(&outcome, "inside.test: 10.0.0.1 is a private address");
}

/// Answers with an allowed address first, and with a refused one ever after.
#[derive(Debug, Default)]
struct Rebinding {
    asked: AtomicUsize,
}

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let text = match self.asked.fetch_add(1, Ordering::Relaxed) {
            0 => "127.0.0.1",
            _ => "127.0.0.2",
        };
        Box::pin(async move { Ok(vec![text.parse().unwrap()]) })
    }
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() {
    let receiver = Receiver::start().unwrap();
    let transport = HttpTransport::builder().resolver(Rebinding::default()).build();
    let url = receiver.url_at("rebinding.test", "/");
    let config =
        EmitterConfig::new(url).unwrap().allow_destinations(["127.0.0.1/32".parse().unwrap()]);
    // The connection goes to the address that was checked: the name isn't looked up again between
    // the check and the connection.
    let session = open_with(&transport, config.clone());
    assert!(session.deliver(&delivery()).await.is_delivered());
    let session = open_with(&transport, config);
    assert_blocked(&session.deliver(&delivery()).await, "127.0.0.2 is a loopback address");
}

#[tokio::test]
async fn all_addresses_are_tried() {
    let receiver = Receiver::start().unwrap();
    let names = Names::of([
        ("several.test", &["127.0.0.3", "127.0.0.2", "127.0.0.1", "127.0.0.1"][..]),
        ("dead.test", &["127.0.0.3", "127.0.0.2"][..]),
        ("empty.test", &[][..]),
    ]);
    let transport = names.transport();
    let config = |host: &str| {
        EmitterConfig::new(receiver.url_at(host, "/")).unwrap().allow_private_destinations()
    };
    let outcome = open_with(&transport, config("several.test")).deliver(&delivery()).await;
    assert!(outcome.is_delivered(), "{outcome:?}");
    let outcome = open_with(&transport, config("dead.test")).deliver(&delivery()).await;
    assert_failed(&outcome, BadConnection, "connecting to 127.0.0.3");
    assert_failed(&outcome, BadConnection, "connecting to 127.0.0.2");
    let outcome = open_with(&transport, config("empty.test")).deliver(&delivery()).await;
    assert_failed(&outcome, BadConnection, "empty.test has no address");
}
