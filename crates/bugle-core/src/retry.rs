//! The policy of retries: the waits between attempts, and their number.
//!
//! This is the only file that knows the `backoff` crate. It is unmaintained (RUSTSEC-2025-0012),
//! its own jitter overshoots its cap, and its random numbers can't be seeded; so it gives the
//! growing intervals alone, and the jitter and the cap are added here.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use backoff::SystemClock;
use backoff::backoff::Backoff;
use backoff::exponential::ExponentialBackoffBuilder;

use crate::ConfigError;

/// The longest delay of any policy.
const LONGEST_DELAY: Duration = Duration::from_hours(24 * 30);

/// After this many failures in a row an interval grows no more, which bounds the work of finding
/// it. Doubled from a nanosecond, it has reached [`LONGEST_DELAY`] after 52.
const MOST_GROWTH: u32 = 256;

const DEFAULT_MULTIPLIER: f64 = 2.0;
const DEFAULT_JITTER: f64 = 0.2;

/// The number of attempts that an event gets, and the waits of an emitter between them.
///
/// An attempt counts once the receiver may have processed it, or is itself unreachable. One that
/// ends with [`Advice::Uncounted`](crate::Advice::Uncounted), a shortage of this machine, say, is
/// tried again after the same waits and spends none.
///
/// The wait belongs to the emitter, not to the event: it grows with the emitter's failures in a
/// row, across events, and a success resets it.
///
/// Every wait is an *interval*, growing or from a list, plus or minus a *jitter*, so that emitters
/// that failed together don't all come back together. The jitter never takes a wait above the
/// policy's longest interval: near it, the wait is drawn from what is left of the range.
///
/// Waits are reproducible: the same failures and the same seed give the same wait, on every
/// machine and after a restart.
///
/// ```
/// use std::time::Duration;
/// use bugle_core::RetryPolicy;
///
/// let policy = RetryPolicy::exponential(Duration::from_millis(200), Duration::from_secs(5))
///     .max_attempts(6)
///     .jitter(0.0);
/// let waits: Vec<u128> = (1..6).map(|failures| policy.delay(failures, 0).as_millis()).collect();
/// assert_eq!(waits, [200, 400, 800, 1600, 3200]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// The number of attempts that an event gets in all, the first included. A process that ends
    /// before it has written down the end of the last one, by a kill in that moment or on a full
    /// disk, costs one more.
    pub max_attempts: u32,
    pub(crate) intervals: Intervals,
    /// The factor by which an exponential policy's interval grows with each failure; `None` is 2.
    pub multiplier: Option<f64>,
    /// The most that a wait may be off its interval, either way, as a fraction of it.
    pub jitter: f64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Intervals {
    Growing {
        first: Duration,
        max: Duration,
    },
    /// Shared, because a hundred thousand emitters may have the same one.
    Listed(Arc<[Duration]>),
}

impl Default for RetryPolicy {
    /// 3 attempts in all; 1 s at first, doubling, at most 60 s; jitter of 20%.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1), Duration::from_mins(1))
    }
}

impl RetryPolicy {
    /// Makes a policy of intervals that start at `first` and double with each failure in a row up
    /// to `max`. 3 attempts in all and a jitter of 20%, unless set otherwise.
    pub fn exponential(first: Duration, max: Duration) -> Self {
        Self {
            max_attempts: 3,
            intervals: Intervals::Growing { first, max },
            multiplier: None,
            jitter: DEFAULT_JITTER,
        }
    }

    /// Makes a policy of these intervals, one after the other, then the last one again and again.
    /// One attempt more than there are intervals and a jitter of 20%, unless set otherwise.
    pub fn schedule(intervals: impl IntoIterator<Item = Duration>) -> Self {
        let intervals: Arc<[Duration]> = intervals.into_iter().collect();
        Self {
            max_attempts: u32::try_from(intervals.len()).unwrap_or(u32::MAX).saturating_add(1),
            intervals: Intervals::Listed(intervals),
            multiplier: None,
            jitter: DEFAULT_JITTER,
        }
    }

    /// Makes the long schedule, with hours before a dead letter: after 5 s, 5 min, 30 min, 2 h, 5
    /// h, 10 h and 10 h. So 8 attempts, over 27 and a half hours, and a jitter of 20%.
    pub fn patient() -> Self {
        Self::schedule([
            Duration::from_secs(5),
            Duration::from_mins(5),
            Duration::from_mins(30),
            Duration::from_hours(2),
            Duration::from_hours(5),
            Duration::from_hours(10),
            Duration::from_hours(10),
        ])
    }

    /// Sets the number of attempts that an event gets in all, the first included.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets the factor by which an exponential policy's interval grows with each failure: 1 or
    /// more, 1 being a fixed interval. Default 2. A schedule has none.
    #[must_use]
    pub fn multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = Some(multiplier);
        self
    }

    /// Sets the most that a wait may be off its interval, either way, as a fraction of it: 0 for
    /// none, at most 1. Default 0.2.
    #[must_use]
    pub fn jitter(mut self, fraction: f64) -> Self {
        self.jitter = fraction;
        self
    }

    /// The wait after this many failures in a row; after none, zero.
    ///
    /// The seed picks the wait from [`RetryPolicy::bounds`]. Give each emitter its own.
    pub fn delay(&self, failures: u32, seed: u64) -> Duration {
        let (least, most) = self.range(failures);
        let random = split_mix(split_mix(seed).wrapping_add(u64::from(failures)));
        // As many nanoseconds as the range is wide, scaled by a number from 0 to just below 1.
        let width = u128::from(most - least) + 1;
        let extra = u64::try_from((u128::from(random) * width) >> 64).unwrap_or_default();
        Duration::from_nanos(least + extra)
    }

    /// The least and the most that [`RetryPolicy::delay`] answers for this many failures in a row,
    /// whatever the seed.
    pub fn bounds(&self, failures: u32) -> RangeInclusive<Duration> {
        let (least, most) = self.range(failures);
        Duration::from_nanos(least)..=Duration::from_nanos(most)
    }

    /// The longest wait of the policy.
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.interval(1).1)
    }

    /// Checks all settings together.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that can't work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, message: &str| Err(ConfigError::new(field, message));
        if self.max_attempts == 0 {
            return wrong("max_attempts", "an event gets at least 1 attempt, the first one");
        }
        match &self.intervals {
            Intervals::Growing { first, max } => {
                check_interval("retry.first", *first)?;
                check_interval("retry.max", *max)?;
                if first > max {
                    return wrong(
                        "retry.first",
                        "the first interval is longer than the longest; swap the two",
                    );
                }
            }
            Intervals::Listed(intervals) => {
                if intervals.is_empty() {
                    return wrong(
                        "retry.schedule",
                        "a schedule has at least one interval; for no retries at all, use \
                         max_attempts(1)",
                    );
                }
                for interval in intervals.iter() {
                    check_interval("retry.schedule", *interval)?;
                }
                if self.multiplier.is_some() {
                    return wrong(
                        "retry.multiplier",
                        "a schedule lists its intervals; only an exponential policy multiplies",
                    );
                }
            }
        }
        if self.multiplier.is_some_and(|multiplier| !(1.0..=1000.0).contains(&multiplier)) {
            return wrong("retry.multiplier", "a multiplier is 1 to 1000; 1 keeps the interval");
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return wrong("retry.jitter", "a jitter is a fraction from 0 to 1, as 0.2 for 20%");
        }
        Ok(())
    }

    /// The bounds in nanoseconds, sensible also for a policy that was never validated.
    fn range(&self, failures: u32) -> (u64, u64) {
        if failures == 0 {
            return (0, 0);
        }
        let (interval, longest) = self.interval(failures);
        let spread = (interval as f64 * self.jitter.clamp(0.0, 1.0)) as u64;
        (interval.saturating_sub(spread), (interval + spread).min(longest))
    }

    /// The interval after this many failures, at least one, and the longest of all; nanoseconds.
    fn interval(&self, failures: u32) -> (u64, u64) {
        let (interval, longest) = match &self.intervals {
            Intervals::Growing { first, max } => {
                let max = (*max).min(LONGEST_DELAY);
                let multiplier = self.multiplier.unwrap_or(DEFAULT_MULTIPLIER).max(1.0);
                (grown(*first, max, multiplier, failures), max)
            }
            Intervals::Listed(intervals) => {
                let index = usize::try_from(failures - 1).unwrap_or(usize::MAX);
                let listed = intervals.get(index).or_else(|| intervals.last());
                let longest = intervals.iter().max();
                (listed.copied().unwrap_or_default(), longest.copied().unwrap_or_default())
            }
        };
        let nanos = |interval: Duration| {
            u64::try_from(interval.min(LONGEST_DELAY).as_nanos()).unwrap_or(u64::MAX)
        };
        (nanos(interval), nanos(longest))
    }
}

/// The interval that the `backoff` crate has reached at this failure.
fn grown(first: Duration, max: Duration, multiplier: f64, failures: u32) -> Duration {
    let mut backoff = ExponentialBackoffBuilder::<SystemClock>::new()
        .with_initial_interval(first)
        .with_max_interval(max)
        .with_multiplier(multiplier)
        .with_randomization_factor(0.0)
        .with_max_elapsed_time(None)
        .build();
    for _ in 1..failures.min(MOST_GROWTH) {
        let before = backoff.current_interval;
        // Its answer may be off by the last nanosecond, as it adds a random part of one; the field
        // is exact.
        backoff.next_backoff();
        if backoff.current_interval == before {
            break;
        }
    }
    backoff.current_interval.min(max)
}

fn check_interval(field: &'static str, interval: Duration) -> Result<(), ConfigError> {
    if interval.is_zero() {
        return Err(ConfigError::new(
            field,
            "an interval is longer than zero, or a receiver in trouble would be hammered",
        ));
    }
    if interval > LONGEST_DELAY {
        return Err(ConfigError::new(field, "an interval is at most 30 days"));
    }
    Ok(())
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): its
/// output for this state.
fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn splitmix_as_published() {
        // The reference generator's first outputs from the state 1234567.
        let mut state = 1_234_567_u64;
        for output in [6_457_827_717_110_365_317_u64, 3_203_168_211_198_807_973] {
            assert_eq!(split_mix(state), output);
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        }
    }

    #[test]
    fn it_is_small_and_shares_its_schedule() {
        assert!(size_of::<RetryPolicy>() <= 72);
        let policy = RetryPolicy::patient();
        let (Intervals::Listed(a), Intervals::Listed(b)) =
            (policy.intervals.clone(), policy.intervals)
        else {
            panic!("a schedule is listed");
        };
        assert!(Arc::ptr_eq(&a, &b));
    }

    proptest! {
        #[test]
        fn intervals_never_shrink(failures in 1..400_u32, multiplier in 1.0..3.0_f64) {
            let policy = RetryPolicy::exponential(Duration::from_millis(3), LONGEST_DELAY)
                .multiplier(multiplier);
            prop_assert!(policy.interval(failures) <= policy.interval(failures + 1));
        }
    }
}
