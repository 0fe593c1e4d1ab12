//! The requests that the receiver gets.

use bugle_core::{
    EmitterConfig, Event, EventName, RequestId, Secret, TraceContext, sign_plain, verify_plain,
};
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
    let trace = TraceContext::new(parent).unwrap().tracestate("a=1,b=2").unwrap();
    let delivery = delivery_of(event().trace(Some(trace)));
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

#[tokio::test]
async fn requests_of_one_connection_have_each_their_own_headers() {
    let receiver = Receiver::start().unwrap();
    let session = open(receiver.emitter_config("/").unwrap().header("x-tag", "one"));
    let trace = || {
        let mut trace = TraceContext::new(format!("00-{:032x}-{:016x}-01", 1, 2)).unwrap();
        trace.tracestate = Some("vendor=1".to_owned());
        trace
    };
    let cases = [
        ("a.b", "{}", None),
        ("a.b", "{\"n\":1}", Some(trace())),
        ("a.c", "{\"n\":2}", None),
        ("a.b", "{}", None),
    ];
    for (name, payload, trace) in cases {
        let id = RequestId::random();
        let name = EventName::new(name).unwrap();
        let event = Event::new(name, id, Bytes::from_static(payload.as_bytes()), Timestamp::now());
        let delivery = delivery_of(event.trace(trace));
        assert!(session.deliver(&delivery).await.is_delivered());
        let requests = receiver.requests();
        let request = requests.last().unwrap();
        let event = &delivery.event;
        let trace = event.trace.as_deref();
        for (header, expected) in [
            ("x-webhooks-event", Some(event.name.as_str())),
            ("x-webhooks-delivery", Some(event.request_id.as_str())),
            ("webhook-id", Some(event.request_id.as_str())),
            ("content-length", Some(&*payload.len().to_string())),
            ("traceparent", trace.map(|trace| &*trace.traceparent)),
            ("tracestate", trace.and_then(|trace| trace.tracestate.as_deref())),
            ("x-tag", Some("one")),
        ] {
            assert_eq!(request.header(header), expected, "{header}");
        }
        assert_eq!(request.connection, 1);
        assert_eq!(request.headers.len(), if trace.is_some() { 11 } else { 9 });
        assert_eq!(&request.body[..], payload.as_bytes());
    }
}

#[test]
fn settings_that_cannot_work_are_refused_when_a_session_is_opened() {
    use bugle_core::Transport;
    use std::sync::Arc;
    let transport = bugle_http::HttpTransport::new();
    let config = || EmitterConfig::new("https://example.com").unwrap();
    let field = |config: EmitterConfig| {
        let config = Arc::new(config);
        let refused = transport.open(&config).err().map(|error| error.field);
        assert_eq!(transport.check(&config).err().map(|error| error.field), refused);
        refused
    };
    let identity = |chain: &str, key: &str| bugle_core::ClientIdentity::from_pem(chain, key);
    assert_eq!(field(config()), None);
    assert_eq!(field(config().root_certificate("nonsense")), Some("root_certificate"));
    assert_eq!(field(config().client_identity(identity("", ""))), Some("client_identity"));
    assert_eq!(field(config().header("x y", "z")), Some("header"));
}
