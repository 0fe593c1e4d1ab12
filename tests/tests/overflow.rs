//! A full memory store, as the callers of `emit` see it.

mod support;

use std::time::Duration;

use bugle::{
    AppendError, Backlog, EmitError, EmitterConfig, Fate, MemoryOptions, Overflow, Runtime,
    RuntimeEvent, Status, Store,
};
use bugle_testkit::{Act, ScriptedTransport};
use serde_json::json;
use support::{DEADLINE, config, emit, fate, status, wait, within};

const ROOM: usize = 5;

fn holds(url: &str) -> EmitterConfig {
    config(url).request_timeout(Duration::from_secs(24 * 3600))
}

async fn runtime_of(options: MemoryOptions, transport: &ScriptedTransport) -> Runtime {
    Runtime::builder()
        .store(Store::memory_with(options))
        .transport(transport.clone())
        .start()
        .await
        .unwrap()
}

/// Starts a runtime with room for five events, all of which wait for an emitter whose receiver does
/// not answer.
async fn full(overflow: Overflow, transport: &ScriptedTransport) -> Runtime {
    let options = MemoryOptions::new().max_events_per_subscription(ROOM).overflow(overflow);
    let runtime = runtime_of(options, transport).await;
    runtime.attach("a", "invoice.paid", holds("https://slow.test/")).await.unwrap();
    for n in 1..=ROOM {
        emit(&runtime, "invoice.paid", &n.to_string()).await;
    }
    transport.wait_for(1, DEADLINE).await.unwrap();
    let stats = runtime.journal_stats();
    assert_eq!((stats.events, stats.appended), (5, 5));
    assert_eq!((stats.blocked, stats.rejected, stats.dropped), (0, 0, 0));
    assert_eq!(runtime.describe("a").unwrap().depth, 5);
    runtime
}

fn delivered(transport: &ScriptedTransport, emitter: &str) -> Vec<String> {
    let attempts = transport.attempts_of(emitter);
    let delivered = attempts.iter().filter(|attempted| attempted.is_delivered());
    delivered.map(|attempted| attempted.request_id().to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn block_makes_emit_wait_for_room() {
    let transport = ScriptedTransport::new();
    let gate = transport.hold();
    let runtime = full(Overflow::Block, &transport).await;

    // A caller that stops waiting has emitted nothing.
    let payload = json!({ "n": "given up" });
    let emitting = runtime.emit("invoice.paid", &payload);
    assert!(tokio::time::timeout(Duration::from_secs(60), emitting).await.is_err());
    let stats = runtime.journal_stats();
    assert_eq!((stats.appended, stats.blocked, stats.events), (5, 1, 5));

    // Other names have room of their own.
    runtime.attach("b", "invoice.sent", holds("https://slow.test/")).await.unwrap();
    emit(&runtime, "invoice.sent", "beside").await;

    let waiting: Vec<_> = (6..=8)
        .map(|n| {
            let runtime = runtime.clone();
            tokio::spawn(async move { emit(&runtime, "invoice.paid", &n.to_string()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(waiting.iter().all(|task| !task.is_finished()));
    assert_eq!(runtime.journal_stats().blocked, 4);

    gate.open();
    for task in waiting {
        let receipt = within("a blocked emit", task).await.unwrap();
        assert_eq!(fate(&receipt).await, Some(Fate::Delivered));
    }
    let expected: Vec<String> = (1..=8).map(|n| n.to_string()).collect();
    assert_eq!(delivered(&transport, "a"), expected, "in the order in which they waited");
    let described = runtime.describe("a").unwrap();
    assert_eq!(
        (described.delivered_since_start, described.dropped_since_start, described.depth),
        (8, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn reject_refuses_and_says_why() {
    let transport = ScriptedTransport::new();
    let gate = transport.hold();
    let runtime = full(Overflow::Reject, &transport).await;
    let refused = runtime.emit("invoice.paid", &json!({})).await.unwrap_err();
    assert!(matches!(refused, EmitError::Append(AppendError::Full { .. })), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("5 events") && text.contains("invoice.paid"), "{text}");
    let stats = runtime.journal_stats();
    assert_eq!((stats.appended, stats.rejected, stats.blocked, stats.events), (5, 1, 0, 5));
    assert_eq!(runtime.describe("a").unwrap().depth, 5);

    gate.open();
    transport
        .wait_until(DEADLINE, |list| list.iter().filter(|it| it.is_delivered()).count() == 5)
        .await
        .unwrap();
    let receipt = emit(&runtime, "invoice.paid", "6").await;
    assert_eq!(fate(&receipt).await, Some(Fate::Delivered));
    assert_eq!(delivered(&transport, "a"), ["1", "2", "3", "4", "5", "6"]);
}

#[tokio::test(start_paused = true)]
async fn drop_oldest_makes_room_and_counts() {
    let transport = ScriptedTransport::new();
    let gate = transport.hold();
    let runtime = full(Overflow::DropOldest, &transport).await;
    let mut receipts = Vec::new();
    for n in 6..=9 {
        receipts.push(emit(&runtime, "invoice.paid", &n.to_string()).await);
    }
    let stats = runtime.journal_stats();
    assert_eq!((stats.appended, stats.dropped, stats.events), (9, 4, 5));
    assert_eq!((stats.blocked, stats.rejected), (0, 0));
    let described = runtime.describe("a").unwrap();
    assert_eq!((described.dropped_since_start, described.depth), (4, 5));

    gate.open();
    for receipt in &receipts {
        assert_eq!(fate(receipt).await, Some(Fate::Delivered));
    }
    // The lane had read ahead: entries that it holds may be delivered although they were dropped.
    let seen = delivered(&transport, "a");
    assert_eq!(seen[seen.len() - 5..], ["5", "6", "7", "8", "9"]);
    assert_eq!(runtime.describe("a").unwrap().depth, 0);
    assert_eq!(runtime.journal_stats().events, 0);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_bounded_too() {
    for overflow in [Overflow::Block, Overflow::Reject, Overflow::DropOldest] {
        let transport = ScriptedTransport::new();
        let gate = transport.hold();
        let options = MemoryOptions::new().max_bytes(64 << 10).overflow(overflow);
        let runtime = runtime_of(options, &transport).await;
        runtime.attach("a", "a", holds("https://slow.test/")).await.unwrap();
        runtime.attach("b", "b", holds("https://slow.test/")).await.unwrap();
        let payload = json!({ "text": "x".repeat(10 << 10) });
        let mut accepted = 0;
        for n in 0..20 {
            // Events of both names share the bytes.
            let name = if n % 2 == 0 { "a" } else { "b" };
            let emitting = runtime.emit(name, &payload);
            match tokio::time::timeout(Duration::from_secs(1), emitting).await {
                Ok(Ok(_)) => accepted += 1,
                Ok(Err(EmitError::Append(AppendError::Full { limit }))) => {
                    assert!(limit.contains("65536 bytes"), "{limit}");
                }
                Ok(Err(other)) => panic!("{other}"),
                Err(_) => {}
            }
            let stats = runtime.journal_stats();
            assert!(stats.bytes <= 64 << 10, "{overflow:?}: {stats:?}");
            let depths = ["a", "b"].map(|id| runtime.describe(id).unwrap().depth);
            assert_eq!(stats.events, depths.iter().sum::<u64>(), "{overflow:?}");
        }
        let stats = runtime.journal_stats();
        let expected = if overflow == Overflow::DropOldest { 20 } else { 6 };
        assert_eq!((accepted, stats.appended), (expected, expected), "{overflow:?}");
        let counted = (stats.blocked, stats.rejected, stats.dropped);
        assert_eq!(
            counted,
            match overflow {
                Overflow::Block => (14, 0, 0),
                Overflow::Reject => (0, 14, 0),
                Overflow::DropOldest => (0, 0, 14),
            },
            "{overflow:?}"
        );

        let too_large = json!({ "text": "x".repeat(65 << 10) });
        let refused = runtime.emit("a", &too_large).await.unwrap_err();
        let is_too_large =
            matches!(refused, EmitError::Append(AppendError::TooLarge { limit: 65_536, .. }));
        assert!(is_too_large, "{refused:?}");
        drop(gate);
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_may_be_too_large_for_the_runtime() {
    let runtime = Runtime::builder()
        .transport(ScriptedTransport::new())
        .max_payload_bytes(1000)
        .start()
        .await
        .unwrap();
    let refused = runtime.emit("a", &json!({ "text": "x".repeat(1000) })).await.unwrap_err();
    assert_eq!(refused, EmitError::TooLarge { bytes: 1011, limit: 1000 });
    assert!(refused.to_string().contains("max_payload_bytes"), "{refused}");
    runtime.emit("a", &json!({ "text": "x".repeat(989) })).await.unwrap();
    assert_eq!(runtime.journal_stats().appended, 1);
}

/// Makes an emitter fail for good.
async fn fail(runtime: &Runtime, id: &str) {
    let mut watch = runtime.watch();
    while status(runtime, id) != Some(Status::Failed) {
        runtime.inject_crash(id, "as the test wants it").unwrap();
        let over = |event: &RuntimeEvent| {
            event.emitter().is_some_and(|emitter| *emitter == id)
                && matches!(event, RuntimeEvent::Started { .. } | RuntimeEvent::Failed { .. })
        };
        wait(&mut watch, over).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_emitter_that_does_not_read_blocks_no_emit() {
    for overflow in [Overflow::Block, Overflow::Reject, Overflow::DropOldest] {
        for pauses in [true, false] {
            let transport = ScriptedTransport::new();
            let options = MemoryOptions::new().max_events_per_subscription(ROOM).overflow(overflow);
            let runtime = runtime_of(options, &transport).await;
            let url = "https://takes.test/";
            runtime.attach("down", "invoice.paid", config(url)).await.unwrap();
            // One with the very same subscription, and one with another that has the name too.
            runtime.attach("same", "invoice.paid", config(url)).await.unwrap();
            runtime.attach("wider", "invoice.>", config(url)).await.unwrap();
            if pauses {
                runtime.pause_with("down", Backlog::Keep).await.unwrap();
            } else {
                fail(&runtime, "down").await;
            }
            let what = format!("{overflow:?}, {:?}", status(&runtime, "down"));
            for n in 1..=50 {
                emit(&runtime, "invoice.paid", &n.to_string()).await;
                // The others read as fast as the events come.
                let read = |id: &str| runtime.describe(id).unwrap().depth == 0;
                within("the others", async {
                    while !(read("same") && read("wider")) {
                        tokio::task::yield_now().await;
                    }
                })
                .await;
            }
            let stats = runtime.journal_stats();
            assert_eq!((stats.blocked, stats.rejected), (0, 0), "{what}");
            assert_eq!((stats.dropped, stats.events), (45, 5), "{what}");
            let down = runtime.describe("down").unwrap();
            assert_eq!(
                (down.depth, down.dropped_since_start, down.delivered_since_start),
                (5, 45, 0),
                "{what}"
            );
            for id in ["same", "wider"] {
                let other = runtime.describe(id).unwrap();
                assert_eq!(
                    (other.delivered_since_start, other.dropped_since_start),
                    (50, 0),
                    "{what}"
                );
            }
            // The events that had room are delivered once it is back.
            runtime.restart("down").await.unwrap();
            let last = emit(&runtime, "invoice.paid", "51").await;
            assert!(last.settled().await.iter().all(|at| at.fate == Some(Fate::Delivered)));
            assert_eq!(delivered(&transport, "down"), ["46", "47", "48", "49", "50", "51"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_frees_who_waits_for_room() {
    type Leave = for<'a> fn(&'a Runtime) -> bugle::BoxFuture<'a, ()>;
    let leaves: [(&str, Leave); 3] = [
        ("pause", |runtime| Box::pin(async { runtime.pause("a").await.unwrap() })),
        ("pause, keeping", |runtime| {
            Box::pin(async { runtime.pause_with("a", Backlog::Keep).await.unwrap() })
        }),
        ("detach", |runtime| Box::pin(async { runtime.detach("a").await.unwrap() })),
    ];
    for (what, leave) in leaves {
        let transport = ScriptedTransport::new();
        transport.everywhere().otherwise(Act::hang());
        let runtime = full(Overflow::Block, &transport).await;
        let blocked = {
            let runtime = runtime.clone();
            tokio::spawn(async move { emit(&runtime, "invoice.paid", "6").await })
        };
        tokio::task::yield_now().await;
        assert_eq!(runtime.journal_stats().blocked, 1, "{what}");
        leave(&runtime).await;
        within(what, blocked).await.unwrap();
        assert_eq!(runtime.journal_stats().appended, 6, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_leave_emit_hanging() {
    let transport = ScriptedTransport::new();
    transport.everywhere().otherwise(Act::hang());
    let runtime = full(Overflow::Block, &transport).await;
    let blocked = {
        let runtime = runtime.clone();
        tokio::spawn(async move { runtime.emit("invoice.paid", &json!({})).await.map(drop) })
    };
    tokio::task::yield_now().await;
    runtime.shutdown(Duration::ZERO).await;
    let answer = within("a blocked emit", blocked).await.unwrap();
    assert_eq!(answer, Err(EmitError::ShutDown));
    let after = runtime.emit("invoice.paid", &json!({})).await.map(drop);
    assert_eq!(after, Err(EmitError::ShutDown));
}
