//! Events that are marked as delivered, or deleted, while emitters are at work on them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use bugle_core::{AttemptQuery, Event, EventQuery, Fate, LogError, Order, RequestId};
use bugle_runtime::{HandlerConfig, Runtime, RuntimeEvent};
use common::{Taken, emit, runtime, wait};
use futures_util::TryStreamExt;
use tokio::sync::Notify;

fn id(text: &str) -> RequestId {
    RequestId::new(text).unwrap()
}

/// A handler that records each call, and fails `first` once it is let go.
async fn attach_failing(
    runtime: &Runtime,
    order: Order,
    first: &'static str,
) -> (Taken, Arc<Notify>, Arc<Notify>) {
    let (calls, entered, go) = (Taken::default(), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (record, tell, wait) = (calls.clone(), Arc::clone(&entered), Arc::clone(&go));
    let handler = move |event: Arc<Event>| {
        record.push(&event);
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            if event.request_id == first {
                tell.notify_one();
                wait.notified().await;
                return Err("not now".to_owned());
            }
            Ok(())
        }
    };
    let config = HandlerConfig::default().order(order);
    runtime.attach_handler("one", ["a"], handler, config).await.unwrap();
    (calls, entered, go)
}

/// An attempt in flight is not made again, an event read ahead is not tried at all, and the next
/// one follows. Receipts are told at once.
#[tokio::test(start_paused = true)]
async fn what_is_in_flight_or_read_ahead_can_be_taken() {
    let runtime = runtime().await;
    let (calls, entered, go) = attach_failing(&runtime, Order::Strict, "1").await;
    let mut receipts = Vec::new();
    for number in ["1", "2", "3", "4"] {
        receipts.push(emit(&runtime, "a", number).await);
    }
    entered.notified().await;
    assert!(runtime.events().mark_delivered(id("1")).await.unwrap());
    assert!(runtime.events().delete(id("2")).await.unwrap());
    assert!(runtime.events().mark_delivered(id("3")).await.unwrap());
    for (receipt, fate) in receipts.iter().zip([Fate::Delivered, Fate::Dropped, Fate::Delivered]) {
        assert_eq!(receipt.settled().await[0].fate, Some(fate));
    }
    go.notify_one();
    assert_eq!(receipts[3].settled().await[0].fate, Some(Fate::Delivered));
    assert_eq!(calls.ids(), ["1", "4"]);
    let one = runtime.describe("one").unwrap();
    assert_eq!((one.depth, one.dropped_since_start, one.dead_letters), (0, 1, 0));
    assert_eq!(runtime.attempts().page(AttemptQuery::new(), None).await.unwrap().items.len(), 1);
}

/// An event that is tried again later is not, once it is taken; with any order.
#[tokio::test(start_paused = true)]
async fn what_waits_for_its_next_attempt_can_be_taken() {
    for order in [Order::Strict, Order::PerKey { window: 4 }, Order::Unordered { window: 4 }] {
        let runtime = runtime().await;
        let mut watch = runtime.watch();
        let (calls, _, go) = attach_failing(&runtime, order, "1").await;
        go.notify_one();
        let first = emit(&runtime, "a", "1").await;
        wait(&mut watch, |it| matches!(it, RuntimeEvent::AttemptFailed { .. })).await;
        assert!(runtime.events().mark_delivered(id("1")).await.unwrap());
        assert_eq!(first.settled().await[0].fate, Some(Fate::Delivered));
        let second = emit(&runtime, "a", "2").await;
        assert_eq!(second.settled().await[0].fate, Some(Fate::Delivered));
        wait(&mut watch, |it| matches!(it, RuntimeEvent::Drained { .. })).await;
        assert_eq!(calls.ids(), ["1", "2"], "{order:?}");
    }
}

/// The log by the runtime's calls: one, a page, and all as a stream.
#[tokio::test(start_paused = true)]
async fn events_are_read_one_by_one_by_page_and_as_a_stream() {
    let runtime = runtime().await;
    for number in 0..250 {
        emit(&runtime, "a", &number.to_string()).await;
    }
    let events = runtime.events();
    let row = events.get(&id("7")).await.unwrap().unwrap();
    assert_eq!((row.sequence.0, row.is_delivered, &*row.payload), (8, true, &br#"{"id":"7"}"#[..]));
    let page = events.page(EventQuery::new().limit(100), None).await.unwrap();
    assert_eq!((page.items.len(), page.items[0].id.as_str()), (100, "249"));
    let next = events.page(EventQuery::new(), page.cursor).await.unwrap();
    assert_eq!(next.items[0].id.as_str(), "149");
    for limit in [0, 101] {
        let refused = events.page(EventQuery::new().limit(limit), None).await.unwrap_err();
        assert_eq!(refused, LogError::Limit { limit });
        assert!(refused.to_string().contains("1 to 100"), "{refused}");
    }
    let all: Vec<_> = events.query(EventQuery::new()).try_collect().await.unwrap();
    assert_eq!(all.len(), 250);
    let some: Vec<_> = events.query(EventQuery::new().limit(120)).try_collect().await.unwrap();
    assert_eq!(some.len(), 120);
    assert_eq!(some[119].id.as_str(), "130");
}
