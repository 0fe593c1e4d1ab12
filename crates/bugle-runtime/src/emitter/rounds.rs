//! The courier's rounds: it asks its lane for the next step, and does it, until there is a reason
//! to end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bugle_core::{AttemptCode, Delivery, Exchange, Failure, Order, Outcome, Session, Step};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tracing::Instrument;

use crate::emitter::courier::Courier;
use crate::emitter::limiter::Limiter;
use crate::emitter::message::Exit;
use crate::words::log::attempt_span;

impl Courier {
    /// Works until there is a reason to end.
    pub(crate) async fn run(mut self) -> Exit {
        let work = async {
            match self.target.order() {
                Order::Strict => self.one_by_one().await,
                _ => self.in_a_window().await,
            }
        };
        let exit = match AssertUnwindSafe(work).catch_unwind().await {
            Ok(Ok(exit) | Err(exit)) => exit,
            Err(panic) => self.panicked(&panic_text(panic.as_ref())).await,
        };
        self.spec.counters.in_flight.store(0, Ordering::Relaxed);
        self.spec.state.lock().waiting_for = None;
        exit
    }

    /// A panic: the attempt that is awaited right now is to blame, if there is one.
    async fn panicked(&mut self, words: &str) -> Exit {
        if let Some(delivery) = self.current.take()
            && let Err(exit) = self.conclude(delivery, crashed(words), self.now()).await
        {
            return exit;
        }
        Exit::Crashed(words.to_owned())
    }

    /// Strict order: each attempt is awaited where it is made.
    async fn one_by_one(&mut self) -> Result<Exit, Exit> {
        let mut now = self.now();
        loop {
            if self.is_finishing() {
                return Ok(Exit::Finished);
            }
            match self.lane.next(now) {
                Step::Load { after, limit } => self.load(after, limit).await?,
                Step::Send { entry, attempt }
                    if self.is_in_doubt(entry.sequence, attempt)
                        && self.is_settled(entry.sequence).await? =>
                {
                    self.lane.taken(entry.sequence);
                }
                Step::Send { entry, .. } if entry.damage.is_some() => self.give_up(entry).await?,
                Step::Send { entry, attempt } => {
                    let session = self.session()?;
                    if let Some(limiter) = &self.limiter {
                        limiter.allow().await;
                    }
                    let delivery = self.begin(entry, attempt);
                    let delivery = self.current.insert(delivery);
                    let attempt = session.deliver(delivery);
                    let outcome = match attempt_span(delivery) {
                        None => attempt.await,
                        Some(span) => attempt.instrument(span).await,
                    };
                    now = self.now();
                    if let Some(delivery) = self.current.take() {
                        self.conclude(delivery, outcome, now).await?;
                    }
                }
                Step::Wait { wakeable: true, .. } if !self.listening => self.listen(),
                Step::Wait { until, .. } => {
                    self.wait(until).await;
                    now = self.now();
                }
                Step::Drained => {
                    if let Some(exit) = self.park().await {
                        return Ok(exit);
                    }
                    now = self.now();
                }
            }
            tokio::task::coop::consume_budget().await;
        }
    }

    /// A window: several attempts at once, each concluded as it finishes.
    async fn in_a_window(&mut self) -> Result<Exit, Exit> {
        let mut in_flight = FuturesUnordered::new();
        loop {
            let finishing = self.is_finishing();
            if finishing && in_flight.is_empty() {
                return Ok(Exit::Finished);
            }
            let step = if finishing {
                Step::Wait { until: None, wakeable: false }
            } else {
                self.lane.next(self.now())
            };
            match step {
                Step::Load { after, limit } => self.load(after, limit).await?,
                Step::Send { entry, attempt }
                    if self.is_in_doubt(entry.sequence, attempt)
                        && self.is_settled(entry.sequence).await? =>
                {
                    self.lane.taken(entry.sequence);
                }
                Step::Send { entry, .. } if entry.damage.is_some() => self.give_up(entry).await?,
                Step::Send { entry, attempt } => {
                    let session = self.session()?;
                    let delivery = self.begin(entry, attempt);
                    in_flight.push(attempt_beside(session, self.limiter.clone(), delivery));
                }
                Step::Wait { wakeable: true, .. } if !self.listening => self.listen(),
                Step::Wait { until, .. } => {
                    tokio::select! {
                        biased;
                        Some((delivery, outcome)) = in_flight.next() => {
                            self.conclude(delivery, outcome, self.now()).await?;
                        }
                        () = self.wait(until) => {}
                    }
                }
                Step::Drained => {
                    if let Some(exit) = self.park().await {
                        return Ok(exit);
                    }
                }
            }
            tokio::task::coop::consume_budget().await;
        }
    }
}

/// One attempt beside others, once the limiter allows it. A panic in it is an outcome: it names the
/// event that is to blame.
async fn attempt_beside(
    session: Arc<dyn Session>,
    limiter: Option<Arc<Limiter>>,
    delivery: Delivery,
) -> (Delivery, Outcome) {
    if let Some(limiter) = limiter {
        limiter.allow().await;
    }
    let attempt = AssertUnwindSafe(session.deliver(&delivery)).catch_unwind();
    let outcome = match attempt_span(&delivery) {
        None => attempt.await,
        Some(span) => attempt.instrument(span).await,
    };
    let outcome = outcome.unwrap_or_else(|panic| crashed(&panic_text(panic.as_ref())));
    (delivery, outcome)
}

fn crashed(words: &str) -> Outcome {
    let failure = Failure::new(AttemptCode::Crashed, words.to_owned());
    Outcome::failed(failure, Exchange::default())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.map_or_else(|| "panicked".to_owned(), |text| format!("panicked: {text}"))
}
