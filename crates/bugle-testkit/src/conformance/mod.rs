//! The suites that every implementation of a port runs, ours and yours.
//!
//! Each check is a function that panics when the implementation does not do what the port
//! promises; a macro makes a `#[test]` of each, so that the one that fails has a name:
//!
//! ```ignore
//! async fn make(limits: JournalLimits) -> Arc<dyn Journal> {
//!     Arc::new(MyJournal::open(limits.overflow))
//! }
//! bugle_testkit::journal_conformance!(make);
//! bugle_testkit::journal_limits_conformance!(make);
//! ```
//!
//! [`journal_conformance!`](crate::journal_conformance) and
//! [`journal_limits_conformance!`](crate::journal_limits_conformance) are for a
//! [`Journal`], the second for one that bounds what it holds;
//! [`attempt_log_conformance!`](crate::attempt_log_conformance) is for an
//! [`AttemptLog`], [`event_log_conformance!`](crate::event_log_conformance) for an [`EventLog`],
//! [`emitter_specs_conformance!`](crate::emitter_specs_conformance) for [`EmitterSpecs`].

// A check that fails panics: that is what it is for.
#![allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc)]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bugle_core::{
    AttemptLog, AttemptLogPolicy, BoxFuture, EmitterSpecs, Event, EventLog, EventName, Journal,
    Overflow, RequestId,
};
use bytes::Bytes;

pub mod attempts;
pub mod events;
pub mod journal;
pub mod limits;
pub mod specs;

/// How long a check may take before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a journal under test is to be limited to. A check that says nothing of a limit leaves it
/// at a default that it does not reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalLimits {
    /// How many events may wait for the emitters of one subscription. Default 100,000.
    pub max_events_per_subscription: usize,
    /// How many bytes of payload may be held. Default 256 MiB.
    pub max_bytes: u64,
    /// What happens at a limit. Default [`Overflow::Block`].
    pub overflow: Overflow,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self {
            max_events_per_subscription: 100_000,
            max_bytes: 256 << 20,
            overflow: Overflow::Block,
        }
    }
}

/// Makes a new, empty journal.
pub type MakeJournal = dyn Fn(JournalLimits) -> BoxFuture<'static, Arc<dyn Journal>> + Send + Sync;

/// Makes a new, empty attempt log.
pub type MakeAttemptLog =
    dyn Fn(AttemptLogPolicy) -> BoxFuture<'static, Arc<dyn AttemptLog>> + Send + Sync;

/// Makes a new store of specs that has none.
pub type MakeEmitterSpecs = dyn Fn(()) -> BoxFuture<'static, Arc<dyn EmitterSpecs>> + Send + Sync;
/// Makes a new, empty journal and the log of its events.
pub type MakeEventLog = dyn Fn(JournalLimits) -> BoxFuture<'static, (Arc<dyn Journal>, Arc<dyn EventLog>)>
    + Send
    + Sync;

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
                include_str!("journal/replays.rs"),
                include_str!("journal/setbacks.rs"),
                include_str!("journal/settling.rs"),
            ),
            concat!(include_str!("limits.rs"), include_str!("limits/batches.rs")),
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
