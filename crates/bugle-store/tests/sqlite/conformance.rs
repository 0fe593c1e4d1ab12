//! It does what every store does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bugle_core::Store as Ports;
use bugle_store::{SqliteOptions, Store};
use bugle_testkit::conformance::StoreLimits;

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

fn limited(limits: StoreLimits) -> SqliteOptions {
    SqliteOptions::new()
        .max_events_per_subscription(limits.max_events_per_subscription)
        .max_bytes(limits.max_bytes)
        .overflow(limits.overflow)
        .attempt_policy(limits.attempt_policy)
}

async fn usual(limits: StoreLimits) -> Arc<dyn Ports> {
    open(limited(limits)).into()
}

/// The same where next to nothing stays, in memory or on disk.
async fn forgetful(limits: StoreLimits) -> Arc<dyn Ports> {
    open(limited(limits).cached_bytes(100).settled_events(1_000)).into()
}

mod as_usual {
    bugle_testkit::store_conformance!(super::super::usual);
    mod its_limits {
        bugle_testkit::store_limits_conformance!(super::super::usual);
    }
}

mod reading_back {
    bugle_testkit::store_conformance!(super::super::forgetful);
    mod its_limits {
        bugle_testkit::store_limits_conformance!(super::super::forgetful);
    }
}
