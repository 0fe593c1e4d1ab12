//! The scene: receivers on loopback, four emitters, and a stream of events.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bugle::{EmitError, EmitterConfig, Event, HandlerConfig, RestartBudget, RetryPolicy, Runtime};
use http::StatusCode;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::error::CliError;
use crate::server::{self, Answer, Answering, Arrived};

/// The emitter whose receiver is healthy.
pub(super) const STEADY: &str = "steady";
/// The emitter whose receiver fails a third of the time.
pub(super) const FLAKY: &str = "flaky";
/// The emitter whose receiver hangs.
pub(super) const HANGING: &str = "hanging";
/// The emitter whose handler panics.
pub(super) const PANICKING: &str = "panicking";

/// The panic message of the handler on the poison event.
pub(super) const POISONED: &str = "this order makes no sense";
/// The panic message of the handler on every event of the storm.
pub(super) const IN_THE_STORM: &str = "the order book is closed";

/// The time between two events.
const EVERY: Duration = Duration::from_millis(10);

/// The subscription of every emitter.
const ORDERS: &str = "order.*";

/// The payload of an event.
#[derive(Serialize)]
struct Order {
    number: u64,
    total: f64,
}

/// Everything that plays a part.
pub(super) struct Scene {
    pub(super) runtime: Runtime,
    pub(super) started: Instant,
    /// While set, the handler panics on every event.
    pub(super) storm: Arc<AtomicBool>,
    /// The number of crashes that each emitter may have, and in which time.
    pub(super) budget: RestartBudget,
    emitted: Arc<AtomicU64>,
    emitting: AbortHandle,
    receivers: watch::Sender<bool>,
}

/// The ways in which a receiver treats webhooks.
enum Manners {
    Accepts,
    FailsEveryThird(AtomicU64),
    Hangs,
}

impl Answering for Manners {
    type Claim = ();

    async fn answer(&self, _: &Arrived) -> (Answer, ()) {
        let answer = match self {
            Self::FailsEveryThird(seen) if seen.fetch_add(1, Ordering::Relaxed) % 3 == 2 => {
                Answer::Status(StatusCode::INTERNAL_SERVER_ERROR)
            }
            Self::Accepts | Self::FailsEveryThird(_) => Answer::Status(StatusCode::NO_CONTENT),
            Self::Hangs => Answer::Hang,
        };
        (answer, ())
    }

    fn answered(&self, _: &Arrived, _: &Answer, (): ()) {}
}

impl Scene {
    /// Starts everything, with delays that fit into a story of this length.
    pub(super) async fn set(length: Duration) -> Result<Self, CliError> {
        let mut budget = RestartBudget::new(3, length / 8);
        // Long enough to be seen.
        budget.first_delay = length / 200;
        let runtime =
            Runtime::builder().restart_budget(budget).start().await.map_err(CliError::system)?;
        let (receivers, stop) = watch::channel(false);
        let manners = [
            (STEADY, Manners::Accepts),
            (FLAKY, Manners::FailsEveryThird(AtomicU64::new(0))),
            (HANGING, Manners::Hangs),
        ];
        for (id, manners) in manners {
            let hangs = matches!(manners, Manners::Hangs);
            let config = config(start(manners, &stop).await?)?;
            let config = match hangs {
                true => config.max_attempts(2).request_timeout(length / 20),
                false => config.max_attempts(5),
            };
            runtime.attach(id, ORDERS, config).await.map_err(CliError::system)?;
        }
        let storm = Arc::new(AtomicBool::new(false));
        let handler = Handler { storm: Arc::clone(&storm) };
        runtime
            .attach_handler(
                PANICKING,
                [ORDERS],
                move |event: Arc<Event>| handler.handle(&event),
                HandlerConfig::default().retry(quick_retries()),
            )
            .await
            .map_err(CliError::system)?;
        let emitted = Arc::new(AtomicU64::new(0));
        let emitting = tokio::spawn(emit_without_end(runtime.clone(), Arc::clone(&emitted)));
        Ok(Self {
            runtime,
            started: Instant::now(),
            storm,
            budget,
            emitted,
            emitting: emitting.abort_handle(),
            receivers,
        })
    }

    /// The number of events that were emitted.
    pub(super) fn emitted(&self) -> u64 {
        self.emitted.load(Ordering::SeqCst)
    }

    /// Emits an event that the handler can't take.
    pub(super) async fn emit_poison(&self) -> Result<(), EmitError> {
        emit(&self.runtime, "order.impossible", &self.emitted).await
    }

    /// Stops emitting.
    pub(super) fn stop_emitting(&self) {
        self.emitting.abort();
    }

    /// Shuts everything down.
    pub(super) async fn strike(self, grace: Duration) {
        self.stop_emitting();
        self.runtime.shutdown(grace).await;
        self.receivers.send_replace(true);
    }
}

/// The handler in the process, with what makes it panic.
struct Handler {
    storm: Arc<AtomicBool>,
}

impl Handler {
    #[expect(clippy::panic, reason = "that it panics, and that this is contained, is the story")]
    fn handle(&self, event: &Event) -> std::future::Ready<Result<(), Infallible>> {
        if event.name == "order.impossible" {
            std::panic::panic_any(POISONED);
        }
        if self.storm.load(Ordering::SeqCst) {
            std::panic::panic_any(IN_THE_STORM);
        }
        std::future::ready(Ok(()))
    }
}

async fn start(manners: Manners, stop: &watch::Receiver<bool>) -> Result<SocketAddr, CliError> {
    let nowhere = |error| CliError::system(format!("loopback can't be listened on: {error}"));
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = server::bind(any_port).await.map_err(nowhere)?;
    let address = listener.local_addr().map_err(nowhere)?;
    tokio::spawn(server::serve(listener, Arc::new(manners), false, stop.clone()));
    Ok(address)
}

fn config(address: SocketAddr) -> Result<EmitterConfig, CliError> {
    let config =
        EmitterConfig::new(format!("http://{address}/orders")).map_err(CliError::system)?;
    Ok(config.allow_private_destinations().retry(quick_retries()))
}

fn quick_retries() -> RetryPolicy {
    RetryPolicy::exponential(Duration::from_millis(5), Duration::from_millis(500))
}

async fn emit_without_end(runtime: Runtime, emitted: Arc<AtomicU64>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        if emit(&runtime, "order.placed", &emitted).await.is_err() {
            return;
        }
    }
}

async fn emit(runtime: &Runtime, name: &str, emitted: &AtomicU64) -> Result<(), EmitError> {
    let number = emitted.load(Ordering::SeqCst) + 1;
    runtime.emit(name, &Order { number, total: 12.5 }).await?;
    emitted.fetch_add(1, Ordering::SeqCst);
    Ok(())
}
