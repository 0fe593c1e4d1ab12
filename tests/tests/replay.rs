//! A receiver is down, its events are given up, and are delivered again when it is back.

mod support;

use std::time::Duration;

use bugle::{
    AttemptCode, Backlog, DeadLetterQuery, EmitOptions, EmitterId, Fate, MemoryOptions, Order,
    RateLimit, ReplayError, Runtime, RuntimeEvent, Store, Subscription, Timestamp, TraceContext,
};
use bugle_testkit::{Receiver, Reply};
use serde_json::{Value, json};
use support::{config, emit, until, wait, within};
use tempfile::TempDir;

/// Runs the test on both stores.
async fn on_both<F: Future<Output = ()>>(test: impl Fn(Runtime) -> F) {
    let start = async |store| Runtime::builder().store(store).start().await.unwrap();
    test(start(Store::memory()).await).await;
    let directory = TempDir::new().unwrap();
    test(start(Store::open(directory.path()).unwrap()).await).await;
}

fn ids(receiver: &Receiver) -> Vec<String> {
    receiver.requests().iter().map(|it| it.request_id().unwrap().to_owned()).collect()
}

/// Emits events that the receiver refuses until they are given up.
async fn give_up(runtime: &Runtime, receiver: &Receiver, events: &[&str]) {
    receiver.otherwise(Reply::status(503));
    for id in events {
        let fate = within("its fate", emit(runtime, "a", id).await.settled()).await;
        assert_eq!(fate[0].fate, Some(Fate::DeadLettered));
    }
    receiver.otherwise(Reply::status(200));
}

async fn count(runtime: &Runtime) -> u64 {
    runtime.dead_letters().count(DeadLetterQuery::new()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_delivered_again_with_all_it_says() {
    on_both(|runtime| async move {
        let (receiver, other) = (Receiver::start().unwrap(), Receiver::start().unwrap());
        receiver.otherwise(Reply::status(503));
        runtime.attach("billing", "a", config(&receiver.url("/"))).await.unwrap();
        runtime.attach("crm", "a", config(&other.url("/"))).await.unwrap();
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let options = EmitOptions::new()
            .request_id("one")
            .key("customer-7")
            .trace(TraceContext::new(trace).unwrap());
        let payload = json!({ "text": "ü \u{1F600}", "numbers": [1, 2.5, null] });
        let receipt = runtime.emit_with("a", &payload, options).await.unwrap();
        within("its fate", receipt.settled()).await;
        let before = receiver.requests();
        receiver.otherwise(Reply::status(200));

        let again = within("the replay", runtime.replay("billing", "one")).await.unwrap();
        assert_eq!(again.request_id(), "one");
        assert!(again.sequence() > receipt.sequence());
        assert_eq!(within("its fate", again.settled()).await, Some(Fate::Delivered));
        let fates = within("its fate", receipt.settled()).await;
        assert!(fates.iter().all(|at| at.fate == Some(Fate::Delivered)), "{fates:?}");
        let after = receiver.requests();
        assert_eq!(after.len(), before.len() + 1);
        let last = after.last().unwrap();
        assert_eq!(last.body, before[0].body);
        assert_eq!(last.header("traceparent"), Some(trace));
        assert_eq!(last.request_id(), Some("one"));
        assert_eq!(other.requests().len(), 1, "nobody else gets it again");
        assert_eq!(count(&runtime).await, 0);
        let third = within("the replay", runtime.replay("billing", "one")).await.unwrap();
        assert_eq!(within("its fate", third.settled()).await, Some(Fate::Delivered));
        assert_eq!(receiver.requests().len(), before.len() + 2, "though it is delivered");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_goes_behind_what_is_queued() {
    on_both(|runtime| async move {
        let receiver = Receiver::start().unwrap();
        runtime.attach("billing", "a", config(&receiver.url("/"))).await.unwrap();
        give_up(&runtime, &receiver, &["1", "2"]).await;
        let given_up = receiver.requests().len();
        within("the pause", runtime.pause_with("billing", Backlog::Keep)).await.unwrap();
        emit(&runtime, "a", "3").await;
        let two = runtime.replay("billing", "2").await.unwrap();
        let one = runtime.replay("billing", "1").await.unwrap();
        let twice = runtime.replay("billing", "1").await.unwrap_err();
        assert!(matches!(twice, ReplayError::Waits { .. }), "{twice}");
        emit(&runtime, "a", "4").await;
        assert_eq!(runtime.describe("billing").unwrap().depth, 4);
        runtime.restart("billing").await.unwrap();
        for receipt in [one, two] {
            assert_eq!(within("its fate", receipt.settled()).await, Some(Fate::Delivered));
        }
        let mut watch = runtime.watch();
        until(&mut watch, || runtime.describe("billing").unwrap().depth == 0).await;
        assert_eq!(ids(&receiver)[given_up..], ["3", "2", "1", "4"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_can_not_be_is_an_error() {
    on_both(|runtime| async move {
        let receiver = Receiver::start().unwrap();
        runtime.attach("billing", "a", config(&receiver.url("/"))).await.unwrap();
        give_up(&runtime, &receiver, &["1"]).await;
        let refused = async |emitter: &str, event: &str| {
            within("the replay", runtime.replay(emitter, event)).await.unwrap_err()
        };
        for emitter in ["nobody", "", "crm"] {
            let expected = ReplayError::NoEmitter(emitter.to_owned());
            assert_eq!(refused(emitter, "1").await, expected);
        }
        for event in ["2", "", "a.b"] {
            let refused = refused("billing", event).await;
            assert!(matches!(refused, ReplayError::NoEvent { .. }), "{refused}");
        }
        runtime.pause_with("billing", Backlog::Discard).await.unwrap();
        let billing = EmitterId::new("billing").unwrap();
        assert_eq!(refused("billing", "1").await, ReplayError::Discards(billing));
        runtime.detach("billing").await.unwrap();
        let expected = ReplayError::NoEmitter("billing".to_owned());
        assert_eq!(refused("billing", "1").await, expected);
        assert_eq!(count(&runtime).await, 1);
        runtime.shutdown(Duration::ZERO).await;
        assert_eq!(refused("billing", "1").await, ReplayError::ShutDown);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_fails_is_a_dead_letter_again() {
    on_both(|runtime| async move {
        let receiver = Receiver::start().unwrap();
        runtime.attach("billing", "a", config(&receiver.url("/"))).await.unwrap();
        give_up(&runtime, &receiver, &["1"]).await;
        receiver.otherwise(Reply::status(500));
        let mut watch = runtime.watch();
        let again = runtime.replay("billing", "1").await.unwrap();
        wait(&mut watch, |event| matches!(event, RuntimeEvent::Replaying { queued: 1, .. })).await;
        assert_eq!(within("its fate", again.settled()).await, Some(Fate::DeadLettered));
        let mut watch = runtime.watch();
        emit(&runtime, "a", "2").await;
        until(&mut watch, || runtime.describe("billing").unwrap().depth == 0).await;
        let page = runtime.dead_letters().page(DeadLetterQuery::new(), None).await.unwrap();
        let letter = page.items.iter().find(|letter| letter.request_id() == "1").unwrap();
        assert_eq!((letter.sequence, letter.origin < letter.sequence), (again.sequence(), true));

        let text = serde_json::to_string(letter).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["webhook_id"], "billing");
        assert_eq!((&value["event_id"], &value["event_name"]), (&json!("1"), &json!("a")));
        assert_eq!((&value["code"], &value["attempts"]), (&json!("badHttpStatus"), &json!(3)));
        assert!(value["payload"].is_object(), "{text}");
        assert_eq!(serde_json::from_str::<bugle::DeadLetter>(&text).unwrap(), *letter);
        assert_eq!(runtime.dead_letters().get(letter.id).await.unwrap().as_ref(), Some(letter));

        assert!(runtime.dead_letters().discard(letter.id).await.unwrap());
        assert!(!runtime.dead_letters().discard(letter.id).await.unwrap());
        assert_eq!(runtime.dead_letters().get(letter.id).await.unwrap(), None);
        let rest = runtime.dead_letters().discard_all(DeadLetterQuery::new()).await.unwrap();
        assert_eq!((rest, count(&runtime).await), (1, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_was_given_up_since_an_instant_is_delivered_again_in_order() {
    on_both(|runtime| async move {
        let receiver = Receiver::start().unwrap();
        let config = config(&receiver.url("/")).order(Order::Unordered { window: 16 });
        runtime.attach_many("billing", ["a", "b.*"], config).await.unwrap();
        give_up(&runtime, &receiver, &["before"]).await;
        let since = Timestamp::now();
        receiver.otherwise(Reply::status(503));
        let mut receipts = Vec::new();
        for id in 0..600 {
            let name = if id % 3 == 0 { "b.x" } else { "a" };
            receipts.push(emit(&runtime, name, &id.to_string()).await);
        }
        for receipt in &receipts {
            within("its fate", receipt.settled()).await;
        }
        // A strict emitter shows the order in which they are queued.
        let config = support::config(&receiver.url("/"));
        runtime.update("billing", config).await.unwrap();
        receiver.otherwise(Reply::status(200));
        let given_up = receiver.requests().len();

        let dry = within("the count", runtime.replay_since("billing", since).dry_run()).await;
        let dry = dry.unwrap();
        assert_eq!((dry.found, dry.queued, count(&runtime).await), (600, 0, 601));
        let named = Subscription::new(["b.*"]).unwrap();
        let dry = runtime.replay_since("billing", since).names(named.clone()).dry_run();
        assert_eq!(within("the count", dry).await.unwrap().found, 200);
        let dry = runtime.replay_since("billing", since).codes([AttemptCode::Timeout]).dry_run();
        assert_eq!(within("the count", dry).await.unwrap().found, 0);

        let mut watch = runtime.watch();
        let replay = runtime.replay_since("billing", since);
        let progress = replay.progress();
        let report = within("the replay", replay).await.unwrap();
        assert_eq!((report.found, report.queued), (600, 600));
        assert_eq!((progress.found(), progress.queued()), (600, 600));
        let done = |it: &RuntimeEvent| matches!(it, RuntimeEvent::Replaying { queued: 600, .. });
        wait(&mut watch, done).await;
        let fates = within("the fates", report.settled()).await;
        assert_eq!((fates.delivered, fates.dead_lettered, fates.unsettled), (600, 0, 0));
        let expected: Vec<String> = (0..600).map(|id| id.to_string()).collect();
        assert_eq!(ids(&receiver)[given_up..], expected);
        assert_eq!(count(&runtime).await, 1, "what was given up before is left");
        let again = within("the replay", runtime.replay_since("billing", since)).await.unwrap();
        assert_eq!((again.found, again.queued), (0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_that_happened_is_delivered_again_once() {
    on_both(|runtime| async move {
        let receiver = Receiver::start().unwrap();
        runtime.attach("billing", "a", config(&receiver.url("/"))).await.unwrap();
        let since = Timestamp::now();
        give_up(&runtime, &receiver, &["1"]).await;
        for id in ["2", "3"] {
            within("its fate", emit(&runtime, "a", id).await.settled()).await;
        }
        emit(&runtime, "b", "unwanted").await;
        // A delivered event is there too, and only once, however often it was delivered.
        let two = within("the replay", runtime.replay("billing", "2")).await.unwrap();
        assert_eq!(within("its fate", two.settled()).await, Some(Fate::Delivered));
        let before = receiver.requests().len();
        let dry = runtime.replay_since("billing", since).all().dry_run();
        assert_eq!(within("the count", dry).await.unwrap().found, 3);
        let report = within("the replay", runtime.replay_since("billing", since).all()).await;
        let report = report.unwrap();
        assert_eq!((report.found, report.queued), (3, 3));
        assert_eq!(within("the fates", report.settled()).await.delivered, 3);
        assert_eq!(ids(&receiver)[before..], ["1", "2", "3"]);
        assert_eq!(count(&runtime).await, 0);
    })
    .await;
}

/// A replay that is dropped has queued some events, and the next one finds the others. It waits for
/// room meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_can_be_cancelled_and_goes_on() {
    let small = |limit| Store::memory_with(MemoryOptions::new().max_events_per_subscription(limit));
    let runtime = Runtime::builder().store(small(50)).start().await.unwrap();
    let receiver = Receiver::builder().otherwise(Reply::status(503)).start().unwrap();
    runtime.attach("billing", "a", config(&receiver.url("/"))).await.unwrap();
    let since = Timestamp::now();
    for id in 0..120 {
        within("room", emit(&runtime, "a", &id.to_string())).await;
    }
    let mut watch = runtime.watch();
    until(&mut watch, || runtime.describe("billing").unwrap().depth == 0).await;
    receiver.otherwise(Reply::status(200));
    within("the pause", runtime.pause_with("billing", Backlog::Keep)).await.unwrap();

    let mut replay = runtime.replay_since("billing", since).into_future();
    tokio::select! {
        report = &mut replay => panic!("there is no room: {report:?}"),
        () = async {
            let mut watch = runtime.watch();
            let is_full = || runtime.describe("billing").unwrap().depth == 50;
            while !is_full() {
                let _ = tokio::time::timeout(Duration::from_millis(5), watch.next()).await;
            }
        } => {}
    }
    drop(replay);
    assert_eq!((count(&runtime).await, runtime.describe("billing").unwrap().depth), (70, 50));

    runtime.restart("billing").await.unwrap();
    let capped = runtime.replay_since("billing", since).rate_limit(RateLimit::per_second(1_000));
    let report = within("the replay", capped).await.unwrap();
    assert_eq!((report.found, report.queued), (70, 70));
    assert_eq!(within("the fates", report.settled()).await.delivered, 70);
    let delivered: Vec<String> = ids(&receiver).split_off(360);
    assert_eq!(delivered, (0..120).map(|id| id.to_string()).collect::<Vec<_>>());
    let nobody = runtime.replay_since("nobody", since).await.unwrap_err();
    assert_eq!(nobody, ReplayError::NoEmitter("nobody".to_owned()));
}
