//! Typed events in a runtime: accepted events, recorded attempts, resthooks and change events.

mod support;

use std::sync::{Arc, Mutex};

use bugle::events::flow::{
    ContactNameChanged, EmailCreated, ErrorEvent, ResthookCalled, WebhookCalled,
};
use bugle::events::{
    AuditRow, ChangeEvent, Changes, EmitEvent as _, EmitEventBatch as _, Json, RecordCalls,
    RegistryCheck, Resthooks, Row, WebhookStatus, flow,
};
use bugle::{
    EmitBatch, EmitError, EmitOptions, Event, Gone, HandlerConfig, HttpTransport, Runtime,
    RuntimeEvent, Secret, TraceContext,
};
use bugle_testkit::{Receiver, Reply};
use serde_json::{Value, json};
use support::{config, quick, wait, within};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

type Seen = Arc<Mutex<Vec<(String, Value)>>>;

/// A handler that records the names and payloads of its events.
fn keep(seen: &Seen) -> impl bugle::Handler + use<> {
    let seen = Arc::clone(seen);
    move |event: Arc<Event>| {
        let payload = serde_json::from_slice(&event.payload).unwrap();
        seen.lock().unwrap().push((event.name.to_string(), payload));
        async { Ok::<(), String>(()) }
    }
}

#[tokio::test]
async fn an_event_is_emitted_under_its_types_name_or_not_at_all() {
    let seen = Seen::default();
    let runtime = Runtime::builder().start().await.unwrap();
    runtime.attach_handler("all", [">"], keep(&seen), HandlerConfig::default()).await.unwrap();

    let good = ContactNameChanged::new("Bob");
    within("settling", runtime.emit_event(&good).await.unwrap().settled()).await;
    let bad = EmailCreated::new(vec![], "", "");
    let words = "field 'addresses' must have a minimum of 1 items, field 'subject' is required";
    let error = runtime.emit_event(&bad).await.unwrap_err();
    assert!(matches!(error, EmitError::Refused(_)));
    assert_eq!(error.to_string(), words);
    let error = EmitBatch::new().typed(&bad, EmitOptions::new()).unwrap_err();
    assert_eq!(error.to_string(), words);

    let json = serde_json::to_vec(&good).unwrap();
    let any = flow::registry().read_event(&json).unwrap();
    let receipt = runtime.emit_any_event(&any, EmitOptions::new().request_id("1")).await.unwrap();
    within("settling", receipt.settled()).await;

    let expected = ("contact_name_changed".to_owned(), serde_json::to_value(&good).unwrap());
    assert_eq!(*seen.lock().unwrap(), [expected.clone(), expected]);
}

#[tokio::test]
async fn a_runtime_accepts_what_its_check_does() {
    let good = serde_json::to_value(ErrorEvent::new("no")).unwrap();
    let check = || RegistryCheck::new(flow::registry());
    let unknown = "no event type 'invoice.paid' is registered, and this runtime accepts no other: \
                   register it, or correct the name";
    let other = "the payload is an event of the type 'error', and is emitted as 'msg_wait': emit \
                 it under its own name";
    for (check, name, payload, refused) in [
        (check(), "error", good.clone(), None),
        (
            check(),
            "error",
            json!({"type": "error"}),
            Some("field 'created_on' is required, field 'text' is required"),
        ),
        (check(), "error", json!({"text": "no"}), Some("field 'type' is required")),
        (check(), "msg_wait", good.clone(), Some(other)),
        (check(), "invoice.paid", json!({}), None),
        (check().registered_only(), "invoice.paid", json!({}), Some(unknown)),
        (check().registered_only(), "error", good.clone(), None),
        (check().names_only(), "error", json!({}), None),
        (check().names_only().registered_only(), "invoice.paid", good, Some(unknown)),
    ] {
        let runtime = Runtime::builder().event_check(check).start().await.unwrap();
        let one = runtime.emit(name, &payload).await.map(drop).map_err(|e| e.to_string());
        assert_eq!(one.clone().err().as_deref(), refused, "{name} {payload}");
        let batch = EmitBatch::new().event(name, &payload).unwrap();
        let of_batch = runtime.emit_batch(batch).await.map(drop).map_err(|e| e.to_string());
        assert_eq!(of_batch, one);
        let stored = runtime.journal_stats().appended;
        assert_eq!(stored, if refused.is_some() { 0 } else { 2 });
    }
}

/// A runtime that records the calls it makes.
async fn recording() -> (Runtime, std::sync::mpsc::Receiver<WebhookCalled>) {
    let (sender, calls) = std::sync::mpsc::channel();
    let record = move |called: WebhookCalled| sender.send(called).unwrap();
    let transport = RecordCalls::new(HttpTransport::default(), record);
    (Runtime::builder().transport(transport).start().await.unwrap(), calls)
}

#[tokio::test]
async fn each_attempt_makes_a_webhook_called_event_without_secrets() {
    let receiver = Receiver::builder()
        .reply(Reply::status(500).header("content-type", "image/png").body("PNG"))
        .reply(
            Reply::status(200)
                .header("content-type", "application/json; charset=utf-8")
                .header("set-cookie", "session=confidential")
                .body("{\"ok\":true}"),
        )
        .start()
        .unwrap();
    let (runtime, calls) = recording().await;
    let config = config(&receiver.url("/hooks?token=confidential"))
        .secret(Secret::parse("confidential").unwrap())
        .secret(Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap())
        .header("authorization", "Bearer confidential");
    runtime.attach("crm", "invoice.paid", config).await.unwrap();
    let options =
        EmitOptions::new().request_id("req-1").trace(TraceContext::new(TRACEPARENT).unwrap());
    let receipt = runtime.emit_with("invoice.paid", &json!({"id": 7}), options).await.unwrap();
    within("settling", receipt.settled()).await;

    let sent = receiver.requests();
    let signature = sent[0].header("x-webhooks-signature").unwrap().to_owned();
    let (failed, succeeded) = (calls.recv().unwrap(), calls.recv().unwrap());
    assert_eq!((&failed.status, failed.status_code), (&WebhookStatus::ResponseError, 500));
    assert!(failed.body_ignored && !failed.response.contains("PNG"), "{}", failed.response);
    assert!(failed.response.starts_with("HTTP/1.1 500 Internal Server Error\r\n"));
    assert_eq!((&succeeded.status, succeeded.status_code), (&WebhookStatus::Success, 200));
    assert!(succeeded.response.ends_with("\r\n\r\n{\"ok\":true}"), "{}", succeeded.response);
    assert!(!succeeded.body_ignored);
    for called in [&failed, &succeeded] {
        assert_eq!(called.url, format!("{}?[redacted]", receiver.url("/hooks")));
        assert!(called.request.starts_with("POST /hooks?[redacted] HTTP/1.1\r\n"));
        assert!(called.request.ends_with("\r\n\r\n{\"id\":7}"));
        // Each header that was sent, and no other.
        let (head, _) = called.request.split_once("\r\n\r\n").unwrap();
        let mut names: Vec<_> =
            head.lines().skip(1).map(|line| line.split(':').next().unwrap()).collect();
        names.sort_unstable();
        let mut expected: Vec<_> = sent[0].headers.keys().map(|name| name.as_str()).collect();
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert!(head.contains(&format!("\r\ntraceparent: {TRACEPARENT}")));
        assert!(head.contains("x-webhooks-delivery: req-1\r\n"));
        let all = serde_json::to_string(called).unwrap();
        assert!(!all.contains("confidential") && !all.contains(&signature), "{all}");
        // It is an event of its type, and can be emitted.
        flow::registry().read_event(all.as_bytes()).unwrap();
        runtime.emit_event(called).await.unwrap();
    }
    assert!(calls.try_recv().is_err());
}

#[tokio::test]
async fn a_call_that_reaches_nobody_is_a_connection_error() {
    let nobody = Receiver::refusing().unwrap();
    let (runtime, calls) = recording().await;
    runtime
        .attach("crm", "invoice.paid", config(&nobody.url("/")).retry(quick().max_attempts(1)))
        .await
        .unwrap();
    within("settling", runtime.emit("invoice.paid", &json!({})).await.unwrap().settled()).await;
    let called = calls.recv().unwrap();
    assert_eq!((called.status, called.status_code), (WebhookStatus::ConnectionError, 0));
    assert_eq!(called.response, "");
}

#[tokio::test]
async fn a_resthook_is_recorded_always_and_loses_the_subscriber_that_is_gone() {
    let stays = Receiver::start().unwrap();
    let goes =
        Receiver::builder().reply(Reply::status(200)).otherwise(Reply::gone()).start().unwrap();
    let seen = Seen::default();
    let (runtime, calls) = recording().await;
    let mut watch = runtime.watch();
    runtime
        .attach_handler("log", ["resthook_called"], keep(&seen), HandlerConfig::default())
        .await
        .unwrap();
    let hooks = Resthooks::new(&runtime);

    // Nobody is subscribed: the call is recorded all the same.
    let payload = |step: i32| json!({"contact": {"name": "Bob"}, "step": step});
    let receipt = hooks.call("new-registration", &payload(0)).await.unwrap();
    assert!(receipt.settled().await.is_empty());

    hooks.subscribe("new-registration", "stays", config(&stays.url("/a"))).await.unwrap();
    let id = hooks
        .subscribe("new-registration", "goes", config(&goes.url("/b")).on_gone(Gone::Retry))
        .await
        .unwrap();
    assert_eq!(id.as_str(), "resthook/new-registration/goes");
    assert_eq!(hooks.subscribers("new-registration"), ["goes", "stays"]);
    assert!(hooks.subscribers("new").is_empty());
    for step in [1, 2] {
        let receipt = hooks.call("new-registration", &payload(step)).await.unwrap();
        within("settling", receipt.settled()).await;
    }
    wait(&mut watch, |event| matches!(event, RuntimeEvent::Detached { emitter } if *emitter == id))
        .await;
    assert_eq!(hooks.subscribers("new-registration"), ["stays"]);
    within("settling", hooks.call("new-registration", &payload(3)).await.unwrap().settled()).await;

    // Subscribers get the payload as it is.
    let bodies: Vec<Value> =
        stays.requests().iter().map(|got| serde_json::from_slice(&got.body).unwrap()).collect();
    assert_eq!(bodies, [payload(1), payload(2), payload(3)]);
    assert_eq!(goes.requests().len(), 2);

    let mut told: Vec<(WebhookStatus, String)> =
        calls.try_iter().map(|called| (called.status, called.resthook)).collect();
    told.sort_by(|one, other| one.0.as_str().cmp(other.0.as_str()));
    let statuses: Vec<_> = told.iter().map(|(status, _)| status.as_str()).collect();
    assert_eq!(statuses, ["subscriber_gone", "success", "success", "success", "success"]);
    assert!(told.iter().all(|(_, resthook)| resthook == "new-registration"));

    hooks.unsubscribe("new-registration", "stays").await.unwrap();
    assert!(hooks.subscribers("new-registration").is_empty());
    assert!(hooks.subscribe("not a name", "x", config(&stays.url("/"))).await.is_err());
    assert!(hooks.call("new-registration", &[1]).await.is_err());

    let recorded: Vec<(String, Value)> = {
        let again =
            runtime.emit_event(&ResthookCalled::new("last", Json::default())).await.unwrap();
        within("settling", again.settled()).await;
        seen.lock().unwrap().clone()
    };
    let payloads: Vec<Value> = recorded.iter().map(|(_, event)| event["payload"].clone()).collect();
    assert_eq!(payloads, [payload(0), payload(1), payload(2), payload(3), Value::Null]);
    assert!(recorded.iter().all(|(name, _)| name == "resthook_called"));
    assert_eq!(recorded[0].1["resthook"], "new-registration");
}

fn member(op: &str, name: &str) -> ChangeEvent {
    let data = [("id", json!("m_1")), ("full_name", json!(name))];
    let data: Row =
        data.into_iter().map(|(key, value)| (key.to_owned(), Json::of(&value).unwrap())).collect();
    let previous = (op != "insert").then(|| data.clone());
    let row = AuditRow {
        table_name: "member".to_owned(),
        op: op.to_owned(),
        data,
        previous,
        ..AuditRow::default()
    };
    ChangeEvent::from_row(row).unwrap()
}

#[tokio::test]
async fn each_subscriber_gets_its_change_events_with_their_trace() {
    let runtime = Runtime::builder().start().await.unwrap();
    let changes = Changes::new(&runtime);
    assert!(!changes.has_event_handler());
    assert!(changes.event_handler().is_err());

    let got = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&got);
    changes.set_event_handler(
        move |subscriber: Arc<str>, event: Arc<ChangeEvent>, trace: String| {
            keep.lock().unwrap().push((subscriber.to_string(), event.event_name.clone(), trace));
            async { Ok::<(), String>(()) }
        },
    );
    assert!(changes.has_event_handler() && changes.event_handler().is_ok());

    let config = HandlerConfig::default().retry(quick());
    changes.subscribe("welcome", ["member.created"], config.clone()).await.unwrap();
    changes.subscribe("audit", ["member.*"], config).await.unwrap();
    let trace = TraceContext::new(TRACEPARENT).unwrap();
    let events = ["insert", "update", "delete"].map(|op| member(op, "Ada"));
    let sent = changes.send_events(events, Some(trace)).await.unwrap();
    within("settling", sent.settled()).await.unwrap();
    assert_eq!(sent.receipts().len(), 3);

    let mut got = got.lock().unwrap().clone();
    got.sort_by(|one, other| one.0.cmp(&other.0));
    let at = |subscriber: &str, name: &str| {
        (subscriber.to_owned(), name.to_owned(), TRACEPARENT.to_owned())
    };
    assert_eq!(
        got,
        [
            at("audit", "member.created"),
            at("audit", "member.updated"),
            at("audit", "member.deleted"),
            at("welcome", "member.created"),
        ]
    );
}

#[tokio::test]
async fn one_handlers_error_stops_no_other_and_all_errors_come_back() {
    let runtime = Runtime::builder().start().await.unwrap();
    let changes = Changes::new(&runtime);
    let config = HandlerConfig::default().retry(quick().max_attempts(2));
    for subscriber in ["bad", "good", "worse"] {
        changes.subscribe(subscriber, ["member.*"], config.clone()).await.unwrap();
    }
    // Without a handler every subscriber says so.
    let sent = changes.send_events([member("insert", "Ada")], None).await.unwrap();
    let errors = within("settling", sent.settled()).await.unwrap_err();
    assert_eq!(errors.errors().len(), 3);
    assert!(errors.to_string().contains("set one with Changes::set_event_handler"));

    let attempts = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&attempts);
    changes.set_event_handler(
        move |subscriber: Arc<str>, event: Arc<ChangeEvent>, trace: String| {
            assert_eq!(trace, "");
            keep.lock().unwrap().push(subscriber.to_string());
            async move {
                match &*subscriber {
                    "good" => Ok(()),
                    other => Err(format!("{other} can't take {}", event.event_name)),
                }
            }
        },
    );
    let events = [member("insert", "Ada"), member("delete", "Ada")];
    let sent = changes.send_events(events, None).await.unwrap();
    let errors = within("settling", sent.settled()).await.unwrap_err();
    assert_eq!(
        errors.to_string(),
        "bad: bad can't take member.created\nworse: worse can't take member.created\n\
         bad: bad can't take member.deleted\nworse: worse can't take member.deleted"
    );
    {
        let attempts = attempts.lock().unwrap();
        let count = |of: &str| attempts.iter().filter(|subscriber| *subscriber == of).count();
        assert_eq!((count("good"), count("bad"), count("worse")), (2, 4, 4));
    }

    changes.unsubscribe("bad").await.unwrap();
    changes.unsubscribe("worse").await.unwrap();
    let sent = changes.send_events([member("update", "Ada")], None).await.unwrap();
    within("settling", sent.settled()).await.unwrap();
}
