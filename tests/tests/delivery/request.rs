//! A request's head and body.

use std::collections::BTreeMap;

use bugle::{AttachError, EmitOptions, HttpVersion, Secret, TraceContext, payload};
use bugle_testkit::{Receiver, Reply, Tls};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::support::{emit, within};
use crate::{PLAIN, config, delivered, header_names, runtime};

#[tokio::test]
async fn an_unsigned_request_word_by_word() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    let config = receiver.emitter_config("/hooks/in?tenant=a%20b&x=1").unwrap();
    runtime.attach("billing", "invoice.paid", config).await.unwrap();
    let before = Timestamp::now().as_second();
    delivered(&emit(&runtime, "invoice.paid", "request-1").await).await;
    let after = Timestamp::now().as_second();

    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/hooks/in?tenant=a%20b&x=1");
    assert_eq!(request.version, http::Version::HTTP_11);
    assert!(request.complete);
    let expected = [
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "x-webhooks-delivery",
        "x-webhooks-event",
    ];
    assert_eq!(header_names(request), expected);
    assert_eq!(request.headers.len(), expected.len(), "each once");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("content-length"), Some(request.body.len().to_string().as_str()));
    assert_eq!(request.header("host"), Some(receiver.address().to_string().as_str()));
    let agent = format!("Bugle/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(request.header("user-agent"), Some(agent.as_str()));
    assert_eq!(request.header("x-webhooks-event"), Some("invoice.paid"));
    assert_eq!(request.header("x-webhooks-delivery"), Some("request-1"));
    assert_eq!(request.header("webhook-id"), Some("request-1"));
    let stamp: i64 = request.header("webhook-timestamp").unwrap().parse().unwrap();
    assert!((before..=after).contains(&stamp), "{before} {stamp} {after}");
    assert_eq!(&request.body[..], br#"{"invoice":7}"#);
}

#[derive(Serialize)]
struct Odd {
    text: &'static str,
    float: f64,
    large: u128,
    by_pair: BTreeMap<(u8, u8), Option<bool>>,
    bytes: Vec<u8>,
}

#[tokio::test]
async fn the_body_is_the_same_for_all_and_at_every_attempt() {
    let odd = Odd {
        text: "grüße \u{1f514} \u{0} \"</script>",
        float: f64::NAN,
        large: u128::MAX,
        by_pair: BTreeMap::from([((1, 2), None), ((3, 4), Some(true))]),
        bytes: vec![0, 255],
    };
    let shaky = Receiver::builder().replies(2, Reply::status(500)).start().unwrap();
    let steady = Receiver::start().unwrap();
    let secure = Receiver::builder().tls(Tls::trusted()).start().unwrap();
    let runtime = runtime().await;
    runtime.attach("shaky", "odd", config(&shaky)).await.unwrap();
    let signed = config(&steady).secret(Secret::parse(PLAIN).unwrap());
    runtime.attach("steady", "odd", signed).await.unwrap();
    let multiplexed = config(&secure).http_version(HttpVersion::Http2);
    runtime.attach("secure", "odd", multiplexed).await.unwrap();
    let receipt = within("emit", runtime.emit("odd", &odd)).await.unwrap();
    delivered(&receipt).await;

    let expected = payload::encode(&odd).unwrap();
    let all: Vec<_> = [&shaky, &steady, &secure].map(|it| it.requests()).concat();
    assert_eq!(all.len(), 5);
    for request in all {
        assert_eq!(request.body, expected);
        assert_eq!(request.request_id(), Some(receipt.request_id().as_str()));
        assert_eq!(request.header("x-webhooks-delivery"), request.request_id());
    }
}

fn is_uuid_v4(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && text.chars().all(|c| c == '-' || c.is_ascii_digit() || ('a'..='f').contains(&c))
        && groups[2].starts_with('4')
        && groups[3].starts_with(['8', '9', 'a', 'b'])
}

#[tokio::test]
async fn a_request_id_of_ones_own_or_a_random_one() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    for id in ["one", "two"] {
        runtime.attach(id, "invoice.paid", config(&receiver)).await.unwrap();
    }
    let own = "an-own_id:~42";
    let receipt = emit(&runtime, "invoice.paid", own).await;
    assert_eq!(*receipt.request_id(), own);
    delivered(&receipt).await;
    let mut random = Vec::new();
    for _ in 0..20 {
        let receipt = runtime.emit("invoice.paid", &json!({})).await.unwrap();
        delivered(&receipt).await;
        random.push(receipt.request_id().to_string());
    }
    assert!(random.iter().all(|id| is_uuid_v4(id)), "{random:?}");
    let requests = receiver.requests();
    assert_eq!(requests.len(), 42);
    for id in random.iter().map(String::as_str).chain([own]) {
        let with_it = requests.iter().filter(|request| request.request_id() == Some(id)).count();
        assert_eq!(with_it, 2, "{id}: once to each");
    }
    // Without any emitter, as in the original.
    assert_eq!(*emit(&runtime, "nobody.listens", "own").await.request_id(), "own");
}

#[tokio::test]
async fn a_trace_goes_along() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    runtime.attach("a", "invoice.paid", config(&receiver)).await.unwrap();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let state = "vendor=value,other=1";
    let alone = TraceContext::new(parent).unwrap();
    let with_state = alone.clone().tracestate(state).unwrap();
    for trace in [None, Some(alone), Some(with_state)] {
        let options = trace.into_iter().fold(EmitOptions::new(), EmitOptions::trace);
        let receipt = runtime.emit_with("invoice.paid", &json!({}), options).await.unwrap();
        delivered(&receipt).await;
    }
    let requests = receiver.requests();
    let seen: Vec<_> =
        requests.iter().map(|it| (it.header("traceparent"), it.header("tracestate"))).collect();
    assert_eq!(seen, [(None, None), (Some(parent), None), (Some(parent), Some(state))]);
}

#[tokio::test]
async fn additional_headers_go_along_and_the_deliverys_own_stay() {
    let receiver = Receiver::start().unwrap();
    let runtime = runtime().await;
    let config = config(&receiver)
        .header("Authorization", "Bearer token")
        .header("X-Tenant", "first")
        .header("x-tenant", "second");
    runtime.attach("a", "invoice.paid", config.clone()).await.unwrap();
    delivered(&emit(&runtime, "invoice.paid", "1").await).await;
    let request = &receiver.requests()[0];
    assert_eq!(request.header("authorization"), Some("Bearer token"));
    let tenants: Vec<_> = request.headers.get_all("x-tenant").iter().collect();
    assert_eq!(tenants, ["first", "second"]);
    for name in [
        "Host",
        "content-length",
        "Content-Type",
        "transfer-encoding",
        "connection",
        "Webhook-Id",
        "webhook-timestamp",
        "webhook-signature",
        "traceparent",
        "tracestate",
        "User-Agent",
        "X-Webhooks-Event",
        "x-webhooks-delivery",
        "x-webhooks-signature",
    ] {
        let refused = runtime.attach("b", "a", config.clone().header(name, "x")).await;
        let Err(AttachError::Config(error)) = refused else { panic!("{name}: {refused:?}") };
        assert_eq!(error.field, "header");
        assert!(error.to_string().contains(name), "{error}");
    }
}
