//! The memory store does what every store does.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bugle_core::{AttemptLog, AttemptLogPolicy, EventLog, Journal};
use bugle_store::{MemoryOptions, Store};
use bugle_testkit::conformance::JournalLimits;

async fn journal(limits: JournalLimits) -> Arc<dyn Journal> {
    let options = MemoryOptions::new()
        .max_events_per_subscription(limits.max_events_per_subscription)
        .max_bytes(limits.max_bytes)
        .overflow(limits.overflow);
    Store::memory_with(options).journal()
}

async fn attempts(policy: AttemptLogPolicy) -> Arc<dyn AttemptLog> {
    Store::memory_with(MemoryOptions::new().attempt_policy(policy)).attempts()
}

async fn events(limits: JournalLimits) -> (Arc<dyn Journal>, Arc<dyn EventLog>) {
    let options =
        MemoryOptions::new().max_events_per_subscription(limits.max_events_per_subscription);
    let store = Store::memory_with(options);
    (store.journal(), store.events())
}

mod the_journal {
    bugle_testkit::journal_conformance!(super::journal);
}

mod its_limits {
    bugle_testkit::journal_limits_conformance!(super::journal);
}

mod the_attempt_log {
    bugle_testkit::attempt_log_conformance!(super::attempts);
}

mod the_event_log {
    bugle_testkit::event_log_conformance!(super::events);
}
