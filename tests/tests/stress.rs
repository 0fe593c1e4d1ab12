//! Many tasks work on the same few emitters at once. Afterwards the supervisor, the journal and a
//! careful check agree.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bugle::{
    AttachError, Backlog, ControlError, EmitError, EmitOptions, EmitterConfig, Fate, Order,
    Receipt, RestartBudget, RestartError, Runtime, RuntimeEvent, Status, Store,
};
use bugle_testkit::{Act, RemoteStore, ScriptedTransport, assert_no_leaks};
use serde_json::json;
use support::{config, emit, fates, quick, status, until, within};

const IDS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// SplitMix64: the same steps for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[usize::try_from(self.roll(list.len() as u64)).unwrap()]
    }
}

fn target(dice: &mut Dice) -> EmitterConfig {
    let url = format!("https://{}.test/", dice.pick(&["steady", "shaky", "slow"]));
    config(&url).retry(quick()).idle_timeout(Duration::from_millis(1 + dice.roll(20)))
}

/// Receivers that accept, refuse every third event at first, or are slow.
fn receivers() -> ScriptedTransport {
    let transport = ScriptedTransport::new();
    transport.at("shaky.test").choose(|attempted| {
        match (attempted.attempt, attempted.sequence.0 % 3) {
            (1, 0) => Act::status(500),
            _ => Act::deliver(),
        }
    });
    transport.at("slow.test").otherwise(Act::deliver().after(Duration::from_millis(2)));
    transport
}

/// A store in this process.
fn here(_: u64) -> Store {
    Store::memory()
}

/// A store on other machines: late, and failing now and then.
fn far(seed: u64) -> Store {
    Store::of(RemoteStore::before(Store::memory().into(), seed))
}

/// An error that may be the store's, which may do its part when it is asked again.
trait OfStore {
    fn code(&self) -> &'static str;

    fn may_work(&self) -> bool {
        self.code().starts_with("store")
    }
}

macro_rules! of_store {
    ($($error:ty)*) => {
        $(impl OfStore for $error {
            fn code(&self) -> &'static str {
                <$error>::code(self)
            }
        })*
    };
}

of_store! { AttachError ControlError EmitError RestartError }

/// Makes a call as often as it takes. A store in memory takes one.
async fn patiently<T, E, F>(mut call: impl FnMut() -> F) -> Result<T, E>
where
    E: OfStore,
    F: Future<Output = Result<T, E>>,
{
    loop {
        match call().await {
            Err(error) if error.may_work() => {}
            answer => return answer,
        }
    }
}

/// Emits under an id as often as it takes.
async fn emit_patiently(runtime: &Runtime, name: &str, id: &str) -> Receipt {
    let payload = json!({ "id": id });
    let emit = || runtime.emit_with(name, &payload, EmitOptions::new().request_id(id));
    within("emit", patiently(emit)).await.unwrap()
}

/// Makes a random call, and checks that its answer is possible, whatever the others do.
async fn step(runtime: &Runtime, dice: &mut Dice) {
    let id = dice.pick(&IDS);
    let grace = Duration::from_millis(dice.roll(5));
    let call = dice.roll(21);
    match call {
        0..=2 => {
            let event = dice.pick(&["stress.one", "stress.*", ">"]);
            let config = target(dice);
            let attached = patiently(|| runtime.attach(id, event, config.clone())).await;
            let expected = matches!(
                attached,
                Ok(()) | Err(AttachError::AlreadyExists(_) | AttachError::AlreadyPresent(_))
            );
            assert!(expected, "{attached:?}");
        }
        3 => patiently(|| runtime.pause(id)).await.unwrap(),
        4..=6 => {
            let (backlog, grace) = match call {
                4 => (Backlog::Keep, Duration::ZERO),
                5 => (Backlog::Keep, grace),
                _ => (Backlog::Discard, grace),
            };
            let pause = || runtime.pause_with(id, backlog).draining(grace).into_future();
            patiently(pause).await.unwrap();
        }
        7..=10 => {
            let restarted = patiently(|| runtime.restart(id)).await;
            let expected = matches!(
                restarted,
                Ok(())
                    | Err(RestartError::Running(_)
                        | RestartError::Restarting(_)
                        | RestartError::NotFound(_))
            );
            assert!(expected, "{restarted:?}");
        }
        11 => patiently(|| runtime.detach(id)).await.unwrap(),
        12 => {
            let config = target(dice);
            let updated = patiently(|| runtime.update(id, config.clone())).await;
            assert!(matches!(updated, Ok(()) | Err(ControlError::NotFound(_))), "{updated:?}");
        }
        13 => {
            let crashed = runtime.inject_crash(id, "as the test wants it");
            assert!(matches!(crashed, Ok(()) | Err(ControlError::NotFound(_))), "{crashed:?}");
        }
        14 => {
            let described = runtime.describe(id);
            assert!(described.is_none_or(|it| it.id == *id && it.in_flight <= 1));
        }
        15 => {
            let event = dice.pick(&["stress.one", "stress.*", ">"]);
            let config = target(dice);
            patiently(|| runtime.ensure(id, [event], config.clone())).await.unwrap();
        }
        _ => {
            let name = dice.pick(&["stress.one", "stress.two"]);
            let id = format!("{}-{}", dice.roll(u64::MAX), dice.roll(u64::MAX));
            emit_patiently(runtime, name, &id).await;
        }
    }
}

/// Waits until no emitter is between two lives.
async fn settle_down(runtime: &Runtime) {
    let mut watch = runtime.watch();
    let restarting = || runtime.emitters().iter().any(|it| it.status == Status::Restarting);
    support::until(&mut watch, || !restarting()).await;
}

/// Compares the description of each emitter with the calls that it allows.
async fn check(runtime: &Runtime) {
    for id in IDS {
        let before = status(runtime, id);
        assert_eq!(runtime.is_started(id), before == Some(Status::Running), "{id}");
        let listed = runtime.list_emitters().iter().any(|listed| *listed == *id);
        assert_eq!(listed, before == Some(Status::Running), "{id}");
        let attach = || runtime.attach(id, "stress.*", config("https://steady.test/"));
        let attached = patiently(attach).await;
        match before {
            None => assert_eq!(attached, Ok(()), "{id}"),
            Some(Status::Running) => {
                assert!(matches!(attached, Err(AttachError::AlreadyExists(_))), "{id}");
            }
            _ => assert!(matches!(attached, Err(AttachError::AlreadyPresent(_))), "{id}"),
        }
        let mut calls = 0;
        let restart = || {
            calls += 1;
            runtime.restart(id)
        };
        let restarted = patiently(restart).await;
        match before {
            None | Some(Status::Running) => {
                assert!(matches!(restarted, Err(RestartError::Running(_))), "{id}");
            }
            // It runs, whatever the store answered at first.
            _ if calls > 1 => assert!(matches!(restarted, Err(RestartError::Running(_))), "{id}"),
            _ => assert_eq!(restarted, Ok(()), "{id}"),
        }
        assert!(runtime.is_started(id), "{id}");
    }
}

async fn everything_at_once(seed: u64, budget: RestartBudget, store: fn(u64) -> Store) {
    let (transport, store) = (receivers(), store(seed));
    let is_exact = store.info().capabilities.exact_counts;
    let runtime = Runtime::builder()
        .store(store)
        .transport(transport.clone())
        .restart_budget(budget)
        .start()
        .await
        .unwrap();
    let tasks: Vec<_> = (0..12)
        .map(|n| {
            let runtime = runtime.clone();
            tokio::spawn(async move {
                let mut dice = Dice(seed * 1000 + n);
                for _ in 0..200 {
                    within("a call", step(&runtime, &mut dice)).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    settle_down(&runtime).await;

    // A running emitter delivers a fresh event, whatever it went through. A crash that was injected
    // last may still be under way, and be one too many.
    let running = runtime.list_emitters();
    let mut watch = runtime.watch();
    let receipt = emit_patiently(&runtime, "stress.one", "fresh").await;
    let mut missing: BTreeSet<String> = running.iter().map(ToString::to_string).collect();
    let fresh = tokio::time::timeout(support::DEADLINE, async {
        while !missing.is_empty() {
            if let Some(RuntimeEvent::Delivered { emitter, request_id, .. }) = watch.next().await
                && request_id == *receipt.request_id()
            {
                missing.remove(emitter.as_str());
            }
            missing.retain(|id| status(&runtime, id) != Some(Status::Failed));
        }
    })
    .await;
    assert!(fresh.is_ok(), "{seed}: {missing:?} did not deliver: {:#?}", runtime.emitters());

    // A life that ends drops the messages that are still in its mailbox: from here on nothing
    // crashes.
    for id in &running {
        let id = id.as_str();
        let pause = || runtime.pause_with(id, Backlog::Keep).into_future();
        patiently(pause).await.unwrap();
        let restarted = patiently(|| runtime.restart(id)).await;
        assert!(matches!(restarted, Ok(()) | Err(RestartError::Running(_))), "{restarted:?}");
    }
    check(&runtime).await;
    let fresh = fates(&emit_patiently(&runtime, "stress.one", "fresher").await).await;
    assert_eq!(fresh.len(), IDS.len(), "{seed}");
    assert!(fresh.iter().all(|(_, fate)| *fate == Some(Fate::Delivered)), "{seed}: {fresh:?}");
    // All are settled: the journal holds nothing more, and each emitter says so too.
    if !is_exact {
        // What is known of it comes with the next answer.
        until(&mut watch, || runtime.emitters().iter().all(|it| it.depth == 0)).await;
    }
    for described in runtime.emitters() {
        assert_eq!((described.depth, described.in_flight), (0, 0), "{seed}: {described:?}");
        if is_exact {
            let appended = runtime.journal_stats().appended;
            assert_eq!(described.cursor.0, appended, "{seed}: {described:?}");
        }
    }
    let stats = runtime.journal_stats();
    assert_eq!((stats.events, stats.bytes), (0, 0), "{seed}: {stats:?}");

    // In all this time, no emitter ever delivered two events at once, or an earlier one later.
    for id in IDS {
        let attempts = transport.attempts_of(id);
        assert!(transport.most_in_flight_of(id) <= 1, "{seed}: {id}");
        let ordered = attempts.windows(2).all(|pair| pair[0].sequence <= pair[1].sequence);
        assert!(ordered, "{seed}: {id}");
    }
    let report = within("shutdown", runtime.shutdown(Duration::from_secs(10))).await;
    assert!(report.is_clean(), "{seed}: {report:?}");
    assert_eq!(report.emitters.len(), IDS.len());
    assert_eq!((transport.in_flight(), transport.sessions_open()), (0, 0), "{seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_on_the_same_emitters() {
    for seed in 1..=3 {
        assert_no_leaks(everything_at_once(seed, RestartBudget::default(), here)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_and_a_generous_budget() {
    for seed in 11..=13 {
        let budget = RestartBudget::new(u32::MAX, Duration::from_secs(1));
        assert_no_leaks(everything_at_once(seed, budget, here)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_on_a_store_far_away() {
    for seed in 31..=33 {
        let budget = RestartBudget::new(u32::MAX, Duration::from_secs(1));
        assert_no_leaks(everything_at_once(seed, budget, far)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shutdown_in_the_midst_of_it() {
    for seed in 21..=26 {
        assert_no_leaks(async {
            let transport = receivers();
            let runtime = Runtime::builder().transport(transport.clone()).start().await.unwrap();
            let tasks: Vec<_> = (0..8)
                .map(|n| tokio::spawn(until_shut_down(runtime.clone(), Dice(seed * 1000 + n))))
                .collect();
            transport.wait_for(50, support::DEADLINE).await.unwrap();
            let grace = Duration::from_millis(seed % 3 * 5);
            let (one, other) = within("shutdown", async {
                tokio::join!(runtime.shutdown(grace), runtime.shutdown(Duration::ZERO))
            })
            .await;
            assert!(one == other || one.emitters.is_empty() || other.emitters.is_empty());
            for task in tasks {
                within("a task that was told of the shutdown", task).await.unwrap();
            }
            assert_eq!((transport.in_flight(), transport.sessions_open()), (0, 0), "{seed}");
        })
        .await;
    }
}

/// Makes calls until each kind of them answers that the runtime was shut down.
async fn until_shut_down(runtime: Runtime, mut dice: Dice) {
    let mut refused = [false; 4];
    while refused != [true; 4] {
        let id = dice.pick(&IDS);
        match dice.roll(6) {
            0 => {
                let attached = runtime.attach(id, "stress.*", target(&mut dice)).await;
                refused[0] |= attached == Err(AttachError::ShutDown);
            }
            1 => refused[1] |= runtime.restart(id).await == Err(RestartError::ShutDown),
            2 => refused[2] |= runtime.pause(id).await == Err(ControlError::ShutDown),
            3 => refused[2] |= runtime.detach(id).await == Err(ControlError::ShutDown),
            4 => drop(runtime.inject_crash(id, "as the test wants it")),
            _ => {
                let emitted = runtime.emit("stress.one", &json!({})).await;
                refused[3] |= matches!(emitted, Err(EmitError::ShutDown));
            }
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starting_and_shutting_down_again_and_again() {
    const EVENTS: u64 = 10;
    assert_no_leaks(async {
        for cycle in 0..40_u64 {
            let transport = ScriptedTransport::new();
            transport.at("slow.test").otherwise(Act::deliver().after(Duration::from_millis(1)));
            transport.at("hangs.test").otherwise(Act::hang());
            let runtime = Runtime::builder().transport(transport.clone()).start().await.unwrap();
            for n in 0..20 {
                let host = ["steady", "slow", "hangs"][n % 3];
                let mut config = config(&format!("https://{host}.test/"));
                if n % 2 == 0 {
                    config = config.order(Order::Unordered { window: 4 });
                }
                runtime.attach(format!("{host}-{n}"), "stress.one", config).await.unwrap();
            }
            for n in 0..EVENTS {
                emit(&runtime, "stress.one", &n.to_string()).await;
            }
            let grace = Duration::from_millis(cycle % 4 * 10);
            let report = if cycle % 5 == 4 {
                // No call shuts it down: it ends with its last handle.
                drop(runtime);
                None
            } else {
                let described = || runtime.emitters();
                let report = within("shutdown", runtime.shutdown(grace)).await;
                for (left, described) in report.emitters.iter().zip(described()) {
                    assert_eq!(left.id, described.id);
                    let settled =
                        described.delivered_since_start + described.dead_lettered_since_start;
                    assert_eq!(left.pending + settled, EVENTS, "{cycle}: {left:?}");
                    assert_eq!(described.depth, left.pending);
                }
                Some(report)
            };
            if let Some(report) = report {
                assert_eq!(report.emitters.len(), 20);
                let hanging =
                    report.emitters.iter().filter(|it| it.id.as_str().starts_with("hangs"));
                assert!(hanging.map(|left| left.pending).all(|pending| pending == EVENTS));
                assert_eq!((transport.in_flight(), transport.sessions_open()), (0, 0));
            } else {
                let ended = |list: &[bugle_testkit::Attempted]| {
                    list.iter().all(|attempted| attempted.ended.is_some())
                };
                transport.wait_until(support::DEADLINE, ended).await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn emit_from_everywhere_reaches_everyone_in_one_order() {
    const TASKS: u64 = 8;
    const EVENTS: u64 = 250;
    assert_no_leaks(async {
        let transport = ScriptedTransport::new();
        let runtime = Runtime::builder().transport(transport.clone()).start().await.unwrap();
        let ids: Vec<String> = (0..10).map(|n| format!("emitter-{n}")).collect();
        for id in &ids {
            // It parks and wakes all the time: no wake may be lost.
            let config = config("https://steady.test/").idle_timeout(Duration::from_micros(50));
            runtime.attach(id, "stress.one", config).await.unwrap();
        }
        let runtime = Arc::new(runtime);
        let tasks: Vec<_> = (0..TASKS)
            .map(|task| {
                let runtime = Arc::clone(&runtime);
                tokio::spawn(async move {
                    let mut last = None;
                    for n in 0..EVENTS {
                        let receipt = emit(&runtime, "stress.one", &format!("{task}-{n}")).await;
                        if n % 10 == task {
                            receipt.settled().await;
                        }
                        last = Some(receipt);
                    }
                    fates(&last.unwrap()).await
                })
            })
            .collect();
        for task in tasks {
            let fates = within("a task", task).await.unwrap();
            assert!(fates.iter().all(|(_, fate)| *fate == Some(Fate::Delivered)));
        }
        let order_of = |id: &str| -> Vec<u64> {
            transport.attempts_of(id).iter().map(|attempted| attempted.sequence.0).collect()
        };
        let expected: Vec<u64> = (1..=TASKS * EVENTS).collect();
        for id in &ids {
            assert_eq!(order_of(id), expected, "{id}: each once, in the journal's order");
        }
        assert!(runtime.shutdown(Duration::from_secs(10)).await.is_clean());
    })
    .await;
}
