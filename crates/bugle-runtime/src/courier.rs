//! The courier: the one task that owns an emitter's session and drives its lane.
//!
//! It starts at the first wake and lingers: when drained it parks, and is woken again without a
//! message; after a while idle it gives up the connection, and then itself. Its actor aborts it to
//! pause or stop, and its half-used connection dies with it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bugle_core::{
    AttemptCode, AttemptLog, AttemptLogPolicy, Delivery, Entry, Exchange, Failure, Forgive, Lane,
    Order, Outcome, Reader, Sequence, Session, Step, Transport,
};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::Instrument;

use crate::hindrance::{Asked, Hindrances};
use crate::limiter::Limiter;
use crate::log::attempt_span;
use crate::message::Exit;
use crate::spec::Spec;
use crate::target::Target;
use crate::watch::{RuntimeEvent, Teller};

/// What every courier of a runtime works with.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) attempts: Arc<dyn AttemptLog>,
    pub(crate) teller: Teller,
    /// The start of the time that lanes count in.
    pub(crate) epoch: Instant,
    /// The time of day then.
    pub(crate) epoch_at: Timestamp,
}

impl Tools {
    /// The time of day, as far as this process is concerned: a clock that is set meanwhile changes
    /// no wait of it.
    pub(crate) fn time_of_day(&self, now: Duration) -> Timestamp {
        let elapsed = SignedDuration::try_from(now).unwrap_or(SignedDuration::MAX);
        self.epoch_at.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }
}

/// How an actor asks its courier to end once what is in flight is done.
#[derive(Debug, Default)]
pub(crate) struct FinishFlag(AtomicU8);

impl FinishFlag {
    pub(crate) fn raise(&self) {
        self.0.store(1, Ordering::SeqCst);
    }

    fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 1
    }
}

pub(crate) struct Courier {
    pub(crate) spec: Arc<Spec>,
    /// The emitter's place in the journal, which stays the same as long as there is a courier.
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) tools: Arc<Tools>,
    target: Target,
    /// Which target it is: another one needs another courier.
    retargets: u64,
    finish: Arc<FinishFlag>,
    pub(crate) lane: Lane,
    /// Opened at the first delivery; the connections are its own.
    session: Option<Arc<dyn Session>>,
    limiter: Option<Arc<Limiter>>,
    pub(crate) log_successes: bool,
    /// Whether the doorbell knows that it is about to park.
    listening: bool,
    /// The last place that was read, and the one up to which what was read may have been taken
    /// since, at how many takings.
    read_to: Sequence,
    taken_to: Sequence,
    taken: u64,
    /// The attempt that is awaited where it is made: whom a panic is blamed on.
    current: Option<Delivery>,
    pub(crate) hindrances: Hindrances,
}

impl Courier {
    pub(crate) fn new(spec: Arc<Spec>, tools: Arc<Tools>, finish: Arc<FinishFlag>) -> Self {
        let (target, retargets, has_new_receiver) = {
            let mut state = spec.state.lock();
            let retargets = spec.retargets.load(Ordering::Acquire);
            state.waiting_for = None;
            (state.target.clone(), retargets, std::mem::take(&mut state.has_new_receiver))
        };
        let reader = spec.reader();
        if has_new_receiver {
            reader.forgive(Forgive::Waits);
        }
        let now = tools.epoch.elapsed();
        let at = tools.time_of_day(now);
        let lane = target.lane(&spec.id, reader.cursor());
        let lane = lane.recalling(&reader.setbacks(at), at, now);
        spec.counters.failures_in_a_row.store(lane.failures(), Ordering::Relaxed);
        let limiter = target.rate_limit().map(|limit| Arc::new(Limiter::new(limit)));
        let taken = reader.taken();
        let log_successes = tools.attempts.policy() == AttemptLogPolicy::All;
        Self {
            spec,
            reader,
            tools,
            target,
            retargets,
            finish,
            lane,
            session: None,
            limiter,
            log_successes,
            listening: false,
            read_to: Sequence::START,
            taken_to: Sequence::START,
            taken,
            current: None,
            hindrances: Hindrances::default(),
        }
    }

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
                Step::Load { after, limit } => self.load(after, limit).await,
                Step::Send { entry, attempt } if self.is_taken(entry.sequence, attempt) => {
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
                Step::Load { after, limit } => self.load(after, limit).await,
                Step::Send { entry, attempt } if self.is_taken(entry.sequence, attempt) => {
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

    async fn load(&mut self, after: Sequence, limit: usize) {
        let entries = self.reader.read(after, limit).await;
        let Some(entries) = self.answered(Asked::Read, entries) else { return };
        if self.listening && !entries.is_empty() {
            self.listening = false;
            self.spec.doorbell.busy();
        }
        if let Some(last) = entries.last() {
            self.read_to = self.read_to.max(last.sequence);
        }
        self.lane.loaded(entries);
    }

    /// Whether an entry that was read waits no more, because its event was marked as delivered,
    /// deleted, or too old. Nearly always that is known without a question.
    fn is_taken(&mut self, sequence: Sequence, attempt: u32) -> bool {
        let taken = self.reader.taken();
        if taken != self.taken {
            self.taken = taken;
            self.taken_to = self.read_to;
        }
        (sequence <= self.taken_to || attempt > 1) && self.reader.fate(sequence).is_some()
    }

    pub(crate) fn begin(&self, entry: Entry, attempt: u32) -> Delivery {
        self.spec.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Delivery::new(self.spec.id.clone(), entry.sequence, entry.event, attempt)
            .capturing(self.log_successes)
    }

    fn session(&mut self) -> Result<Arc<dyn Session>, Exit> {
        if let Some(session) = &self.session {
            return Ok(Arc::clone(session));
        }
        let opened = self.target.open(self.tools.transport.as_ref());
        let session: Arc<dyn Session> = opened.map_err(|e| Exit::Crashed(e.to_string()))?.into();
        self.session = Some(Arc::clone(&session));
        Ok(session)
    }

    /// Listens to the bell, and has the lane look once more: something may have been appended
    /// before the bell was listened to.
    fn listen(&mut self) {
        self.listening = true;
        self.spec.doorbell.listen();
        self.lane.woken();
    }

    /// Waits for the time, or for a ring.
    async fn wait(&mut self, until: Option<Duration>) {
        match until {
            Some(until) => {
                let until = self.tools.epoch + until;
                tokio::select! {
                    () = self.spec.doorbell.heard() => self.heard(),
                    () = tokio::time::sleep_until(until) => {}
                }
            }
            None => {
                self.spec.doorbell.heard().await;
                self.heard();
            }
        }
    }

    fn heard(&mut self) {
        if self.listening {
            self.listening = false;
            self.spec.doorbell.busy();
            self.lane.woken();
        }
    }

    /// Everything is settled: listens, looks once more, and parks.
    async fn park(&mut self) -> Option<Exit> {
        if !self.listening {
            self.listen();
            return None;
        }
        self.asks_no_more();
        let emitter = || self.spec.id.clone();
        self.tools.teller.tell_watchers(|| RuntimeEvent::Drained { emitter: emitter() });
        let heard = self.spec.doorbell.heard();
        if tokio::time::timeout(self.target.idle_timeout(), heard).await.is_ok() {
            self.heard();
            return None;
        }
        if self.spec.doorbell.leave() {
            self.tools.teller.tell_watchers(|| RuntimeEvent::Idle { emitter: emitter() });
            return Some(Exit::Idle);
        }
        self.heard();
        None
    }

    fn is_finishing(&self) -> bool {
        self.finish.is_raised() || self.spec.retargets.load(Ordering::Acquire) != self.retargets
    }

    pub(crate) fn now(&self) -> Duration {
        self.tools.epoch.elapsed()
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
