//! The scripted transport on paused time.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Advice, AttemptCode, Delivery, EmitterConfig, EmitterId, Event, EventName, Outcome, RequestId,
    Sequence, Session, Transport,
};
use bugle_testkit::{Act, Ending, ScriptedTransport};
use tokio::time::Instant;

const HOUR: Duration = Duration::from_secs(3_600);

fn config(url: &str) -> Arc<EmitterConfig> {
    Arc::new(EmitterConfig::new(url).unwrap())
}

fn delivery(emitter: &str, sequence: u64, attempt: u32) -> Delivery {
    let event = Event::new(
        EventName::new("a.b").unwrap(),
        RequestId::new(sequence.to_string()).unwrap(),
        "{}".into(),
        jiff::Timestamp::UNIX_EPOCH,
    );
    let emitter = EmitterId::new(emitter).unwrap();
    Delivery::new(emitter, Sequence(sequence), Arc::new(event), attempt)
}

fn code(outcome: &Outcome) -> Option<AttemptCode> {
    outcome.failure.as_ref().map(|failure| failure.code)
}

fn advice(outcome: &Outcome) -> Option<Advice> {
    outcome.failure.as_ref().map(|failure| failure.advice)
}

#[tokio::test(start_paused = true)]
async fn each_act_has_its_outcome_and_its_time() {
    let second = Duration::from_secs(1);
    let table = [
        (Act::deliver(), None, None, Duration::ZERO),
        (Act::deliver().after(second), None, None, second),
        (Act::status(500), Some(AttemptCode::BadHttpStatus), Some(Advice::Retry), Duration::ZERO),
        (Act::gone(), Some(AttemptCode::BadHttpStatus), Some(Advice::Gone), Duration::ZERO),
        (
            Act::retry_after(second),
            Some(AttemptCode::BadHttpStatus),
            Some(Advice::RetryAfter(second)),
            Duration::ZERO,
        ),
        (
            Act::retry_after(HOUR * 2),
            Some(AttemptCode::BadHttpStatus),
            Some(Advice::RetryAfter(HOUR)),
            Duration::ZERO,
        ),
        (Act::refuse(), Some(AttemptCode::BadConnection), Some(Advice::Retry), Duration::ZERO),
        (Act::hang(), Some(AttemptCode::Timeout), Some(Advice::Retry), second * 5),
        (
            Act::deliver().after(second * 6),
            Some(AttemptCode::Timeout),
            Some(Advice::Retry),
            second * 5,
        ),
    ];
    for (act, expected_code, expected_advice, expected_time) in table {
        let transport = ScriptedTransport::new();
        transport.everywhere().then(act.clone());
        let session = transport.open(&config("http://a.test/")).unwrap();
        let start = Instant::now();
        let outcome = session.deliver(&delivery("a", 1, 1)).await;
        assert_eq!(code(&outcome), expected_code, "{act:?}");
        assert_eq!(advice(&outcome), expected_advice, "{act:?}");
        assert_eq!(start.elapsed(), expected_time, "{act:?}");
        assert_eq!(outcome.exchange.elapsed.total, expected_time, "{act:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn scripts_are_found_by_url_then_host_then_everywhere() {
    let transport = ScriptedTransport::new();
    transport.at("http://a.test/x").then(Act::status(501)).then(Act::status(502));
    transport.at("A.test").otherwise(Act::status(503));
    transport.everywhere().then(Act::status(504)).choose(|attempted| {
        if attempted.sequence.0 == 9 { Act::status(505) } else { Act::status(202) }
    });
    let mut seen = Vec::new();
    for (url, sequence) in [
        ("http://a.test/x", 1),
        ("http://a.test/y", 1),
        ("http://a.test/x", 2),
        ("http://a.test/x", 3),
        ("http://b.test/", 4),
        ("http://b.test/", 9),
        ("http://b.test/", 5),
    ] {
        let session = transport.open(&config(url)).unwrap();
        let outcome = session.deliver(&delivery("a", sequence, 1)).await;
        seen.push(outcome.exchange.status.unwrap());
    }
    assert_eq!(seen, [501, 503, 502, 503, 504, 505, 202]);
    assert_eq!((transport.sessions_opened(), transport.sessions_open()), (7, 0));
}

#[tokio::test(start_paused = true)]
async fn the_record_says_what_was_attempted_when_and_how_it_ended() {
    let transport = ScriptedTransport::new();
    let latency = Duration::from_millis(250);
    transport
        .everywhere()
        .then(Act::status(500).after(latency))
        .then(Act::hang())
        .then(Act::panic())
        .then(Act::deliver());
    let session: Arc<dyn Session> = Arc::from(transport.open(&config("http://a.test/")).unwrap());
    let start = Instant::now();

    session.deliver(&delivery("a", 7, 1)).await;
    let hanging = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.deliver(&delivery("a", 7, 2)).await }
    });
    transport.wait_for(2, HOUR).await.unwrap();
    assert_eq!(transport.in_flight(), 1);
    hanging.abort();
    hanging.await.unwrap_err();
    let panicking = tokio::spawn({
        let session = Arc::clone(&session);
        async move { session.deliver(&delivery("a", 7, 3)).await }
    });
    assert!(panicking.await.unwrap_err().is_panic());
    session.deliver(&delivery("b", 8, 1)).await;

    let attempts = transport.attempts();
    let endings: Vec<_> = attempts.iter().map(|attempted| attempted.ending).collect();
    assert_eq!(
        endings,
        [
            Ending::Failed(AttemptCode::BadHttpStatus),
            Ending::Aborted,
            Ending::Panicked,
            Ending::Delivered
        ]
    );
    assert_eq!(attempts[0].started, start);
    assert_eq!(attempts[0].ended, Some(start + latency));
    assert_eq!((attempts[1].attempt, attempts[1].request_id()), (2, "7"));
    assert_eq!(transport.attempts_of("b").len(), 1);
    assert!(transport.attempts_of("b")[0].is_delivered());
    assert_eq!(transport.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_at_once_is_counted_for_each_emitter() {
    let transport = ScriptedTransport::new();
    let gate = transport.hold();
    let session: Arc<dyn Session> = Arc::from(transport.open(&config("http://a.test/")).unwrap());
    let mut tasks = tokio::task::JoinSet::new();
    for (emitter, sequence) in [("a", 1), ("a", 2), ("b", 3)] {
        let session = Arc::clone(&session);
        tasks.spawn(async move { session.deliver(&delivery(emitter, sequence, 1)).await });
    }
    transport.wait_for(3, HOUR).await.unwrap();
    assert_eq!(transport.in_flight(), 3);
    gate.open();
    assert!(tasks.join_all().await.iter().all(Outcome::is_delivered));
    assert_eq!(transport.most_in_flight(), 3);
    assert_eq!((transport.most_in_flight_of("a"), transport.most_in_flight_of("b")), (2, 1));
    transport.wait_until(HOUR, |list| list.iter().all(|a| a.is_delivered())).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_fails_says_what_was_seen() {
    let transport = ScriptedTransport::new();
    let session = transport.open(&config("http://a.test/")).unwrap();
    session.deliver(&delivery("a", 1, 1)).await;
    let error = transport.wait_for(2, HOUR).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 attempts did not happen within 3600s; so far: 1 attempts (1 delivered, 0 aborted, 0 \
         panicked, 0 in flight)"
    );
}
