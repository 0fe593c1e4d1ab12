//! Retry policies as their users see them.

#![allow(clippy::unwrap_used)]

use std::ops::RangeInclusive;
use std::time::Duration;

use bugle_core::RetryPolicy;
use proptest::prelude::*;

const LONGEST_DELAY: Duration = Duration::from_hours(24 * 30);

fn intervals(policy: RetryPolicy, failures: RangeInclusive<u32>) -> Vec<Duration> {
    let policy = policy.jitter(0.0);
    failures.map(|failures| policy.delay(failures, 7)).collect()
}

fn seconds(seconds: &[u64]) -> Vec<Duration> {
    seconds.iter().map(|s| Duration::from_secs(*s)).collect()
}

#[test]
fn the_defaults() {
    let policy = RetryPolicy::default();
    assert_eq!(policy.max_attempts, 3);
    assert_eq!(policy.validate(), Ok(()));
    assert_eq!(policy.bounds(1), Duration::from_millis(800)..=Duration::from_millis(1200));
    assert_eq!(intervals(policy, 0..=8), seconds(&[0, 1, 2, 4, 8, 16, 32, 60, 60]));
}

#[test]
fn the_patient_schedule() {
    let policy = RetryPolicy::patient();
    assert_eq!(policy.max_attempts, 8);
    assert_eq!(policy.validate(), Ok(()));
    let h = 3600;
    assert_eq!(
        intervals(policy, 0..=8),
        seconds(&[0, 5, 300, 1800, 2 * h, 5 * h, 10 * h, 10 * h, 10 * h])
    );
}

#[test]
fn a_multiplier() {
    let policy = RetryPolicy::exponential(Duration::from_secs(2), Duration::from_secs(100));
    assert_eq!(intervals(policy.clone().multiplier(3.0), 1..=5), seconds(&[2, 6, 18, 54, 100]));
    assert_eq!(intervals(policy.multiplier(1.0), 1..=3), seconds(&[2, 2, 2]));
}

#[test]
fn jitter_is_seeded_and_spreads() {
    let policy = RetryPolicy::default();
    assert_eq!(policy.delay(1, 42), policy.delay(1, 42));
    assert_eq!(policy.delay(7, 42), policy.clone().delay(7, 42));
    // A thousand emitters that failed together: every tenth of the range gets its share.
    for failures in [1, 3, 7, 100] {
        let bounds = policy.bounds(failures);
        let (least, width) = (*bounds.start(), *bounds.end() - *bounds.start());
        let mut tenths = [0_u32; 10];
        for seed in 0..1000 {
            let tenth = (policy.delay(failures, seed) - least).as_nanos() * 10 / width.as_nanos();
            tenths[usize::try_from(tenth).unwrap().min(9)] += 1;
        }
        assert!(tenths.iter().all(|n| (60..=140).contains(n)), "{failures}: {tenths:?}");
    }
}

#[test]
fn jitter_stays_below_the_longest_interval() {
    let bounds = |failures| RetryPolicy::default().bounds(failures);
    assert_eq!(bounds(6), Duration::from_millis(25_600)..=Duration::from_millis(38_400));
    assert_eq!(bounds(7), Duration::from_secs(48)..=Duration::from_secs(60));
    assert_eq!(bounds(u32::MAX), Duration::from_secs(48)..=Duration::from_secs(60));
    assert_eq!(
        RetryPolicy::patient().bounds(u32::MAX),
        Duration::from_hours(8)..=Duration::from_hours(10)
    );
}

#[test]
fn what_cannot_work_is_named() {
    let second = Duration::from_secs(1);
    let year = Duration::from_hours(24 * 365);
    let exponential = RetryPolicy::exponential;
    let table = [
        (RetryPolicy::default().max_attempts(0), "max_attempts"),
        (exponential(Duration::ZERO, second), "retry.first"),
        (exponential(second, Duration::ZERO), "retry.max"),
        (exponential(second, year), "retry.max"),
        (exponential(second * 2, second), "retry.first"),
        (RetryPolicy::default().multiplier(0.5), "retry.multiplier"),
        (RetryPolicy::default().multiplier(-1.0), "retry.multiplier"),
        (RetryPolicy::default().multiplier(f64::NAN), "retry.multiplier"),
        (RetryPolicy::default().multiplier(f64::INFINITY), "retry.multiplier"),
        (RetryPolicy::patient().multiplier(2.0), "retry.multiplier"),
        (RetryPolicy::default().jitter(-0.1), "retry.jitter"),
        (RetryPolicy::default().jitter(1.1), "retry.jitter"),
        (RetryPolicy::patient().jitter(f64::NAN), "retry.jitter"),
        (RetryPolicy::schedule([]), "retry.schedule"),
        (RetryPolicy::schedule([second, Duration::ZERO]), "retry.schedule"),
        (RetryPolicy::schedule([Duration::MAX]), "retry.schedule"),
    ];
    for (policy, field) in table {
        assert_eq!(policy.validate().map_err(|error| error.field), Err(field), "{policy:?}");
    }
}

/// A valid policy, and its longest interval.
fn any_policy() -> impl Strategy<Value = (RetryPolicy, Duration)> {
    let ms = Duration::from_millis;
    let growing = (1..10_000_u64, 0..1_000_000_u64, 1.0..5.0_f64).prop_map(
        move |(first, more, multiplier)| {
            let (first, max) = (ms(first), ms(first + more));
            (RetryPolicy::exponential(first, max).multiplier(multiplier), max)
        },
    );
    let listed = prop::collection::vec((1..100_000_u64).prop_map(ms), 1..10).prop_map(|listed| {
        let longest = *listed.iter().max().unwrap();
        (RetryPolicy::schedule(listed), longest)
    });
    (prop_oneof![growing, listed], 0.0..=1.0_f64)
        .prop_map(|((policy, longest), jitter)| (policy.jitter(jitter), longest))
}

proptest! {
    #[test]
    fn a_wait_is_within_its_bounds((policy, longest) in any_policy(), failures: u32, seed: u64) {
        prop_assert_eq!(policy.validate(), Ok(()));
        for failures in [failures, failures % 20] {
            let bounds = policy.bounds(failures);
            prop_assert!(bounds.contains(&policy.delay(failures, seed)));
            prop_assert!(bounds.contains(&policy.clone().jitter(0.0).delay(failures, seed)));
            prop_assert!(*bounds.end() <= longest);
        }
    }

    #[test]
    fn nonsense_still_answers(
        (first, max) in any::<(Duration, Duration)>(),
        (multiplier, jitter) in any::<(f64, f64)>(),
        (failures, seed) in any::<(u32, u64)>(),
    ) {
        let listed = RetryPolicy::schedule([first, max]);
        let policy = RetryPolicy::exponential(first, max);
        for policy in [policy.multiplier(multiplier), listed] {
            let policy = policy.jitter(jitter);
            prop_assert!(policy.delay(failures, seed) <= LONGEST_DELAY);
        }
    }
}
