//! The suites that every implementation of the ports runs, ours and yours.
//!
//! Each check is a function that panics when the store does not do what its ports promise; a macro
//! makes a `#[test]` of each, so that the one that fails has a name:
//!
//! ```ignore
//! async fn make(limits: StoreLimits) -> Arc<dyn Store> {
//!     Arc::new(MyStore::open(limits.overflow))
//! }
//! bugle_testkit::store_conformance!(make);
//! bugle_testkit::store_limits_conformance!(make);
//! ```
//!
//! [`store_conformance!`](crate::store_conformance) is for every [`Store`],
//! [`store_limits_conformance!`](crate::store_limits_conformance) for one that bounds its contents.
//! A store is not asked for what it says that it [can't do](bugle_core::Capabilities), nor for a
//! log that it does not have. An answer may come late, and a call that fails for a while is made
//! again, as a caller does it: [`ErrorKind::Transient`] and [`ErrorKind::Unavailable`].
//!
//! [`ErrorKind::Transient`]: bugle_core::ErrorKind::Transient
//! [`ErrorKind::Unavailable`]: bugle_core::ErrorKind::Unavailable

// A check that fails panics: that is what it is for.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc)]

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{
    AttemptLog, AttemptLogPolicy, BoxFuture, DeadLetters, EmitterSpecs, Event, EventLog, EventName,
    Journal, Overflow, Positions, RequestId, Store,
};
use bytes::Bytes;

pub mod attempts;
pub mod events;
pub mod journal;
pub mod limits;
pub mod listening;
mod patient;
pub mod specs;

/// The time that a check may take before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// The limits of a store under test. A check that says nothing of a limit leaves it at a default
/// that it does not reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreLimits {
    /// The number of events that may wait for the emitters of one subscription. Default 100,000.
    pub max_events_per_subscription: usize,
    /// The bytes of payload that may be held. Default 256 MiB.
    pub max_bytes: u64,
    /// The behaviour at a limit. Default [`Overflow::Block`].
    pub overflow: Overflow,
    /// Which attempts are kept. Default [`AttemptLogPolicy::Failures`].
    pub attempt_policy: AttemptLogPolicy,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            max_events_per_subscription: 100_000,
            max_bytes: 256 << 20,
            overflow: Overflow::Block,
            attempt_policy: AttemptLogPolicy::Failures,
        }
    }
}

/// Makes a new, empty store, whose event log, if it has one, keeps 1,000 settled events at least.
pub type MakeStore = dyn Fn(StoreLimits) -> BoxFuture<'static, Arc<dyn Store>> + Send + Sync;

/// A store under test, with the ports that most checks ask.
#[derive(Debug, Clone)]
pub(crate) struct UnderTest {
    pub(crate) store: Arc<dyn Store>,
    journal: Arc<dyn Journal>,
    pub(crate) letters: Arc<dyn DeadLetters>,
    pub(crate) positions: Arc<dyn Positions>,
}

impl Deref for UnderTest {
    type Target = Arc<dyn Journal>;
    fn deref(&self) -> &Arc<dyn Journal> {
        &self.journal
    }
}

impl UnderTest {
    /// Says whether an append whose caller stops waiting is taken back.
    fn takes_back(&self) -> bool {
        self.store.info().capabilities.takes_back
    }
}

/// Makes a store, and asks it as often as it takes.
async fn under_test(make: &MakeStore, limits: StoreLimits) -> UnderTest {
    let store = patient::ask(make(limits).await);
    let (journal, letters) = (store.journal(), store.dead_letters());
    let positions = store.positions();
    UnderTest { store, journal, letters, positions }
}

/// A store with a log of its events; `None` where it keeps none.
async fn with_events(
    make: &MakeStore,
    limits: StoreLimits,
) -> Option<(UnderTest, Arc<dyn EventLog>)> {
    let made = under_test(make, limits).await;
    let events = made.store.events()?;
    Some((made, events))
}

/// A log of attempts with this policy.
async fn log(make: &MakeStore, attempt_policy: AttemptLogPolicy) -> Arc<dyn AttemptLog> {
    let limits = StoreLimits { attempt_policy, ..StoreLimits::default() };
    under_test(make, limits).await.store.attempts()
}

/// The specs of a store; `None` where it keeps none.
async fn specs_of(make: &MakeStore) -> Option<Arc<dyn EmitterSpecs>> {
    under_test(make, StoreLimits::default()).await.store.specs()
}

/// Runs one check on a tokio runtime of its own with two threads, and fails it after a minute.
pub fn run(check: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let done = runtime.block_on(async { tokio::time::timeout(DEADLINE, check).await });
    assert!(done.is_ok(), "the check was not done in {} s", DEADLINE.as_secs());
}

/// Waits for something that comes about by itself.
async fn eventually(what: &str, mut come: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE / 3;
    while !come().await {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::task::yield_now().await;
    }
}

/// An event with a payload of so many bytes.
fn event_of(name: &str, bytes: usize) -> Arc<Event> {
    Arc::new(Event::new(
        EventName::new(name).unwrap(),
        RequestId::random(),
        Bytes::from(vec![b'x'; bytes]),
        jiff::Timestamp::now(),
    ))
}

/// Makes a `#[test]` of each check that every store passes, in a module for each port. It takes an
/// `async fn(StoreLimits) -> Arc<dyn Store>` that makes a new, empty store.
#[macro_export]
macro_rules! store_conformance {
    ($make:expr) => {
        mod the_journal {
            $crate::journal_conformance!($make);
        }
        mod its_listeners {
            $crate::listening_conformance!($make);
        }
        mod the_attempt_log {
            $crate::attempt_log_conformance!($make);
        }
        mod the_event_log {
            $crate::event_log_conformance!($make);
        }
        mod the_specs {
            $crate::emitter_specs_conformance!($make);
        }
    };
}

/// Makes a test of each check.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($suite:ident, $make:expr, $($check:ident)*) => {
        $(
            #[test]
            fn $check() {
                $crate::conformance::run($crate::conformance::$suite::$check(
                    &|wanted| ::std::boxed::Box::pin($make(wanted)),
                ));
            }
        )*
    };
}

#[cfg(test)]
mod tests {
    /// A check that stands in no list would never run.
    #[test]
    fn every_check_is_in_its_list() {
        let suites = [
            concat!(
                include_str!("journal.rs"),
                include_str!("journal/batches.rs"),
                include_str!("journal/lives.rs"),
                include_str!("journal/order.rs"),
                include_str!("journal/owners.rs"),
                include_str!("journal/replays.rs"),
                include_str!("journal/setbacks.rs"),
                include_str!("journal/settling.rs"),
            ),
            concat!(include_str!("limits.rs"), include_str!("limits/batches.rs")),
            include_str!("listening.rs"),
            include_str!("attempts.rs"),
            include_str!("specs.rs"),
            concat!(include_str!("events.rs"), include_str!("events/taking.rs")),
        ];
        for suite in suites {
            let (_, after) = suite.split_once("__conformance_tests!").unwrap();
            let (list, _) = after.split_once('}').unwrap();
            let listed: Vec<&str> = list.split_whitespace().collect();
            let checks = suite.split("pub async fn ").skip(1).filter_map(|it| it.split('(').next());
            for check in checks {
                assert!(listed.contains(&check), "{check} is in no list");
            }
        }
    }
}
