//! The memory store does what every store does, here and behind a line that delays and fails.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bugle_core::Store as Ports;
use bugle_store::{MemoryOptions, Store};
use bugle_testkit::RemoteStore;
use bugle_testkit::conformance::StoreLimits;

async fn here(limits: StoreLimits) -> Arc<dyn Ports> {
    let options = MemoryOptions::new()
        .max_events_per_subscription(limits.max_events_per_subscription)
        .max_bytes(limits.max_bytes)
        .overflow(limits.overflow)
        .attempt_policy(limits.attempt_policy);
    Store::memory_with(options).into()
}

async fn elsewhere(limits: StoreLimits) -> Arc<dyn Ports> {
    Arc::new(RemoteStore::before(here(limits).await, 7))
}

mod in_memory {
    bugle_testkit::store_conformance!(super::super::here);
    mod its_limits {
        bugle_testkit::store_limits_conformance!(super::super::here);
    }
}

mod remote {
    bugle_testkit::store_conformance!(super::super::elsewhere);
    mod its_limits {
        bugle_testkit::store_limits_conformance!(super::super::elsewhere);
    }
}
