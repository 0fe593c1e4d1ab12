//! Crashes, budgets, poison events, pauses in flight, shutdown: what supervision promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bugle_core::{AttemptCode, AttemptQuery, Backlog, Event, Fate, Order, RetryPolicy};
use bugle_runtime::{
    AttachError, ControlError, EmitError, HandlerConfig, RestartError, Runtime, RuntimeEvent,
    Status,
};
use common::{builder, config, runtime, until, wait};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;

/// Records what a handler took.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<String>>>);

impl Taken {
    fn push(&self, event: &Event) {
        self.0.lock().push(event.request_id.to_string());
    }

    fn ids(&self) -> Vec<String> {
        self.0.lock().clone()
    }
}

async fn emit(runtime: &Runtime, name: &str, id: &str) -> bugle_runtime::Receipt {
    let options = bugle_runtime::EmitOptions::new().request_id(id);
    runtime.emit_with(name, &json!({ "id": id }), options).await.unwrap()
}

async fn attach_taking(runtime: &Runtime, id: &str, event: &str, taken: &Taken) {
    let taken = taken.clone();
    let take = move |event: Arc<Event>| {
        taken.push(&event);
        async { Ok::<(), String>(()) }
    };
    runtime.attach_handler(id, [event], take, HandlerConfig::default()).await.unwrap();
}

/// A handler that never ends, and says when it was entered.
async fn attach_hanging(runtime: &Runtime, id: &str, event: &str) -> Arc<Notify> {
    let entered = Arc::new(Notify::new());
    let tell = Arc::clone(&entered);
    let hang = move |_: Arc<Event>| {
        tell.notify_one();
        std::future::pending::<Result<(), String>>()
    };
    let config = HandlerConfig::default().timeout(Duration::from_secs(3600));
    runtime.attach_handler(id, [event], hang, config).await.unwrap();
    entered
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_always_panics_fails_alone_and_keeps_its_backlog() {
    let runtime = runtime().await;
    let mut watch = runtime.watch();
    let taken = Taken::default();
    attach_taking(&runtime, "steady", "a", &taken).await;
    let panics = |_: Arc<Event>| async {
        assert!(std::hint::black_box(false), "as scripted");
        Ok::<(), String>(())
    };
    runtime.attach_handler("panics", ["a"], panics, HandlerConfig::default()).await.unwrap();
    for id in 1..=20 {
        emit(&runtime, "a", &id.to_string()).await;
    }
    let failed = wait(&mut watch, |event| matches!(event, RuntimeEvent::Failed { .. })).await;
    let RuntimeEvent::Failed { emitter, reason } = failed else { panic!() };
    assert_eq!(emitter, "panics");
    assert!(reason.contains("as scripted"), "{reason}");

    let panics = runtime.describe("panics").unwrap();
    assert_eq!((panics.status, panics.restarts), (Status::Failed, 3));
    assert_eq!(panics.last_failure.as_ref().unwrap().code, AttemptCode::Crashed);
    // The first event crashed it three times in a row, and was given up; the others wait.
    assert_eq!((panics.dead_lettered, panics.depth), (1, 19));
    let letters = runtime.dead_letters(Some("panics"), 10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].code, letters[0].attempts), (AttemptCode::Crashed, 3));
    assert_eq!(*letters[0].request_id(), "1");
    let page = runtime.attempts().page(&AttemptQuery::new(), None).await.unwrap();
    assert_eq!(page.items.len(), 4, "three of the first event, one of the second");

    until(&mut watch, || taken.ids().len() == 20).await;
    let steady = runtime.describe("steady").unwrap();
    assert_eq!((steady.delivered, steady.restarts, steady.status), (20, 0, Status::Running));
    assert!(matches!(
        runtime.attach("panics", "a", config()).await,
        Err(AttachError::AlreadyPresent(_))
    ));
    runtime.restart("panics").await.unwrap();
    let started = |event: &RuntimeEvent| {
        matches!(event, RuntimeEvent::Started { emitter, incarnation }
            if *emitter == "panics" && incarnation.0 == 5)
    };
    wait(&mut watch, started).await;
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_is_dead_lettered_and_the_next_delivered() {
    let runtime = runtime().await;
    let taken = Taken::default();
    let take = taken.clone();
    let handler = move |event: Arc<Event>| {
        let take = take.clone();
        async move {
            assert!(event.request_id != "poison", "poison");
            take.push(&event);
            Ok::<(), String>(())
        }
    };
    let retry = RetryPolicy::default().with_max_attempts(50);
    let config = HandlerConfig::default().retry(retry);
    runtime.attach_handler("a", ["a"], handler, config).await.unwrap();
    emit(&runtime, "a", "before").await;
    let poison = emit(&runtime, "a", "poison").await;
    let after = emit(&runtime, "a", "after").await;
    assert_eq!(poison.settled().await[0].fate, Some(Fate::DeadLettered));
    assert_eq!(after.settled().await[0].fate, Some(Fate::Delivered));
    assert_eq!(taken.ids(), ["before", "after"]);
    let emitter = runtime.describe("a").unwrap();
    assert_eq!((emitter.restarts, emitter.status), (3, Status::Running));
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_at_a_crash_is_kept_in_order() {
    let runtime = runtime().await;
    let mut watch = runtime.watch();
    let taken = Taken::default();
    attach_taking(&runtime, "a", "a", &taken).await;
    for round in 0..5_u32 {
        for id in 0..10 {
            emit(&runtime, "a", &format!("{round}-{id}")).await;
        }
        runtime.inject_crash("a", "as scripted").unwrap();
        wait(&mut watch, |event| matches!(event, RuntimeEvent::Started { .. })).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    until(&mut watch, || runtime.describe("a").unwrap().depth == 0).await;
    let mut distinct = taken.ids();
    distinct.dedup();
    let expected: Vec<String> =
        (0..5).flat_map(|round| (0..10).map(move |id| format!("{round}-{id}"))).collect();
    assert_eq!(distinct, expected, "in order, none lost; repeats only where it crashed");
}

#[tokio::test(start_paused = true)]
async fn a_hanging_emitter_holds_no_other_and_pauses_at_once() {
    let runtime = runtime().await;
    let mut watch = runtime.watch();
    let taken = Taken::default();
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    attach_taking(&runtime, "steady", "a", &taken).await;
    for id in 0..100 {
        emit(&runtime, "a", &id.to_string()).await;
    }
    entered.notified().await;
    until(&mut watch, || taken.ids().len() == 100).await;
    let hangs = runtime.describe("hangs").unwrap();
    assert_eq!((hangs.in_flight, hangs.depth), (1, 100));

    let before = tokio::time::Instant::now();
    runtime.pause("hangs").await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO, "no waiting for what is in flight");
    let hangs = runtime.describe("hangs").unwrap();
    assert_eq!((hangs.status, hangs.in_flight), (Status::Paused, 0));
    assert_eq!((hangs.depth, hangs.dropped), (0, 100), "the memory store drops it, and counts");
}

#[tokio::test(start_paused = true)]
async fn pause_keeps_or_drops_the_backlog_as_chosen() {
    for (backlog, expected) in [
        (None, vec!["after"]),
        (Some(Backlog::Discard), vec!["after"]),
        (Some(Backlog::Keep), vec!["queued", "while", "after"]),
    ] {
        let runtime = runtime().await;
        let taken = Taken::default();
        let entered = Arc::new(Notify::new());
        let (take, tell) = (taken.clone(), Arc::clone(&entered));
        let handler = move |event: Arc<Event>| {
            let (take, tell) = (take.clone(), Arc::clone(&tell));
            async move {
                if event.request_id == "queued" && take.ids().is_empty() {
                    tell.notify_one();
                    if !take.0.lock().contains(&"paused".to_owned()) {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                take.push(&event);
                Ok::<(), String>(())
            }
        };
        runtime.attach_handler("a", ["a"], handler, HandlerConfig::default()).await.unwrap();
        emit(&runtime, "a", "queued").await;
        entered.notified().await;
        match backlog {
            None => runtime.pause("a").await.unwrap(),
            Some(backlog) => runtime.pause_with("a", backlog).await.unwrap(),
        }
        let skipped = emit(&runtime, "a", "while").await;
        if expected.len() == 1 {
            assert_eq!(skipped.settled().await[0].fate, Some(Fate::Dropped), "{backlog:?}");
        }
        runtime.restart("a").await.unwrap();
        let after = emit(&runtime, "a", "after").await;
        assert_eq!(after.settled().await[0].fate, Some(Fate::Delivered));
        assert_eq!(taken.ids(), expected, "{backlog:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_pause_lets_what_is_in_flight_finish() {
    let runtime = runtime().await;
    let taken = Taken::default();
    let entered = Arc::new(Notify::new());
    let (take, tell) = (taken.clone(), Arc::clone(&entered));
    let slow = move |event: Arc<Event>| {
        let (take, tell) = (take.clone(), Arc::clone(&tell));
        async move {
            tell.notify_one();
            tokio::time::sleep(Duration::from_secs(2)).await;
            take.push(&event);
            Ok::<(), String>(())
        }
    };
    runtime.attach_handler("a", ["a"], slow, HandlerConfig::default()).await.unwrap();
    for id in ["1", "2", "3"] {
        emit(&runtime, "a", id).await;
    }
    entered.notified().await;
    runtime.pause_with("a", Backlog::Keep).draining(Duration::from_secs(10)).await.unwrap();
    assert_eq!(taken.ids(), ["1"]);
    assert_eq!(runtime.describe("a").unwrap().depth, 2);

    runtime.restart("a").await.unwrap();
    entered.notified().await;
    let before = tokio::time::Instant::now();
    runtime.pause_with("a", Backlog::Keep).draining(Duration::from_secs(1)).await.unwrap();
    assert_eq!(before.elapsed(), Duration::from_secs(1), "no longer than its grace");
    assert_eq!(taken.ids(), ["1"], "and then it was aborted");
}

#[tokio::test(start_paused = true)]
async fn shutdown_finishes_what_is_in_flight_and_reports_what_is_left() {
    let runtime = runtime().await;
    let taken = Taken::default();
    attach_taking(&runtime, "done", "a", &taken).await;
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    let receipt = emit(&runtime, "a", "1").await;
    emit(&runtime, "a", "2").await;
    entered.notified().await;
    let before = tokio::time::Instant::now();
    let report = runtime.shutdown(Duration::from_secs(15)).await;
    assert_eq!(before.elapsed(), Duration::from_secs(15));
    assert_eq!((report.pending(), report.aborted()), (2, 1));
    let left: Vec<_> =
        report.emitters.iter().map(|e| (e.id.as_str(), e.pending, e.aborted)).collect();
    assert_eq!(left, [("done", 0, 0), ("hangs", 2, 1)]);

    let fates: Vec<_> = receipt.settled().await.iter().map(|at| at.fate).collect();
    assert_eq!(fates, [Some(Fate::Delivered), None], "a receipt does not wait for ever");
    assert!(matches!(runtime.emit("a", &json!({})).await, Err(EmitError::ShutDown)));
    assert!(matches!(runtime.attach("x", "a", config()).await, Err(AttachError::ShutDown)));
    assert!(matches!(runtime.restart("done").await, Err(RestartError::ShutDown)));
    assert!(matches!(runtime.pause("done").await, Err(ControlError::ShutDown)));
    assert!(matches!(runtime.detach("done").await, Err(ControlError::ShutDown)));
    assert!(runtime.shutdown(Duration::ZERO).await.is_clean(), "again is harmless");
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_stops_at_once() {
    let runtime = runtime().await;
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    emit(&runtime, "a", "1").await;
    entered.notified().await;
    let patient = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.shutdown(Duration::from_secs(3600)).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tokio::time::Instant::now();
    let report = runtime.shutdown(Duration::ZERO).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(report.aborted(), 1);
    assert_eq!(patient.await.unwrap(), report);
}

#[tokio::test(start_paused = true)]
async fn detaching_resolves_receipts_and_forgets_the_backlog() {
    let runtime = runtime().await;
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    let receipt = emit(&runtime, "a", "1").await;
    entered.notified().await;
    let waiting = tokio::spawn(async move { receipt.settled().await });
    tokio::task::yield_now().await;
    runtime.detach("hangs").await.unwrap();
    let settled = waiting.await.unwrap();
    assert!(settled.iter().all(|at| at.fate == Some(Fate::Dropped)), "{settled:?}");
    assert!(runtime.describe("hangs").is_none());
    assert_eq!(runtime.journal_stats().events, 0);
}

#[tokio::test(start_paused = true)]
async fn a_handlers_error_is_retried_and_given_up() {
    let runtime = runtime().await;
    let tries = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&tries);
    let fails = move |_: Arc<Event>| {
        let nth = count.fetch_add(1, Ordering::SeqCst) + 1;
        async move { Err::<(), _>(format!("no, for the {nth}th time")) }
    };
    runtime.attach_handler("a", ["a"], fails, HandlerConfig::default()).await.unwrap();
    let receipt = emit(&runtime, "a", "1").await;
    assert_eq!(receipt.settled().await[0].fate, Some(Fate::DeadLettered));
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    let page = runtime.attempts().page(&AttemptQuery::new(), None).await.unwrap();
    let logged: Vec<_> =
        page.items.iter().map(|a| (a.attempt, a.code.unwrap(), a.message.as_str())).collect();
    let code = AttemptCode::HandlerError;
    assert_eq!(
        logged,
        [
            (3, code, "no, for the 3th time"),
            (2, code, "no, for the 2th time"),
            (1, code, "no, for the 1th time"),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_handlers_deadline_is_kept() {
    let runtime = runtime().await;
    let hang = |_: Arc<Event>| std::future::pending::<Result<(), String>>();
    let config = HandlerConfig::default().retry(RetryPolicy::default().with_max_attempts(1));
    runtime.attach_handler("a", ["a"], hang, config).await.unwrap();
    let before = tokio::time::Instant::now();
    let receipt = emit(&runtime, "a", "1").await;
    assert_eq!(receipt.settled().await[0].fate, Some(Fate::DeadLettered));
    assert_eq!(before.elapsed(), Duration::from_secs(5));
    let page = runtime.attempts().page(&AttemptQuery::new(), None).await.unwrap();
    assert_eq!(page.items[0].code, Some(AttemptCode::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_window_delivers_side_by_side_and_keys_stay_in_order() {
    for order in [Order::Unordered { window: 4 }, Order::PerKey { window: 4 }] {
        let runtime = runtime().await;
        let taken = Taken::default();
        let take = taken.clone();
        let slow = move |event: Arc<Event>| {
            let take = take.clone();
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                take.push(&event);
                Ok::<(), String>(())
            }
        };
        let config = HandlerConfig::default().order(order);
        runtime.attach_handler("a", ["a"], slow, config).await.unwrap();
        let before = tokio::time::Instant::now();
        let mut receipts = Vec::new();
        for id in 0..8 {
            let options = bugle_runtime::EmitOptions::new()
                .request_id(format!("k{}-{}", id % 2, id / 2))
                .key(format!("k{}", id % 2));
            receipts.push(runtime.emit_with("a", &json!({}), options).await.unwrap());
        }
        for receipt in receipts {
            receipt.settled().await;
        }
        // Two keys side by side take 4 s; without order four at once take 2 s.
        let expected = if matches!(order, Order::PerKey { .. }) { 4 } else { 2 };
        assert_eq!(before.elapsed(), Duration::from_secs(expected), "{order:?}");
        if matches!(order, Order::PerKey { .. }) {
            for key in ["k0", "k1"] {
                let of_key: Vec<_> =
                    taken.ids().into_iter().filter(|id| id.starts_with(key)).collect();
                assert!(of_key.is_sorted(), "{of_key:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rate_limit_is_kept() {
    let runtime = runtime().await;
    let taken = Taken::default();
    let take = taken.clone();
    let handler = move |event: Arc<Event>| {
        take.push(&event);
        async { Ok::<(), String>(()) }
    };
    let limit =
        bugle_core::RateLimit { per_second: 10.try_into().unwrap(), burst: 5.try_into().unwrap() };
    let config = HandlerConfig::default().rate_limit(limit);
    runtime.attach_handler("a", ["a"], handler, config).await.unwrap();
    let before = tokio::time::Instant::now();
    let mut last = None;
    for id in 0..55 {
        last = Some(emit(&runtime, "a", &id.to_string()).await);
    }
    last.unwrap().settled().await;
    let elapsed = before.elapsed();
    let expected = Duration::from_millis(4_900)..Duration::from_millis(5_200);
    assert!(expected.contains(&elapsed), "5 at once, 50 more at 10 a second: {elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_refused_at_the_call() {
    let runtime = builder().max_payload_bytes(100).start().await.unwrap();
    let none: [&str; 0] = [];
    assert!(matches!(runtime.attach("", "a", config()).await, Err(AttachError::Id(_))));
    assert!(matches!(
        runtime.attach("a", "a b", config()).await,
        Err(AttachError::Subscription(_))
    ));
    assert!(matches!(
        runtime.attach_many("a", none, config()).await,
        Err(AttachError::Subscription(_))
    ));
    assert!(matches!(
        runtime.attach("a", "a", config().max_attempts(0)).await,
        Err(AttachError::Config(_))
    ));
    assert!(runtime.emitters().is_empty(), "nothing half done");

    assert!(matches!(runtime.emit("a.*", &json!({})).await, Err(EmitError::Id(_))));
    assert!(matches!(runtime.emit("a", &json!([1])).await, Err(EmitError::Payload(_))));
    let large = json!({ "x": "y".repeat(100) });
    assert!(matches!(runtime.emit("a", &large).await, Err(EmitError::TooLarge { .. })));
    let options = bugle_runtime::EmitOptions::new().request_id("a.b");
    assert!(matches!(runtime.emit_with("a", &json!({}), options).await, Err(EmitError::Id(_))));
    assert_eq!(runtime.journal_stats().appended, 0);
}

#[tokio::test(start_paused = true)]
async fn two_runtimes_live_in_one_process() {
    let (one, two) = (runtime().await, runtime().await);
    one.attach("a", "a", config()).await.unwrap();
    two.attach("a", "a", config()).await.unwrap();
    one.pause("a").await.unwrap();
    assert!(two.is_started("a") && !one.is_started("a"));
    one.shutdown(Duration::ZERO).await;
    assert!(two.is_started("a"));
    let receipt = emit(&two, "a", "1").await;
    assert_eq!(receipt.settled().await[0].fate, Some(Fate::Delivered));
}

#[tokio::test(start_paused = true)]
async fn an_idle_courier_gives_up_and_comes_back() {
    let runtime = runtime().await;
    let mut watch = runtime.watch();
    let taken = Taken::default();
    attach_taking(&runtime, "a", "a", &taken).await;
    for id in ["1", "2", "3"] {
        emit(&runtime, "a", id).await.settled().await;
        wait(&mut watch, |event| matches!(event, RuntimeEvent::Idle { .. })).await;
    }
    assert_eq!(taken.ids(), ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_tree() {
    let runtime = runtime().await;
    let entered = attach_hanging(&runtime, "hangs", "a").await;
    let mut watch = runtime.watch();
    emit(&runtime, "a", "1").await;
    entered.notified().await;
    drop(runtime);
    wait(&mut watch, |event| matches!(event, RuntimeEvent::ShutDown)).await;
}

#[tokio::test(start_paused = true)]
async fn the_attempt_log_is_read_one_by_one_in_pages_and_as_a_stream() {
    use futures_util::TryStreamExt;

    let runtime = runtime().await;
    let fails = |_: Arc<Event>| async { Err::<(), _>("no") };
    let retry = RetryPolicy::default().with_max_attempts(1);
    let config = HandlerConfig::default().order(Order::Unordered { window: 100 }).retry(retry);
    runtime.attach_handler("a", ["a"], fails, config).await.unwrap();
    let mut receipts = Vec::new();
    for id in 0..250 {
        receipts.push(emit(&runtime, "a", &id.to_string()).await);
    }
    for receipt in receipts {
        receipt.settled().await;
    }
    let attempts = runtime.attempts();
    let all: Vec<_> = attempts.query(AttemptQuery::new()).try_collect().await.unwrap();
    assert_eq!(all.len(), 250);
    assert!(all.is_sorted_by(|one, other| one.id > other.id), "newest first");
    let some: Vec<_> = attempts.query(AttemptQuery::new().limit(120)).try_collect().await.unwrap();
    assert_eq!(some[..], all[..120]);
    let page = attempts.page(AttemptQuery::new(), None).await.unwrap();
    assert_eq!(page.items[..], all[..100]);
    let next = attempts.page(AttemptQuery::new().limit(7), page.cursor).await.unwrap();
    assert_eq!(next.items[..], all[100..107]);
    assert_eq!(attempts.get(&all[42].id).await.unwrap().as_ref(), Some(&all[42]));
    assert!(attempts.page(AttemptQuery::new().limit(0), None).await.is_err());
    assert!(attempts.page(AttemptQuery::new().limit(101), None).await.is_err());
}
