//! The service that is killed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bugle::{
    AttachError, AttemptLogPolicy, DeadLetterQuery, EmitOptions, EmitterConfig, RetryPolicy,
    Runtime, SqliteOptions, Store,
};
use bugle_testkit::end_with_parent;
use fastrand::Rng;
use futures_util::StreamExt;
use serde_json::json;
use tokio::task::JoinSet;

use crate::cast::{ATTEMPTS, CAST, FLAKY, Id, MOODY, NAMES, NOMAD, Role};

/// The orders to a service for one life.
#[derive(Debug, Clone)]
pub(crate) struct Orders {
    directory: PathBuf,
    url: String,
    life: u32,
    /// The life that its configuration names, so that each life has another configuration. It
    /// differs from its own only where its emitters must be configured exactly as in that life.
    pub(crate) named: u32,
    seed: u64,
    /// The number of callers that emit at once. With none, it delivers the events that are left,
    /// and ends.
    pub(crate) callers: u32,
    /// The time after which it ends by itself.
    pub(crate) shut_down_after: Option<Duration>,
    /// The size of a large payload.
    pub(crate) large: usize,
}

const ORDERS: &str = "BUGLE_CRASH_ORDERS";

impl Orders {
    pub(crate) fn new(directory: &Path, url: &str, life: u32, seed: u64) -> Self {
        let (directory, url) = (directory.to_owned(), url.to_owned());
        let (named, callers, large) = (life, 4, 20_000);
        Self { directory, url, life, named, seed, callers, shut_down_after: None, large }
    }

    pub(crate) fn write(&self, command: &mut Command) {
        let orders = json!({
            "directory": self.directory,
            "url": self.url,
            "life": self.life,
            "named": self.named,
            "seed": self.seed,
            "callers": self.callers,
            "shut_down_after": self.shut_down_after.map(|after| after.as_millis() as u64),
            "large": self.large,
        });
        command.env(ORDERS, orders.to_string());
    }

    fn read() -> Option<Self> {
        let orders: serde_json::Value = serde_json::from_str(&std::env::var(ORDERS).ok()?).unwrap();
        let number = |name: &str| orders[name].as_u64();
        Some(Self {
            directory: orders["directory"].as_str().unwrap().into(),
            url: orders["url"].as_str().unwrap().to_owned(),
            life: number("life").unwrap() as u32,
            named: number("named").unwrap() as u32,
            seed: number("seed").unwrap(),
            callers: number("callers").unwrap() as u32,
            shut_down_after: number("shut_down_after").map(Duration::from_millis),
            large: number("large").unwrap() as usize,
        })
    }

    fn rng(&self, task: u32) -> Rng {
        Rng::with_seed(self.seed ^ (u64::from(task) << 32) ^ u64::from(self.life))
    }

    fn config(&self, role: &Role) -> EmitterConfig {
        let retry = RetryPolicy::exponential(Duration::from_millis(1), Duration::from_millis(1));
        // Only poison is given up on: any other failure passes after a while.
        let attempts = if role.id == FLAKY { ATTEMPTS } else { 1_000 };
        EmitterConfig::new(format!("{}{}", self.url, role.id))
            .unwrap()
            .allow_private_destinations()
            .header("x-life", self.named.to_string())
            .order(role.order)
            .retry(retry.jitter(0.0).max_attempts(attempts))
    }

    /// Attaches an emitter. On a full disk it tries until there is space, unless it is to deliver
    /// the events that are left.
    async fn attach(&self, runtime: &Runtime, role: &Role) {
        loop {
            match runtime.attach_many(role.id, role.names, self.config(role)).await {
                Err(AttachError::Store(error)) => {
                    say(format_args!("refused attach {} {error}", role.id));
                    if self.callers == 0 {
                        return;
                    }
                }
                // It could not be detached, as the disk is full.
                Ok(()) | Err(AttachError::AlreadyExists(_)) => return,
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Prints a line for the parent. The parent reads whole lines, so it knows everything that was
/// said.
fn say(what: std::fmt::Arguments<'_>) {
    println!("> {what}");
}

pub(crate) fn run() {
    let Some(orders) = Orders::read() else { return };
    end_with_parent().unwrap();
    // The test harness leaves a line open.
    println!();
    let orders = Arc::new(orders);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(live(orders));
}

async fn live(orders: Arc<Orders>) {
    // As little as possible is kept, so that something is deleted all the time; and few events may
    // wait, so that callers are held back and deliveries keep up.
    let options = SqliteOptions::new()
        .settled_events(0)
        .segment_bytes(1 << 20)
        .attempts(0)
        .attempt_policy(AttemptLogPolicy::All)
        .max_events_per_subscription(400);
    let store = Store::open_with(&orders.directory, options).unwrap();
    let runtime = Runtime::builder().store(store).start().await.unwrap();
    for role in &CAST {
        orders.attach(&runtime, role).await;
    }
    if orders.callers == 0 {
        drain(&runtime).await;
        return;
    }
    say(format_args!("ready"));
    let stop = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for caller in 1..=orders.callers {
        tasks.spawn(emit(Arc::clone(&orders), runtime.clone(), caller, Arc::clone(&stop)));
    }
    tasks.spawn(meddle(Arc::clone(&orders), runtime.clone(), Arc::clone(&stop)));
    if let Some(after) = orders.shut_down_after {
        tokio::time::sleep(after).await;
        stop.store(true, Ordering::Relaxed);
    }
    tasks.join_all().await;
    let report = runtime.shutdown(Duration::from_secs(20)).await;
    assert_eq!(report.aborted(), 0, "{report:?}");
}

/// Emits without end. The lines before and after are the child's side of the ledger.
async fn emit(orders: Arc<Orders>, runtime: Runtime, caller: u32, stop: Arc<AtomicBool>) {
    let mut rng = orders.rng(caller);
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let id = Id { life: orders.life, caller, number };
        let name = *rng.choice(&NAMES).unwrap();
        let key = rng.u32(..6);
        let size = if rng.u32(..20) == 0 { orders.large } else { rng.usize(..1_500) };
        let payload = json!({ "id": id.to_string(), "filler": "x".repeat(size) });
        let options = EmitOptions::new().request_id(id.to_string()).key(key.to_string());
        say(format_args!("emit {id} {name} {key}"));
        match runtime.emit_with(name, &payload, options).await {
            Ok(receipt) => say(format_args!("accepted {id} {}", receipt.sequence())),
            Err(error) => {
                say(format_args!("refused {id} {error}"));
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        if rng.u32(..8) == 0 {
            tokio::time::sleep(Duration::from_micros(rng.u64(..3_000))).await;
        }
    }
}

/// Pauses, restarts, detaches and attaches without end.
async fn meddle(orders: Arc<Orders>, runtime: Runtime, stop: Arc<AtomicBool>) {
    let mut rng = orders.rng(0);
    let nomad = CAST.iter().find(|role| role.id == NOMAD).unwrap();
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_micros(rng.u64(1_000..40_000))).await;
        if rng.u32(..3) > 0 {
            let _ = runtime.pause(MOODY).await;
            tokio::time::sleep(Duration::from_micros(rng.u64(..5_000))).await;
            let _ = runtime.restart(MOODY).await;
        } else {
            say(format_args!("detach"));
            // The error is expected where its files fail.
            let _ = runtime.detach(NOMAD).await;
            orders.attach(&runtime, nomad).await;
            say(format_args!("attached"));
        }
    }
}

/// Waits until everything is settled, and prints the dead letters.
async fn drain(runtime: &Runtime) {
    let mut watch = runtime.watch();
    while runtime.emitters().iter().any(|emitter| emitter.depth > 0) {
        let _ = tokio::time::timeout(Duration::from_millis(100), watch.next()).await;
    }
    let mut letters = std::pin::pin!(runtime.dead_letters().query(DeadLetterQuery::new()));
    while let Some(letter) = letters.next().await {
        let letter = letter.unwrap();
        let (emitter, id) = (&letter.emitter, letter.request_id());
        say(format_args!("dead {emitter} {id} {}", letter.attempts));
    }
    let report = runtime.shutdown(Duration::from_secs(20)).await;
    match &report.flush_error {
        // On a full disk everything is delivered, but can't be recorded as settled.
        Some(error) => say(format_args!("unwritten {error}")),
        None => assert!(report.is_clean(), "{report:?}"),
    }
}
