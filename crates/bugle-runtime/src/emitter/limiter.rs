//! The rate limiter of an emitter: governor's, on tokio's clock, so that paused time drives it too.

use std::num::NonZeroU32;
use std::time::Duration;

use bugle_core::RateLimit;
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

#[derive(Debug, Clone, Copy)]
struct TokioClock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct TokioInstant(Instant);

impl Reference for TokioInstant {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.into()).unwrap_or(self.0))
    }
}

impl std::ops::Add<Nanos> for TokioInstant {
    type Output = Self;
    fn add(self, nanos: Nanos) -> Self {
        Self(self.0 + Duration::from(nanos))
    }
}

impl Clock for TokioClock {
    type Instant = TokioInstant;
    fn now(&self) -> TokioInstant {
        TokioInstant(Instant::now())
    }
}

type Governor = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<TokioInstant>>;

/// One emitter's limiter.
#[derive(Debug)]
pub(crate) struct Limiter {
    governor: Governor,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit) -> Self {
        // It was checked: an interval is at least a microsecond, and a burst not zero.
        let burst = NonZeroU32::new(limit.burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(limit.interval())
            .unwrap_or(Quota::per_second(NonZeroU32::MAX))
            .allow_burst(burst);
        Self { governor: RateLimiter::direct_with_clock(quota, TokioClock) }
    }

    /// Waits until one more attempt is allowed.
    pub(crate) async fn allow(&self) {
        while let Err(not_yet) = self.governor.check() {
            let now = TokioInstant(Instant::now());
            tokio::time::sleep(not_yet.wait_time_from(now)).await;
        }
    }
}
