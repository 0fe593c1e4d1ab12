//! A transport without a network, for tests on paused time.

mod act;
mod attempted;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{BoxFuture, ConfigError, Delivery, EmitterConfig, Outcome, Session, Transport};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use crate::TimedOut;
use crate::gate::{Gate, Gates};
use attempted::Attempts;

pub use act::Act;
pub use attempted::{Attempted, Ending};

/// A [`Transport`] without a network: a script decides the outcome of each attempt, by URL or host,
/// and every attempt is recorded. It reads no clock but tokio's, so with
/// `#[tokio::test(start_paused = true)]` hours of retries pass in an instant, always in the same
/// order.
///
/// Like a real transport it holds every attempt to its emitter's `request_timeout`. It makes no
/// requests, so it checks no destination and signs nothing.
///
/// ```
/// use std::time::Duration;
/// use bugle_testkit::{Act, ScriptedTransport};
///
/// let transport = ScriptedTransport::new(); // delivers everything at once
/// transport
///     .at("https://billing.test/hooks")
///     .then(Act::status(500))
///     .then(Act::hang())
///     .otherwise(Act::deliver().after(Duration::from_millis(20)));
/// transport.at("down.test").otherwise(Act::refuse());
/// // Runtime::builder().transport(transport.clone()) …
/// ```
#[derive(Clone)]
pub struct ScriptedTransport {
    shared: Arc<TransportState>,
}

struct TransportState {
    scripts: Mutex<HashMap<Target, ActScript>>,
    attempts: Mutex<Attempts>,
    changed: watch::Sender<()>,
    gates: Arc<Gates>,
}

/// The receivers that a script is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Target {
    Url(Url),
    Host(String),
    Everyone,
}

type ActChoice = Arc<dyn Fn(&Attempted) -> Act + Send + Sync>;

#[derive(Default)]
struct ActScript {
    in_order: VecDeque<Act>,
    choice: Option<ActChoice>,
    default: Option<Act>,
}

/// The place of the act for an attempt that is about to start.
enum Found {
    Act(Act),
    Choice(ActChoice),
}

impl ActScript {
    fn next(&mut self) -> Option<Found> {
        if let Some(act) = self.in_order.pop_front() {
            return Some(Found::Act(act));
        }
        let choice = self.choice.clone().map(Found::Choice);
        choice.or_else(|| self.default.clone().map(Found::Act))
    }
}

impl Default for ScriptedTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl ScriptedTransport {
    /// Makes a transport that delivers everything at once, until it gets a script.
    pub fn new() -> Self {
        let shared = TransportState {
            scripts: Mutex::default(),
            attempts: Mutex::default(),
            changed: watch::Sender::new(()),
            gates: Gates::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The script of one URL, or of all URLs of one host that have none of their own.
    pub fn at(&self, url_or_host: &str) -> TransportScript<'_> {
        let target = match Url::parse(url_or_host) {
            Ok(url) if url.has_host() => Target::Url(url),
            _ => Target::Host(url_or_host.to_ascii_lowercase()),
        };
        TransportScript { transport: self, target }
    }

    /// The script of all URLs that have none of their own.
    pub fn everywhere(&self) -> TransportScript<'_> {
        TransportScript { transport: self, target: Target::Everyone }
    }

    /// Holds every attempt back until the gate is dropped: it starts, and is in flight, but ends
    /// only at its deadline.
    pub fn hold(&self) -> Gate {
        self.shared.gates.close_one()
    }

    /// The attempts so far, in the order in which they started.
    pub fn attempts(&self) -> Vec<Attempted> {
        self.shared.attempts.lock().list.clone()
    }

    /// The attempts of one emitter, in the order in which they started.
    pub fn attempts_of(&self, emitter: &str) -> Vec<Attempted> {
        let attempts = self.shared.attempts.lock();
        attempts.list.iter().filter(|attempted| attempted.emitter == *emitter).cloned().collect()
    }

    /// The number of attempts that are in flight now.
    pub fn in_flight(&self) -> usize {
        self.shared.attempts.lock().in_flight
    }

    /// The largest number of attempts that were in flight at once.
    pub fn most_in_flight(&self) -> usize {
        self.shared.attempts.lock().most_in_flight
    }

    /// The largest number of attempts of one emitter that were in flight at once.
    pub fn most_in_flight_of(&self, emitter: &str) -> usize {
        let attempts = self.shared.attempts.lock();
        let of_emitter = attempts.list.iter().filter(|attempted| attempted.emitter == *emitter);
        of_emitter.map(|attempted| attempted.concurrent).max().unwrap_or(0)
    }

    /// The number of sessions that were opened.
    pub fn sessions_opened(&self) -> u64 {
        self.shared.attempts.lock().sessions_opened
    }

    /// The number of sessions that are open now.
    pub fn sessions_open(&self) -> u64 {
        self.shared.attempts.lock().sessions_open
    }

    /// Waits until this many attempts have started, and returns all that have by then.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline, by the clock of the test, passes first.
    pub async fn wait_for(
        &self,
        attempts: usize,
        deadline: Duration,
    ) -> Result<Vec<Attempted>, TimedOut> {
        let what = format!("{attempts} attempts");
        self.wait(&what, deadline, |list| list.len() >= attempts).await?;
        Ok(self.attempts())
    }

    /// Waits until the condition holds for the attempts. It is tested whenever one starts or ends,
    /// and must use nothing else of this transport.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline, by the clock of the test, passes first.
    pub async fn wait_until(
        &self,
        deadline: Duration,
        condition: impl FnMut(&[Attempted]) -> bool,
    ) -> Result<(), TimedOut> {
        self.wait("what was waited for", deadline, condition).await
    }

    async fn wait(
        &self,
        what: &str,
        deadline: Duration,
        mut condition: impl FnMut(&[Attempted]) -> bool,
    ) -> Result<(), TimedOut> {
        let mut changed = self.shared.changed.subscribe();
        let happened = tokio::time::timeout(deadline, async {
            while !condition(&self.shared.attempts.lock().list) {
                // The sender lives as long as this.
                let _ = changed.changed().await;
            }
        });
        happened
            .await
            .map_err(|_| TimedOut::new(what, deadline, self.shared.attempts.lock().summary()))
    }
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScriptedTransport({})", self.shared.attempts.lock().summary())
    }
}

/// The script of one URL, one host, or all. It may grow while the test runs.
#[derive(Debug)]
pub struct TransportScript<'a> {
    transport: &'a ScriptedTransport,
    target: Target,
}

impl TransportScript<'_> {
    /// Adds an act to those that happen in order, one for each attempt.
    pub fn then(self, act: Act) -> Self {
        self.change(|script| script.in_order.push_back(act))
    }

    /// Adds the same act a number of times.
    pub fn then_times(self, times: usize, act: Act) -> Self {
        self.change(|script| script.in_order.extend(std::iter::repeat_n(act, times)))
    }

    /// Sets the act for every attempt after those in order. Default: the next wider script decides,
    /// and in the end it is a delivery.
    pub fn otherwise(self, act: Act) -> Self {
        self.change(|script| script.default = Some(act))
    }

    /// Chooses the act by the attempt, once those in order are used up.
    pub fn choose(self, choice: impl Fn(&Attempted) -> Act + Send + Sync + 'static) -> Self {
        self.change(|script| script.choice = Some(Arc::new(choice)))
    }

    fn change(self, change: impl FnOnce(&mut ActScript)) -> Self {
        change(self.transport.shared.scripts.lock().entry(self.target.clone()).or_default());
        self
    }
}

impl TransportState {
    fn change<T>(&self, change: impl FnOnce(&mut Attempts) -> T) -> T {
        let value = change(&mut self.attempts.lock());
        self.changed.send_replace(());
        value
    }

    /// The act for this attempt, from the narrowest script that has one.
    fn act_for(&self, attempted: &Attempted) -> Act {
        let host = attempted.url.host_str().unwrap_or_default().to_owned();
        let targets = [Target::Url(attempted.url.clone()), Target::Host(host), Target::Everyone];
        let found = {
            let mut scripts = self.scripts.lock();
            targets.iter().find_map(|target| scripts.get_mut(target)?.next())
        };
        match found {
            Some(Found::Act(act)) => act,
            Some(Found::Choice(choice)) => choice(attempted),
            None => Act::deliver(),
        }
    }
}

impl Transport for ScriptedTransport {
    fn open(&self, config: &Arc<EmitterConfig>) -> Result<Box<dyn Session>, ConfigError> {
        self.shared.change(|attempts| {
            attempts.sessions_opened += 1;
            attempts.sessions_open += 1;
        });
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(ScriptedSession { shared, config: Arc::clone(config) }))
    }
}

struct ScriptedSession {
    shared: Arc<TransportState>,
    config: Arc<EmitterConfig>,
}

impl Session for ScriptedSession {
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let started = Instant::now();
            let attempted = Attempted::new(delivery, self.config.url.clone());
            let act = self.shared.act_for(&attempted);
            let index = self.shared.change(|attempts| attempts.start(attempted));
            let in_flight = InFlight { shared: &self.shared, index, outcome: None };

            let playing = async {
                self.shared.gates.all_open().await;
                act.play(&self.config).await
            };
            let mut outcome = tokio::time::timeout(self.config.request_timeout, playing)
                .await
                .unwrap_or_else(|_| act::timed_out(&self.config));
            outcome.exchange.elapsed.total = started.elapsed();
            in_flight.end(outcome)
        })
    }
}

impl Drop for ScriptedSession {
    fn drop(&mut self) {
        self.shared.change(|attempts| attempts.sessions_open -= 1);
    }
}

/// An attempt that counts as in flight until this is dropped, and as aborted without an outcome.
struct InFlight<'a> {
    shared: &'a TransportState,
    index: usize,
    outcome: Option<Outcome>,
}

impl InFlight<'_> {
    fn end(mut self, outcome: Outcome) -> Outcome {
        self.outcome = Some(outcome.clone());
        outcome
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let outcome = self.outcome.take();
        self.shared.change(|attempts| attempts.end(self.index, outcome.as_ref()));
    }
}
