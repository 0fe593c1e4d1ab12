//! A receipt gives the fates of its event, whenever it is asked.

mod support;

use std::time::Duration;

use bugle::{
    AttemptCode, Backlog, DeadLetterQuery, EmitterConfig, Fate, MemoryOptions, Overflow, Receipt,
    Runtime, RuntimeEvent, Status, Store,
};
use bugle_testkit::{Act, ScriptedTransport};
use futures_util::FutureExt;
use futures_util::future::join_all;
use support::{config, emit, fate, fates, runtime, status, wait, within};
use tokio::task::JoinHandle;

type Fates = Vec<(String, Option<Fate>)>;

fn at(emitter: &str, fate: Fate) -> (String, Option<Fate>) {
    (emitter.to_owned(), Some(fate))
}

/// Waits for the fates in a task of its own, which has begun to wait when this returns.
async fn waiting(receipt: &Receipt) -> JoinHandle<Fates> {
    let receipt = receipt.clone();
    let task = tokio::spawn(async move { fates(&receipt).await });
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    task
}

async fn told(task: JoinHandle<Fates>) -> Fates {
    within("a waiting receipt", task).await.unwrap()
}

fn patient(url: &str) -> EmitterConfig {
    config(url).request_timeout(Duration::from_secs(24 * 3600))
}

/// A runtime with an emitter that has taken an event and hangs.
async fn hanging() -> (Runtime, ScriptedTransport, Receipt) {
    let transport = ScriptedTransport::new();
    transport.at("hangs.test").then(Act::hang());
    let runtime = runtime(transport.clone()).await;
    runtime.attach("a", "invoice.paid", patient("https://hangs.test/")).await.unwrap();
    let receipt = emit(&runtime, "invoice.paid", "1").await;
    transport.wait_for(1, support::DEADLINE).await.unwrap();
    (runtime, transport, receipt)
}

#[tokio::test(start_paused = true)]
async fn the_fate_at_each_emitter_in_the_order_of_their_ids() {
    let transport = ScriptedTransport::new();
    transport.at("fails.test").otherwise(Act::status(500));
    transport.at("late.test").otherwise(Act::deliver().after(Duration::from_secs(4)));
    let runtime = runtime(transport).await;
    runtime.attach("late", "invoice.*", config("https://late.test/")).await.unwrap();
    runtime.attach("fails", "invoice.paid", config("https://fails.test/")).await.unwrap();
    runtime.attach("paused", ">", config("https://takes.test/")).await.unwrap();
    runtime.attach("takes", "invoice.paid", config("https://takes.test/")).await.unwrap();
    runtime.attach("other", "invoice.sent", config("https://takes.test/")).await.unwrap();
    runtime.pause("paused").await.unwrap();

    let receipt = emit(&runtime, "invoice.paid", "own-id").await;
    assert_eq!(*receipt.request_id(), "own-id");
    // It was attached later: the event was not meant for it.
    runtime.attach("new", "invoice.paid", config("https://takes.test/")).await.unwrap();
    let expected = [
        at("fails", Fate::DeadLettered),
        at("late", Fate::Delivered),
        at("paused", Fate::Dropped),
        at("takes", Fate::Delivered),
    ];
    assert_eq!(fates(&receipt).await, expected);
    // A receipt answers again, and at the same time, and long afterwards.
    assert_eq!(fates(&receipt).await, expected);
    let (one, other) = tokio::join!(fates(&receipt), fates(&receipt));
    assert_eq!((one.as_slice(), other.as_slice()), (&expected[..], &expected[..]));
    tokio::time::sleep(Duration::from_secs(3600)).await;
    for n in 0..100 {
        emit(&runtime, "invoice.paid", &format!("later-{n}")).await.settled().await;
    }
    assert_eq!(fates(&receipt).await, expected);
    assert_eq!(fates(&receipt.clone()).await, expected);
    let debug = format!("{receipt:?}");
    assert!(debug.contains("own-id"), "{debug}");
}

#[tokio::test(start_paused = true)]
async fn why_it_was_given_up_and_how_many_wanted_it() {
    let transport = ScriptedTransport::new();
    transport.at("fails.test").otherwise(Act::status(500));
    let runtime = runtime(transport).await;
    let fails = || config("https://fails.test/");
    runtime.attach("fails", "invoice.paid", fails().max_attempts(2)).await.unwrap();
    runtime.attach("takes", ["invoice.*", "a"], config("https://takes.test/")).await.unwrap();
    runtime.attach("paused", "invoice.paid", fails()).await.unwrap();
    runtime.pause("paused").await.unwrap();

    // Another event under the same id, which is given up for a reason of its own.
    let earlier = emit(&runtime, "invoice.paid", "same").await;
    assert_eq!(earlier.matched(), 3);
    earlier.settled().await;
    runtime.update("fails", fails().max_attempts(1)).await.unwrap();
    let receipt = emit(&runtime, "invoice.paid", "same").await;
    for (receipt, attempts) in [(&earlier, 2), (&receipt, 1)] {
        let settled = receipt.settled().await;
        let letter = settled[0].dead_letter.as_deref().unwrap();
        assert_eq!((settled[0].emitter.as_str(), letter.attempts), ("fails", attempts));
        assert_eq!(letter.code, AttemptCode::BadHttpStatus);
        assert_eq!(letter.message, "HTTP POST request returned status 500");
        assert!(settled[1..].iter().all(|at| at.dead_letter.is_none()), "{settled:?}");
    }
    // Once it is replayed, or discarded, the receipt has its dead letter no longer.
    assert_eq!(runtime.dead_letters().discard_all(DeadLetterQuery::new()).await.unwrap(), 2);
    let settled = receipt.settled().await;
    assert!(settled[0].dead_letter.is_none(), "{settled:?}");

    for (name, matched) in [("invoice.payed", 1), ("a", 1), ("invoice", 0), ("a.b", 0)] {
        assert_eq!(emit(&runtime, name, "x").await.matched(), matched, "{name}");
    }
    // The receipt names the emitters that it was meant for, not those that came or went since.
    runtime.attach("new", ">", config("https://takes.test/")).await.unwrap();
    assert_eq!(receipt.matched(), 3);
    runtime.detach("takes").await.unwrap();
    assert_eq!(receipt.matched(), 2);
    drop(runtime);
    assert_eq!((receipt.matched(), receipt.settled().await), (0, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn without_an_emitter_there_is_nothing_to_wait_for() {
    let runtime = runtime(ScriptedTransport::new()).await;
    let first = emit(&runtime, "invoice.paid", "1").await;
    let second = emit(&runtime, "invoice.paid", "2").await;
    assert!(first.sequence() < second.sequence());
    assert_eq!(first.settled().now_or_never(), Some(Vec::new()));
    runtime.attach("a", "invoice.paid", config("https://takes.test/")).await.unwrap();
    assert_eq!(first.settled().now_or_never(), Some(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn many_wait_for_the_same_and_for_others() {
    let (runtime, transport, first) = hanging().await;
    let mut receipts = vec![first];
    for n in 2..=50 {
        receipts.push(emit(&runtime, "invoice.paid", &n.to_string()).await);
    }
    let mut tasks = Vec::new();
    for receipt in receipts.iter().chain(&receipts) {
        tasks.push(waiting(receipt).await);
    }
    // A task that stops waiting changes nothing for the others.
    for task in tasks.drain(..20) {
        task.abort();
    }
    let update = patient("https://takes.test/");
    runtime.update("a", update).await.unwrap();
    assert_eq!(transport.in_flight(), 1, "what is in flight goes on");
    runtime.inject_crash("a", "to end what hangs").unwrap();
    for told in within("all of them", join_all(tasks)).await {
        assert_eq!(told.unwrap(), [at("a", Fate::Delivered)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_settles_nothing() {
    let (runtime, _transport, receipt) = hanging().await;
    let task = waiting(&receipt).await;
    runtime.inject_crash("a", "as the test wants it").unwrap();
    assert_eq!(told(task).await, [at("a", Fate::Delivered)]);
    assert_eq!(runtime.describe("a").unwrap().restarts_since_start, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_emitter_settles_after_its_restart() {
    let (runtime, _transport, receipt) = hanging().await;
    let mut watch = runtime.watch();
    let task = waiting(&receipt).await;
    for _ in 0..4 {
        runtime.inject_crash("a", "again").unwrap();
        wait(&mut watch, |event| {
            matches!(event, RuntimeEvent::Crashed { .. } | RuntimeEvent::Failed { .. })
        })
        .await;
        if status(&runtime, "a") == Some(Status::Failed) {
            break;
        }
        wait(&mut watch, |event| matches!(event, RuntimeEvent::Started { .. })).await;
    }
    assert_eq!(status(&runtime, "a"), Some(Status::Failed));
    let while_down = emit(&runtime, "invoice.paid", "2").await;
    let also = waiting(&while_down).await;
    // The first life hung; the later ones may have delivered it already.
    runtime.restart("a").await.unwrap();
    assert_eq!(told(task).await, [at("a", Fate::Delivered)]);
    assert_eq!(told(also).await, [at("a", Fate::Delivered)]);
}

#[tokio::test(start_paused = true)]
async fn detached_meanwhile() {
    let (runtime, _transport, receipt) = hanging().await;
    runtime.attach("b", "invoice.paid", config("https://takes.test/")).await.unwrap();
    let second = emit(&runtime, "invoice.paid", "2").await;
    let tasks = [waiting(&receipt).await, waiting(&second).await];
    runtime.detach("a").await.unwrap();
    let [first, second_fates] = tasks;
    // A receipt that waited is answered; one that asks later finds no such emitter.
    assert_eq!(told(first).await, [at("a", Fate::Dropped)]);
    assert_eq!(told(second_fates).await, [at("a", Fate::Dropped), at("b", Fate::Delivered)]);
    assert_eq!(fates(&receipt).await, []);
    assert_eq!(fates(&second).await, [at("b", Fate::Delivered)]);
    // Another emitter of that id is another emitter.
    runtime.attach("a", "invoice.paid", config("https://takes.test/")).await.unwrap();
    assert_eq!(fates(&receipt).await, []);
    assert_eq!(fates(&second).await, [at("b", Fate::Delivered)]);
}

#[tokio::test(start_paused = true)]
async fn paused_meanwhile() {
    let (runtime, _transport, receipt) = hanging().await;
    let task = waiting(&receipt).await;
    runtime.pause("a").await.unwrap();
    assert_eq!(told(task).await, [at("a", Fate::Dropped)]);
    let while_paused = emit(&runtime, "invoice.paid", "2").await;
    assert_eq!(fate(&while_paused).await, Some(Fate::Dropped));
    runtime.restart("a").await.unwrap();
    let later = emit(&runtime, "invoice.paid", "3").await;
    assert_eq!(fate(&later).await, Some(Fate::Delivered));
    assert_eq!(fate(&receipt).await, Some(Fate::Dropped));
    assert_eq!(fate(&while_paused).await, Some(Fate::Dropped));
}

#[tokio::test(start_paused = true)]
async fn a_kept_backlog_that_is_discarded_after_all() {
    let (runtime, _transport, receipt) = hanging().await;
    runtime.pause_with("a", Backlog::Keep).await.unwrap();
    let while_paused = emit(&runtime, "invoice.paid", "2").await;
    let tasks = [waiting(&receipt).await, waiting(&while_paused).await];
    runtime.pause_with("a", Backlog::Discard).await.unwrap();
    for task in tasks {
        assert_eq!(told(task).await, [at("a", Fate::Dropped)]);
    }
    assert_eq!(runtime.describe("a").unwrap().dropped_since_start, 2);
}

#[tokio::test(start_paused = true)]
async fn a_kept_backlog_that_is_delivered() {
    let (runtime, transport, receipt) = hanging().await;
    runtime.pause_with("a", Backlog::Keep).await.unwrap();
    let while_paused = emit(&runtime, "invoice.paid", "2").await;
    let tasks = [waiting(&receipt).await, waiting(&while_paused).await];
    runtime.restart("a").await.unwrap();
    for task in tasks {
        assert_eq!(told(task).await, [at("a", Fate::Delivered)]);
    }
    let delivered: Vec<_> =
        transport.attempts().into_iter().filter(|it| it.is_delivered()).collect();
    let ids: Vec<&str> = delivered.iter().map(|it| it.request_id()).collect();
    assert_eq!(ids, ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn dropped_to_make_room() {
    let transport = ScriptedTransport::new();
    transport.everywhere().otherwise(Act::hang());
    let options =
        MemoryOptions::new().max_events_per_subscription(3).overflow(Overflow::DropOldest);
    let runtime = Runtime::builder()
        .store(Store::memory_with(options))
        .transport(transport.clone())
        .start()
        .await
        .unwrap();
    runtime.attach("a", "invoice.paid", patient("https://hangs.test/")).await.unwrap();
    let mut receipts = Vec::new();
    for n in 1..=3 {
        receipts.push(emit(&runtime, "invoice.paid", &n.to_string()).await);
    }
    let tasks = [waiting(&receipts[0]).await, waiting(&receipts[1]).await];
    emit(&runtime, "invoice.paid", "4").await;
    emit(&runtime, "invoice.paid", "5").await;
    for task in tasks {
        assert_eq!(told(task).await, [at("a", Fate::Dropped)]);
    }
    assert_eq!(fate(&receipts[1]).await, Some(Fate::Dropped));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_all_waiting() {
    let (runtime, _transport, receipt) = hanging().await;
    runtime.attach("b", "invoice.paid", config("https://takes.test/")).await.unwrap();
    let second = emit(&runtime, "invoice.paid", "2").await;
    let tasks = [waiting(&receipt).await, waiting(&second).await];
    let report = runtime.shutdown(Duration::from_secs(1)).await;
    assert_eq!((report.pending(), report.aborted()), (2, 1));
    let [first_told, second_told] = tasks;
    assert_eq!(told(first_told).await, [("a".to_owned(), None)]);
    let expected = [("a".to_owned(), None), at("b", Fate::Delivered)];
    assert_eq!(told(second_told).await, expected);
    // The same holds for a receipt that asks only now. A receipt keeps no store open, so its memory
    // goes with the runtime.
    assert_eq!(fates(&second).await, expected);
    drop(runtime);
    assert_eq!(fates(&second).await, []);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_runtime_ends_all_waiting() {
    let (runtime, transport, receipt) = hanging().await;
    let task = waiting(&receipt).await;
    drop(runtime);
    assert_eq!(told(task).await, [("a".to_owned(), None)]);
    transport.wait_until(support::DEADLINE, |list| list[0].ended.is_some()).await.unwrap();
}
