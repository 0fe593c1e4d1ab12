//! The waits of an emitter before it sends anything, each with its reason.

use std::time::Duration;

use jiff::Timestamp;

use crate::{RetryPolicy, Setbacks};

/// The first wait after an attempt that counts as none, and the longest. They are short whatever
/// the emitter's own schedule: the emitter waits for this machine, and not for its receiver.
const UNCOUNTED: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// The times before which an emitter sends nothing. They are measured as in [`Lane`](crate::Lane).
#[derive(Debug, Clone, Default)]
pub(crate) struct Waits {
    /// The emitter's failures in a row, across events.
    pub(crate) failures: u32,
    /// The attempts in a row that count as none.
    uncounted: u32,
    /// The number of this backoff: several failures of one moment count as one.
    pub(crate) backoff: u64,
    /// Nothing is sent before this time, unless a success shows that the receiver is well.
    backoff_until: Duration,
    /// Nothing is sent before this time: the receiver asked for it.
    asked_until: Duration,
    /// Nothing is sent or read before this time: the store does not do its part.
    pub(crate) held_until: Duration,
}

impl Waits {
    /// The waits of a lane that goes on from an emitter's setbacks, as of this time of day, and no
    /// longer than these settings allow.
    pub(crate) fn recalled(
        setbacks: &Setbacks,
        at: Timestamp,
        now: Duration,
        longest: Duration,
        longest_asked: Duration,
    ) -> Self {
        let until = |wait: Duration| match wait {
            Duration::ZERO => Duration::ZERO,
            wait => now.saturating_add(wait),
        };
        Self {
            failures: setbacks.failures(),
            backoff_until: until(setbacks.backoff(at).min(longest)),
            asked_until: until(setbacks.asked(at).min(longest_asked)),
            ..Self::default()
        }
    }

    /// Notes a success: the receiver is well.
    pub(crate) fn delivered(&mut self) {
        self.failures = 0;
        self.uncounted = 0;
        self.backoff_until = Duration::ZERO;
    }

    /// Notes a failure of an attempt that was sent after this backoff. Answers the time that the
    /// emitter backs off because of it, from now.
    pub(crate) fn failed(
        &mut self,
        sent_after: u64,
        retry: &RetryPolicy,
        seed: u64,
        asked: Duration,
        now: Duration,
    ) -> Duration {
        self.uncounted = 0;
        let mut delay = Duration::ZERO;
        if sent_after == self.backoff {
            self.backoff += 1;
            self.failures = self.failures.saturating_add(1);
            delay = retry.delay(self.failures, seed);
            self.backoff_until = now.saturating_add(delay);
        }
        self.asked_until = self.asked_until.max(now.saturating_add(asked));
        delay.max(asked)
    }

    /// Notes an attempt that counts as none: it says nothing of the receiver, so the failures in a
    /// row stay. Answers as [`Waits::failed`].
    pub(crate) fn uncounted(&mut self, sent_after: u64, seed: u64, now: Duration) -> Duration {
        if sent_after != self.backoff {
            return Duration::ZERO;
        }
        self.backoff += 1;
        self.uncounted = self.uncounted.saturating_add(1);
        let [first, longest] = UNCOUNTED;
        let delay = RetryPolicy::exponential(first, longest).delay(self.uncounted, seed);
        self.backoff_until = self.backoff_until.max(now.saturating_add(delay));
        delay
    }

    /// The times from now that the backoff lasts, and the receiver's wish to be left alone.
    pub(crate) fn left(&self, now: Duration) -> [Duration; 2] {
        [self.backoff_until, self.asked_until].map(|until| until.saturating_sub(now))
    }

    /// The time before which nothing is sent for the receiver's sake.
    pub(crate) fn not_before(&self) -> Duration {
        self.backoff_until.max(self.asked_until)
    }
}
