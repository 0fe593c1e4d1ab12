//! What the receiver gets.

use bugle_core::{EmitterConfig, Secret, TraceContext, sign_plain, verify_plain};
use bugle_testkit::Receiver;
use bytes::Bytes;
use jiff::Timestamp;

use crate::support::{PAYLOAD, delivery, delivery_of, event, open};

#[tokio::test]
async fn method_path_headers_and_body_are_as_documented() {
    let receiver = Receiver::start().unwrap();
    let config = receiver.emitter_config("/a%20b/hooks?x=1&y=%2F").unwrap();
    let before = Timestamp::now().as_second();
    let delivery = delivery();
    assert!(open(config).deliver(&delivery).await.is_delivered());

    let request = &receiver.requests()[0];
    let id = delivery.event.request_id.as_str();
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/a%20b/hooks?x=1&y=%2F");
    assert_eq!(request.version, http::Version::HTTP_11);
    assert_eq!(&request.body[..], PAYLOAD);
    assert_eq!(request.header("host"), Some(&*receiver.address().to_string()));
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("content-length"), Some("8"));
    assert_eq!(request.header("user-agent"), Some(concat!("Bugle/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.header("x-webhooks-event"), Some("invoice.paid"));
    assert_eq!(request.header("x-webhooks-delivery"), Some(id));
    assert_eq!(request.header("webhook-id"), Some(id));
    let stamp: i64 = request.header("webhook-timestamp").unwrap().parse().unwrap();
    assert!((before..=Timestamp::now().as_second()).contains(&stamp));
    let absent = ["x-webhooks-signature", "webhook-signature", "traceparent", "tracestate"];
    assert!(absent.iter().all(|name| request.header(name).is_none()));
    assert_eq!(request.headers.len(), 8);
}

#[tokio::test]
async fn the_config_adds_headers_and_names_its_own() {
    let receiver = Receiver::start().unwrap();
    let config = receiver
        .emitter_config("/")
        .unwrap()
        .header_identifier("Acme-Corp")
        .header("Authorization", "Bearer hunter2")
        .header("x-tag", "one")
        .header("x-tag", "two");
    let session = open(config);
    for _ in 0..3 {
        assert!(session.deliver(&delivery()).await.is_delivered());
    }
    for request in receiver.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer hunter2"));
        let tags: Vec<_> = request.headers.get_all("x-tag").iter().collect();
        assert_eq!(tags, ["one", "two"]);
        assert_eq!(request.header("x-acme-corp-event"), Some("invoice.paid"));
        assert!(request.header("x-acme-corp-delivery").is_some());
        assert_eq!(request.headers.len(), 11);
    }
}

#[tokio::test]
async fn every_key_signs() {
    let receiver = Receiver::start().unwrap();
    let config = receiver
        .emitter_config("/")
        .unwrap()
        .secret(Secret::parse("supersecret").unwrap())
        .secret(Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
    assert!(open(config).deliver(&delivery()).await.is_delivered());
    let request = &receiver.requests()[0];
    let plain = request.header("x-webhooks-signature").unwrap();
    assert_eq!(plain, sign_plain("supersecret", PAYLOAD));
    verify_plain("supersecret", &request.body, plain).unwrap();
    assert!(request.header("webhook-signature").unwrap().starts_with("v1,"));
}

#[tokio::test]
async fn the_trace_goes_along() {
    let receiver = Receiver::start().unwrap();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = TraceContext::new(parent).unwrap().with_tracestate("a=1,b=2").unwrap();
    let delivery = delivery_of(event().with_trace(Some(trace)));
    let session = open(receiver.emitter_config("/").unwrap());
    assert!(session.deliver(&delivery).await.is_delivered());
    let request = &receiver.requests()[0];
    assert_eq!(request.header("traceparent"), Some(parent));
    assert_eq!(request.header("tracestate"), Some("a=1,b=2"));
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    let receiver = Receiver::start().unwrap();
    let mut event = event();
    event.payload = Bytes::from(vec![b'x'; 3 << 20]);
    let delivery = delivery_of(event);
    let session = open(receiver.emitter_config("/").unwrap());
    for _ in 0..3 {
        assert!(session.deliver(&delivery).await.is_delivered());
    }
    let requests = receiver.requests();
    assert!(requests.iter().all(|request| request.body == delivery.event.payload));
    assert!(requests.iter().all(|request| request.connection == 1));
}

#[tokio::test]
async fn hosts_are_written_as_http_wants_them() {
    let receiver = Receiver::builder().bind("::1".parse::<std::net::IpAddr>().unwrap()).start();
    // A machine without IPv6 has nothing to test here.
    let Ok(receiver) = receiver else { return };
    assert!(open(receiver.emitter_config("/").unwrap()).deliver(&delivery()).await.is_delivered());
    let port = receiver.address().port();
    assert_eq!(receiver.requests()[0].header("host"), Some(&*format!("[::1]:{port}")));
}

#[test]
fn settings_that_cannot_work_are_refused_when_a_session_is_opened() {
    use bugle_core::Transport;
    use std::sync::Arc;
    let transport = bugle_http::HttpTransport::new();
    let config = || EmitterConfig::new("https://example.com").unwrap();
    let field =
        |config: EmitterConfig| transport.open(&Arc::new(config)).err().map(|error| error.field);
    let identity = |chain: &str, key: &str| bugle_core::ClientIdentity::from_pem(chain, key);
    assert_eq!(field(config()), None);
    assert_eq!(field(config().add_root_certificates("nonsense")), Some("add_root_certificates"));
    assert_eq!(field(config().client_identity(identity("", ""))), Some("client_identity"));
    assert_eq!(field(config().header("x y", "z")), Some("header"));
}
