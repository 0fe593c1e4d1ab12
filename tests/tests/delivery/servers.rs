//! Deliveries to and through real servers.

use bugle::{AttemptQuery, EmitterConfig, Fate, HttpVersion, Order, Proxy};
use bugle_testkit::{Receiver, Tls};

use crate::installed::Installed;
use crate::support::{emit, fates};
use crate::{config, delivered, runtime};

const EVENTS: usize = 1000;

#[tokio::test]
async fn nginx_ends_connections_and_refuses_streams_and_nothing_is_lost_or_repeated() {
    for directives in [
        "keepalive_requests 100;",
        "keepalive_requests 1;",
        "http2_body_preread_size 0;",
        "http2_max_concurrent_streams 3;",
    ] {
        let Some(nginx) = Installed::nginx(directives) else { return };
        let runtime = runtime().await;
        let config = EmitterConfig::new(format!("http://{}/", nginx.address)).unwrap();
        let config = config
            .allow_private_destinations()
            .http_version(HttpVersion::Http2)
            .order(Order::Unordered { window: 64 })
            .max_attempts(1);
        runtime.attach("a", "invoice.paid", config).await.unwrap();
        let mut receipts = Vec::with_capacity(EVENTS);
        for n in 0..EVENTS {
            receipts.push(emit(&runtime, "invoice.paid", &n.to_string()).await);
        }
        for receipt in &receipts {
            let fates = fates(receipt).await;
            assert!(fates.iter().all(|(_, fate)| *fate == Some(Fate::Delivered)), "{directives}");
        }
        let failed = runtime.attempts().page(&AttemptQuery::new(), None).await.unwrap().items;
        assert!(failed.is_empty(), "{directives}: {} failed: {}", failed.len(), failed[0].message);
        assert_eq!(nginx.answered(204), EVENTS, "{directives}");
    }
}

#[tokio::test]
async fn squid_passes_requests_on_and_makes_tunnels_for_tls() {
    let tls = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    let plain = Receiver::start().unwrap();
    let Some(squid) = Installed::squid(tls.address().port()) else { return };
    let proxy = || Proxy::new(&format!("http://{}", squid.address)).unwrap();
    let runtime = runtime().await;
    for (id, receiver) in [("plain", &plain), ("tls", &tls)] {
        runtime.attach(id, "invoice.paid", config(receiver).proxy(proxy())).await.unwrap();
        let named = EmitterConfig::new(receiver.url_at("localhost", "/named")).unwrap();
        let named = match receiver.ca_pem() {
            Some(pem) => named.root_certificate(pem),
            None => named,
        };
        let named = named.allow_private_destinations();
        let resolved = named.clone().proxy(proxy().resolving_names());
        runtime.attach(format!("{id}-named"), "invoice.paid", named.proxy(proxy())).await.unwrap();
        runtime.attach(format!("{id}-resolved"), "invoice.paid", resolved).await.unwrap();
    }
    for n in 0..20 {
        delivered(&emit(&runtime, "invoice.paid", &n.to_string()).await).await;
    }
    for receiver in [&plain, &tls] {
        assert_eq!(receiver.requests().len(), 60);
    }
    assert!(plain.requests().iter().all(|request| request.header("via").is_some()));
    let failed = runtime.attempts().page(&AttemptQuery::new(), None).await.unwrap().items;
    assert!(failed.is_empty(), "{:?}", failed.first());
}
