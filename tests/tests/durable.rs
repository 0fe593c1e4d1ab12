//! A runtime on the store on disk: accepted events outlive it.

mod support;

use std::time::Duration;

use bugle::{
    AttemptQuery, DeadLetterQuery, EmitBatch, EmitError, EmitOptions, Fate, Runtime, RuntimeEvent,
    SourcePosition, SqliteOptions, Store,
};
use bugle_testkit::{Receiver, Reply};
use serde_json::json;
use support::{DEADLINE, config, emit, within};

async fn start(directory: &std::path::Path) -> Runtime {
    let store = Store::open(directory).unwrap();
    Runtime::builder().store(store).start().await.unwrap()
}

/// Shuts down and closes the store, so that it can be opened again.
async fn end(runtime: Runtime) {
    let report = within("the shutdown", runtime.shutdown(Duration::from_secs(5))).await;
    assert_eq!(report.flush_error, None);
    drop(runtime);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_is_delivered_by_the_next_runtime_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let url = receiver.url("/");

    let runtime = start(directory.path()).await;
    runtime.attach("billing", "invoice.>", config(&url)).await.unwrap();
    let first = emit(&runtime, "invoice.paid", "1").await;
    assert_eq!(within("its fate", first.settled()).await[0].fate, Some(Fate::Delivered));
    // By default, a store on disk keeps the backlog of a paused emitter.
    runtime.pause("billing").await.unwrap();
    for id in 2..=200 {
        emit(&runtime, "invoice.paid", &id.to_string()).await;
    }
    emit(&runtime, "member.created", "unwanted").await;
    end(runtime).await;
    assert_eq!(receiver.requests().len(), 1);

    let runtime = start(directory.path()).await;
    runtime.attach("billing", "invoice.>", config(&url)).await.unwrap();
    receiver.wait_for(200, DEADLINE).await.unwrap();
    let got: Vec<String> =
        receiver.requests().iter().map(|it| it.request_id().unwrap().to_owned()).collect();
    let expected: Vec<String> = (1..=200).map(|id| id.to_string()).collect();
    assert_eq!(got, expected);
    end(runtime).await;

    let runtime = start(directory.path()).await;
    runtime.attach("billing", "invoice.>", config(&url)).await.unwrap();
    let last = emit(&runtime, "invoice.paid", "last").await;
    assert_eq!(within("its fate", last.settled()).await[0].fate, Some(Fate::Delivered));
    assert_eq!(receiver.requests().len(), 201, "what was settled is not repeated");
    end(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attempts_and_dead_letters_outlive_the_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::builder().otherwise(Reply::status(500)).start().unwrap();

    let runtime = start(directory.path()).await;
    runtime.attach("billing", "invoice.paid", config(&receiver.url("/"))).await.unwrap();
    let receipt = emit(&runtime, "invoice.paid", "7").await;
    assert_eq!(within("its fate", receipt.settled()).await[0].fate, Some(Fate::DeadLettered));
    end(runtime).await;

    let runtime = start(directory.path()).await;
    let letters = runtime.dead_letters().page(DeadLetterQuery::new(), None).await.unwrap().items;
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].request_id().as_str(), letters[0].attempts), ("7", 3));
    let page = runtime.attempts().page(AttemptQuery::new(), None).await.unwrap();
    let logged: Vec<_> = page.items.iter().map(|it| (it.attempt, it.status)).collect();
    assert_eq!(logged, [(3, Some(500)), (2, Some(500)), (1, Some(500))]);
    end(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_detached_emitter_starts_anew() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let runtime = start(directory.path()).await;
    runtime.attach("billing", "invoice.paid", config(&receiver.url("/"))).await.unwrap();
    runtime.pause("billing").await.unwrap();
    emit(&runtime, "invoice.paid", "dropped").await;
    runtime.detach("billing").await.unwrap();
    end(runtime).await;

    let runtime = start(directory.path()).await;
    runtime.attach("billing", "invoice.paid", config(&receiver.url("/"))).await.unwrap();
    let receipt = emit(&runtime, "invoice.paid", "new").await;
    assert_eq!(within("its fate", receipt.settled()).await[0].fate, Some(Fate::Delivered));
    assert_eq!(receiver.requests().len(), 1);
    assert!(Store::open(directory.path()).is_err(), "one runtime has a store at a time");
    end(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_share_a_sync_and_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let runtime = start(directory.path()).await;
    for emitter in 0..8 {
        let name = format!("e{emitter}");
        runtime.attach(&name, "a.*", config(&receiver.url(&format!("/{name}")))).await.unwrap();
    }
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..32 {
        let runtime = runtime.clone();
        callers.spawn(async move {
            for event in 0..10 {
                let payload = json!({ "caller": caller, "event": event });
                runtime.emit(format!("a.{caller}"), &payload).await.unwrap();
            }
        });
    }
    within("all callers", callers.join_all()).await;
    receiver.wait_for(8 * 320, DEADLINE).await.unwrap();
    for emitter in 0..8 {
        let path = format!("/e{emitter}");
        let mut seen = vec![0; 32];
        for request in receiver.requests().iter().filter(|it| it.path == path) {
            let payload: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            let caller = payload["caller"].as_u64().unwrap() as usize;
            assert_eq!(payload["event"], seen[caller], "each caller's events stay in order");
            seen[caller] += 1;
        }
        assert_eq!(seen, [10; 32]);
    }
    end(runtime).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_goes_on_from_its_position() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().unwrap();
    let url = receiver.url("/");
    let lines: Vec<String> = (0..50).map(|line| format!("line-{line}")).collect();
    for run in 0..5_usize {
        let runtime = start(directory.path()).await;
        let attached = runtime.attach("billing", "line.read", config(&url)).await;
        attached.unwrap();
        let at = runtime.position("lines.txt").await.unwrap();
        let at: usize = at.map_or(0, |at| at.as_str().parse().unwrap());
        assert_eq!(at, run * 10);
        for chunk in lines[at..at + 10].chunks(5) {
            let at = at + 5 * usize::from(chunk[0] != lines[at]);
            let mut batch = EmitBatch::new();
            for line in chunk {
                let options = EmitOptions::new().request_id(line);
                batch = batch.event_with("line.read", &json!({ "line": line }), options).unwrap();
            }
            let position = SourcePosition::new("lines.txt", (at + 5).to_string()).unwrap();
            let receipts = runtime.emit_batch(batch.position(position)).await.unwrap();
            let ids: Vec<&str> = receipts.iter().map(|it| it.request_id().as_str()).collect();
            assert_eq!(ids, chunk);
            let fates = within("their fate", receipts[4].settled()).await;
            assert_eq!(fates[0].fate, Some(Fate::Delivered));
        }
        // A refused batch leaves the position where it is.
        let large = EmitBatch::new()
            .event("line.read", &json!({}))
            .unwrap()
            .event("line.read", &json!({ "line": "x".repeat(20 << 20) }))
            .unwrap()
            .position(SourcePosition::new("lines.txt", "99").unwrap());
        assert!(matches!(runtime.emit_batch(large).await, Err(EmitError::TooLarge { .. })));
        assert_eq!(runtime.position("").await, Ok(None));
        end(runtime).await;
    }
    let got: Vec<String> =
        receiver.requests().iter().map(|it| it.request_id().unwrap().to_owned()).collect();
    assert_eq!(got, lines);
}

/// An event that waits too long is dropped, and both the watch and the receipt say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_too_long_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new().undelivered_for(Duration::from_millis(200));
    let store = Store::open_with(directory.path(), options).unwrap();
    let runtime = Runtime::builder().store(store).start().await.unwrap();
    let mut watch = runtime.watch();
    let receiver = Receiver::builder().otherwise(Reply::status(500)).start().unwrap();
    runtime.attach("billing", "invoice.>", config(&receiver.url("/"))).await.unwrap();
    runtime.pause("billing").await.unwrap();
    let receipt = emit(&runtime, "invoice.paid", "late").await;
    assert_eq!(within("its fate", receipt.settled()).await[0].fate, Some(Fate::Dropped));
    let expired = watch.wait_for(|event| matches!(event, RuntimeEvent::Expired { .. }));
    let expired = within("the event", expired).await.unwrap();
    assert_eq!(expired.emitter().unwrap().as_str(), "billing");
    assert_eq!(expired.fate(), Some(Fate::Dropped));
    let RuntimeEvent::Expired { sequence, name, request_id, .. } = expired else { panic!() };
    assert_eq!((sequence, name.as_str()), (receipt.sequence(), "invoice.paid"));
    assert_eq!(&request_id, receipt.request_id());
    end(runtime).await;
}
