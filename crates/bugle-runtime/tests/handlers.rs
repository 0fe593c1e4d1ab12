//! In-process handlers, and what the lane does for them: retries, deadlines, windows, limits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bugle_core::{
    AttemptCode, AttemptQuery, BoxFuture, Event, Fate, Order, RateLimit, RetryPolicy,
};
use bugle_runtime::{AttachError, EmitError, Handler, HandlerConfig, HandlerError, RuntimeEvent};
use common::{Taken, attach_taking, builder, config, emit, runtime, wait};
use serde_json::json;

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
    let config = HandlerConfig::default().retry(RetryPolicy::default().max_attempts(1));
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
    let limit = bugle_core::RateLimit::per_second(10).burst(5);
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
async fn the_attempt_log_is_read_one_by_one_in_pages_and_as_a_stream() {
    use futures_util::TryStreamExt;

    let runtime = runtime().await;
    let fails = |_: Arc<Event>| async { Err::<(), _>("no") };
    let retry = RetryPolicy::default().max_attempts(1);
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

/// Counts what it is given.
#[derive(Debug, Default)]
struct Count(AtomicU32);

impl Handler for Count {
    fn handle(&self, _event: Arc<Event>) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async move {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_are_closures_that_may_fail_or_not_and_types_and_arcs() {
    let runtime = runtime().await;
    let count = Arc::new(Count::default());
    let config = HandlerConfig::new;
    runtime.attach_handler("shared 1", "a", Arc::clone(&count), config()).await.unwrap();
    runtime.attach_handler("shared 2", ["a", "b"], Arc::clone(&count), config()).await.unwrap();
    let dynamic: Arc<dyn Handler> = count.clone();
    runtime.ensure_handler("dynamic", vec!["a".to_owned()], dynamic, config()).await.unwrap();
    let seen = Arc::clone(&count);
    let infallible = move |event: Arc<Event>| {
        let seen = Arc::clone(&seen);
        async move {
            assert_eq!(event.name, "a");
            seen.0.fetch_add(1, Ordering::SeqCst);
        }
    };
    runtime.attach_handler("infallible", ">", infallible, config()).await.unwrap();
    let fallible = |event: Arc<Event>| async move {
        if event.payload.is_empty() { Err("nothing in it") } else { Ok(()) }
    };
    runtime.ensure_handler("fallible", "a", fallible, config()).await.unwrap();
    let settled = emit(&runtime, "a", "1").await.settled().await;
    let fates: Vec<_> = settled.iter().map(|at| (at.emitter.as_str(), at.fate)).collect();
    let delivered = Some(Fate::Delivered);
    assert_eq!(
        fates,
        ["dynamic", "fallible", "infallible", "shared 1", "shared 2"].map(|id| (id, delivered))
    );
    assert_eq!(count.0.load(Ordering::SeqCst), 4);
}

#[tokio::test(start_paused = true)]
async fn a_rate_may_be_of_a_minute_or_an_hour() {
    for (limit, expected) in [
        (RateLimit::per_second(2), Duration::from_millis(1_500)),
        (RateLimit::per_minute(2), Duration::from_secs(90)),
        (RateLimit::per_hour(2).burst(3), Duration::from_mins(30)),
    ] {
        let runtime = runtime().await;
        let config = HandlerConfig::new().rate_limit(limit);
        runtime.attach_handler("a", "a", |_: Arc<Event>| async {}, config).await.unwrap();
        let before = tokio::time::Instant::now();
        let mut last = None;
        for id in 0..4 {
            last = Some(emit(&runtime, "a", &id.to_string()).await);
        }
        last.unwrap().settled().await;
        let elapsed = before.elapsed();
        let slack = Duration::from_millis(10);
        assert!(elapsed >= expected && elapsed < expected + slack, "{limit:?}: {elapsed:?}");
    }
}
