//! It does what every store does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bugle_core::{AttemptLog, AttemptLogPolicy, EmitterSpecs, EventLog, Journal};
use bugle_store::{SqliteOptions, Store};
use bugle_testkit::conformance::JournalLimits;

/// Opens a store in a directory of its own, below one that the next run makes anew.
fn open(options: SqliteOptions) -> Store {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sqlite-conformance");
        // The first time there is none.
        let _ = std::fs::remove_dir_all(&base);
        base
    });
    let directory = base.join(NEXT.fetch_add(1, Ordering::Relaxed).to_string());
    Store::open_with(directory, options).unwrap()
}

async fn journal(limits: JournalLimits) -> Arc<dyn Journal> {
    let options = SqliteOptions::new()
        .max_events_per_subscription(limits.max_events_per_subscription)
        .max_bytes(limits.max_bytes)
        .overflow(limits.overflow);
    open(options).journal()
}

/// The same where next to nothing stays in memory.
async fn forgetful_journal(limits: JournalLimits) -> Arc<dyn Journal> {
    let options = SqliteOptions::new()
        .max_events_per_subscription(limits.max_events_per_subscription)
        .max_bytes(limits.max_bytes)
        .overflow(limits.overflow)
        .cached_bytes(100)
        .settled_events(0);
    open(options).journal()
}

async fn attempts(policy: AttemptLogPolicy) -> Arc<dyn AttemptLog> {
    open(SqliteOptions::new().attempt_policy(policy)).attempts()
}

async fn specs((): ()) -> Arc<dyn EmitterSpecs> {
    open(SqliteOptions::new()).specs().unwrap()
}

async fn events(limits: JournalLimits) -> (Arc<dyn Journal>, Arc<dyn EventLog>) {
    let options =
        SqliteOptions::new().max_events_per_subscription(limits.max_events_per_subscription);
    let store = open(options);
    (store.journal(), store.events())
}

/// The same where next to nothing stays, in memory or on disk.
async fn forgetful_events(limits: JournalLimits) -> (Arc<dyn Journal>, Arc<dyn EventLog>) {
    let options = SqliteOptions::new()
        .max_events_per_subscription(limits.max_events_per_subscription)
        .cached_bytes(100)
        .settled_events(1_000);
    let store = open(options);
    (store.journal(), store.events())
}

mod the_journal {
    bugle_testkit::journal_conformance!(super::journal);
}

mod its_limits {
    bugle_testkit::journal_limits_conformance!(super::journal);
}

mod reading_back {
    bugle_testkit::journal_conformance!(super::forgetful_journal);
}

mod reading_back_at_the_limits {
    bugle_testkit::journal_limits_conformance!(super::forgetful_journal);
}

mod the_attempt_log {
    bugle_testkit::attempt_log_conformance!(super::attempts);
}

mod the_specs {
    bugle_testkit::emitter_specs_conformance!(super::specs);
}

mod the_event_log {
    bugle_testkit::event_log_conformance!(super::events);
}

mod the_event_log_of_a_forgetful_store {
    bugle_testkit::event_log_conformance!(super::forgetful_events);
}
