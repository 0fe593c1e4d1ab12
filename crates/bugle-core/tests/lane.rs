//! The lane against a simulated world: random entries, keys, outcomes, delays, completion orders
//! and wakes. Hours of retries pass in milliseconds, because time is only a number.

#![allow(clippy::unwrap_used, clippy::panic)]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    Advice, AttemptCode, Entry, Event, EventName, Exchange, Failure, Gone, Lane, Order,
    OrderingKey, Outcome, RequestId, RetryPolicy, Sequence, Step, Verdict,
};
use bytes::Bytes;
use jiff::Timestamp;
use proptest::prelude::*;

/// What a receiver does with one attempt.
#[derive(Debug, Clone, Copy)]
enum Act {
    Deliver,
    Fail,
    RetryAfter(u64),
    GiveUp,
    Crash,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Deliver),
        3 => Just(Act::Fail),
        1 => (0_u64..10_000).prop_map(Act::RetryAfter),
        1 => Just(Act::GiveUp),
        1 => Just(Act::Crash),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Strict),
        (1_u16..9).prop_map(|window| Order::PerKey { window }),
        (1_u16..9).prop_map(|window| Order::Unordered { window }),
    ]
}

fn outcome(act: Act) -> Outcome {
    let failed = |code, advice| {
        let failure = Failure::new(code, "as scripted").advising(advice);
        Outcome::failed(failure, Exchange::default())
    };
    match act {
        Act::Deliver => Outcome::delivered(Exchange::default()),
        Act::Fail => failed(AttemptCode::BadHttpStatus, Advice::Retry),
        Act::RetryAfter(seconds) => {
            let after = Advice::RetryAfter(Duration::from_secs(seconds));
            failed(AttemptCode::BadHttpStatus, after)
        }
        Act::GiveUp => failed(AttemptCode::BlockedDestination, Advice::GiveUp),
        Act::Crash => failed(AttemptCode::Crashed, Advice::Retry),
    }
}

fn entry(sequence: u64, key: Option<&str>) -> Entry {
    let event = Event::new(
        EventName::new("a").unwrap(),
        RequestId::new(sequence.to_string()).unwrap(),
        Bytes::from_static(b"{}"),
        Timestamp::UNIX_EPOCH,
    )
    .key(key.map(|key| OrderingKey::new(key).unwrap()));
    Entry::new(Sequence(sequence), Arc::new(event))
}

const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(3600);

/// The journal and the receiver around a lane, and what was promised of it.
struct World {
    order: Order,
    retry: RetryPolicy,
    journal: BTreeMap<Sequence, Entry>,
    settled: BTreeSet<Sequence>,
    attempts: BTreeMap<Sequence, u32>,
    crashes: BTreeMap<Sequence, u32>,
    /// No send of this entry before this time.
    not_before: BTreeMap<Sequence, Duration>,
    in_flight: Vec<(Sequence, u64)>,
    /// Which failure was the last: attempts sent since then are probes until a success.
    epoch: u64,
    probing: bool,
    now: Duration,
    longest: Duration,
}

impl World {
    fn unsettled(&self) -> impl Iterator<Item = &Entry> {
        self.journal.values().filter(|entry| !self.settled.contains(&entry.sequence))
    }

    fn sent(&mut self, entry: &Entry, attempt: u32) {
        let sequence = entry.sequence;
        assert!(!self.settled.contains(&sequence), "{sequence} was settled before");
        assert!(!self.in_flight.iter().any(|(other, _)| *other == sequence), "sent twice at once");
        let before = self.attempts.insert(sequence, attempt).unwrap_or(0);
        assert_eq!(attempt, before + 1, "attempts are counted one by one");
        assert!(attempt <= self.retry.max_attempts, "past max_attempts");
        let due = self.not_before.get(&sequence).copied().unwrap_or_default();
        assert!(self.now >= due, "sent before its backoff was over");
        let first = match self.order {
            Order::Strict => self.unsettled().next(),
            Order::PerKey { .. } if entry.event.key.is_some() => {
                self.unsettled().find(|other| other.event.key == entry.event.key)
            }
            _ => None,
        };
        if let Some(first) = first {
            assert_eq!(first.sequence, sequence, "out of order");
        }
        self.in_flight.push((sequence, self.epoch));
        assert!(self.in_flight.len() <= self.order.window(), "more in flight than the window");
        if self.probing {
            let probes = self.in_flight.iter().filter(|(_, epoch)| *epoch == self.epoch).count();
            assert_eq!(probes, 1, "a receiver that is down sees one probe at a time");
        }
    }

    fn finished(&mut self, lane: &mut Lane, act: Act, at: usize) {
        let (sequence, epoch) = self.in_flight.remove(at);
        let verdict = lane.finished(sequence, &outcome(act), self.now);
        let attempts = self.attempts[&sequence];
        let crashes = self.crashes.entry(sequence).or_default();
        *crashes = if matches!(act, Act::Crash) { *crashes + 1 } else { 0 };
        let exhausted = attempts >= self.retry.max_attempts || *crashes >= 3;
        match (act, verdict) {
            (Act::Deliver, Verdict::Settle) => self.probing = false,
            (Act::GiveUp, Verdict::DeadLetter) => {}
            (Act::Fail | Act::RetryAfter(_) | Act::Crash, Verdict::DeadLetter) => {
                assert!(exhausted, "given up too early");
            }
            (Act::Fail | Act::RetryAfter(_) | Act::Crash, Verdict::Retry { delay }) => {
                assert!(!exhausted, "should have been given up");
                self.check_delay(delay, act);
                self.not_before.insert(sequence, self.now + delay);
            }
            other => panic!("unexpected: {other:?}"),
        }
        if matches!(act, Act::Fail | Act::RetryAfter(_) | Act::Crash) {
            if epoch == self.epoch {
                self.epoch += 1;
            }
            self.probing = true;
        }
        if !matches!(verdict, Verdict::Retry { .. }) {
            assert!(self.settled.insert(sequence), "settled twice");
        }
    }

    fn check_delay(&mut self, delay: Duration, act: Act) {
        self.longest = self.longest.max(delay);
        let least = *self.retry.bounds(1).start();
        let most = (1..=64).map(|n| *self.retry.bounds(n).end()).max().unwrap();
        let asked = match act {
            Act::RetryAfter(seconds) => Duration::from_secs(seconds).min(RETRY_AFTER_LIMIT),
            _ => Duration::ZERO,
        };
        assert!(delay >= least.max(asked), "{delay:?} is less than asked");
        assert!(delay <= most.max(asked), "{delay:?} is more than the policy's most");
    }
}

fn run(
    order: Order,
    max_attempts: u32,
    entries: &[(u64, Option<u8>)],
    acts: &[Act],
    choices: &[u8],
) {
    let retry = RetryPolicy::default().max_attempts(max_attempts);
    let mut lane =
        Lane::with(order, retry.clone(), RETRY_AFTER_LIMIT, Gone::Retry, 7, Sequence::START);
    let mut world = World {
        order,
        retry,
        journal: BTreeMap::new(),
        settled: BTreeSet::new(),
        attempts: BTreeMap::new(),
        crashes: BTreeMap::new(),
        not_before: BTreeMap::new(),
        in_flight: Vec::new(),
        epoch: 0,
        probing: false,
        now: Duration::ZERO,
        longest: Duration::ZERO,
    };
    let mut acts = acts.iter().copied().cycle();
    let mut choices = choices.iter().copied().cycle();
    let mut sequence = 0;
    let mut coming = entries.iter().map(|(gap, key)| {
        sequence += gap;
        entry(sequence, key.map(|key| ["a", "b", "c"][usize::from(key)]))
    });
    let mut more_to_come = true;
    for _ in 0..200_000 {
        let choice = choices.next().unwrap();
        if choice % 3 == 0 && more_to_come {
            match coming.next() {
                Some(entry) => {
                    world.journal.insert(entry.sequence, entry);
                    lane.woken();
                }
                None => more_to_come = false,
            }
        }
        match lane.next(world.now) {
            Step::Load { after, limit } => {
                let after = world.journal.range(Sequence(after.0 + 1)..);
                let most = limit.min(usize::from(choice % 5) + 1);
                lane.loaded(after.map(|(_, entry)| entry.clone()).take(most).collect());
            }
            Step::Send { entry, attempt } => {
                assert!(world.now >= lane.not_before() || !world.probing, "sent while backing off");
                world.sent(&entry, attempt);
            }
            Step::Wait { until, .. } => {
                let can_finish = !world.in_flight.is_empty();
                if can_finish && (until.is_none() || choice % 2 == 0) {
                    let at = usize::from(choice) % world.in_flight.len();
                    world.finished(&mut lane, acts.next().unwrap(), at);
                } else if let Some(until) = until {
                    assert!(until > world.now, "waits for what is past");
                    world.now = until;
                } else {
                    assert!(more_to_come, "stuck: nothing in flight and nothing to wait for");
                }
            }
            Step::Drained if more_to_come => {}
            Step::Drained => {
                assert_eq!(world.settled.len(), world.journal.len(), "drained too early");
                return;
            }
        }
    }
    panic!("never drained");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_lane_keeps_its_promises(
        order in order(),
        max_attempts in 1_u32..6,
        entries in prop::collection::vec((1_u64..4, prop::option::of(0_u8..3)), 0..60),
        acts in prop::collection::vec(act(), 1..40),
        choices in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        // All-equal choices could starve the arrivals.
        let mut choices = choices;
        choices.extend([0, 1, 2, 3]);
        run(order, max_attempts, &entries, &acts, &choices);
    }
}

fn strict(retry: RetryPolicy) -> Lane {
    Lane::with(Order::Strict, retry, RETRY_AFTER_LIMIT, Gone::Retry, 7, Sequence::START)
}

/// Sends what is due, and says when it went.
fn send(lane: &mut Lane, now: &mut Duration) -> (Sequence, u32) {
    loop {
        match lane.next(*now) {
            Step::Send { entry, attempt } => return (entry.sequence, attempt),
            Step::Wait { until: Some(until), .. } => *now = until,
            Step::Load { .. } => lane.loaded(Vec::new()),
            other => panic!("nothing to send: {other:?}"),
        }
    }
}

/// The original, observed: a receiver answers 500, 500, 200 to the first event and 500, 200 to the
/// second; a success resets the backoff, and the first attempt of the second waits for nothing.
#[test]
fn a_success_resets_the_backoff_as_observed() {
    let retry = RetryPolicy::exponential(Duration::from_millis(200), Duration::from_secs(60));
    let mut lane = strict(retry);
    let mut now = Duration::ZERO;
    assert!(matches!(lane.next(now), Step::Load { .. }));
    lane.loaded(vec![entry(1, None), entry(2, None)]);
    let mut times = Vec::new();
    for act in [Act::Fail, Act::Fail, Act::Deliver, Act::Fail, Act::Deliver] {
        let (sequence, _) = send(&mut lane, &mut now);
        times.push(now);
        lane.finished(sequence, &outcome(act), now);
    }
    let gaps: Vec<u128> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!((160..=240).contains(&gaps[0]), "{gaps:?}");
    assert!(gaps[1] > gaps[0], "{gaps:?}");
    assert_eq!(gaps[2], 0, "{gaps:?}");
    assert!((160..=240).contains(&gaps[3]), "{gaps:?}");
}

/// Giving up on an event does not reset the backoff: the next event waits its turn.
#[test]
fn giving_up_does_not_reset_the_backoff() {
    let mut lane = strict(RetryPolicy::default().max_attempts(1));
    let mut now = Duration::ZERO;
    assert!(matches!(lane.next(now), Step::Load { .. }));
    lane.loaded((1..=4).map(|sequence| entry(sequence, None)).collect());
    let mut times = Vec::new();
    for expected in 1..=4 {
        let (sequence, attempt) = send(&mut lane, &mut now);
        assert_eq!((sequence, attempt), (Sequence(expected), 1));
        times.push(now);
        assert_eq!(lane.finished(sequence, &outcome(Act::Fail), now), Verdict::DeadLetter);
    }
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps[0] >= Duration::from_millis(800), "{gaps:?}");
    assert!(gaps[1] > gaps[0] && gaps[2] > gaps[1], "{gaps:?}");
}

/// An event that crashes its emitter three times in a row is given up, in whatever life.
#[test]
fn crashes_are_counted_across_lives() {
    let mut lane = strict(RetryPolicy::default().max_attempts(10));
    let mut now = Duration::ZERO;
    for life in 1..=3 {
        assert!(matches!(lane.next(now), Step::Load { .. }));
        lane.loaded(vec![entry(5, None)]);
        let (sequence, attempt) = send(&mut lane, &mut now);
        assert_eq!(attempt, life);
        let verdict = lane.finished(sequence, &outcome(Act::Crash), now);
        assert_eq!(verdict == Verdict::DeadLetter, life == 3, "life {life}");
        lane = lane.after_crash(Sequence::START);
    }
}

/// With a window, a poison event holds nothing but itself.
#[test]
fn a_failing_event_of_an_unordered_lane_holds_nothing() {
    let order = Order::Unordered { window: 4 };
    let retry = RetryPolicy::default().max_attempts(3);
    let mut lane = Lane::with(order, retry, RETRY_AFTER_LIMIT, Gone::Retry, 7, Sequence::START);
    let mut now = Duration::ZERO;
    assert!(matches!(lane.next(now), Step::Load { .. }));
    lane.loaded((1..=20).map(|sequence| entry(sequence, None)).collect());
    let mut delivered_before_the_second_try = 0;
    loop {
        let (sequence, attempt) = send(&mut lane, &mut now);
        if sequence == Sequence(1) {
            if attempt == 2 {
                break;
            }
            lane.finished(sequence, &outcome(Act::Fail), now);
        } else {
            lane.finished(sequence, &outcome(Act::Deliver), now);
            delivered_before_the_second_try += 1;
        }
    }
    assert_eq!(delivered_before_the_second_try, 19);
}

/// A receiver that is down sees one probe per backoff interval, however wide the window, and the
/// window opens again step by step.
#[test]
fn a_wide_window_probes_and_opens_gradually() {
    let order = Order::Unordered { window: 8 };
    let retry = RetryPolicy::default().max_attempts(100);
    let mut lane = Lane::with(order, retry, RETRY_AFTER_LIMIT, Gone::Retry, 7, Sequence::START);
    assert!(matches!(lane.next(Duration::ZERO), Step::Load { .. }));
    lane.loaded((1..=32).map(|sequence| entry(sequence, None)).collect());
    let mut now = Duration::ZERO;
    let first: Vec<Sequence> = (0..8).map(|_| send(&mut lane, &mut now).0).collect();
    assert_eq!(now, Duration::ZERO);
    assert!(matches!(lane.next(now), Step::Wait { until: None, .. }));
    for sequence in first {
        lane.finished(sequence, &outcome(Act::Fail), now);
    }
    assert_eq!(lane.failures(), 1, "failures of one moment are one failure");
    for _ in 0..5 {
        let before = now;
        let (sequence, _) = send(&mut lane, &mut now);
        assert!(now > before, "a probe waits for its interval");
        assert!(matches!(lane.next(now), Step::Wait { until: None, .. }), "one probe at a time");
        lane.finished(sequence, &outcome(Act::Fail), now);
    }
    let (sequence, _) = send(&mut lane, &mut now);
    lane.finished(sequence, &outcome(Act::Deliver), now);
    let mut sent = vec![send(&mut lane, &mut now).0, send(&mut lane, &mut now).0];
    assert!(matches!(lane.next(now), Step::Wait { until: None, .. }), "two after one success");
    for sequence in sent.drain(..) {
        lane.finished(sequence, &outcome(Act::Deliver), now);
    }
    let sent = (0..8).map_while(|_| match lane.next(now) {
        Step::Send { entry, .. } => Some(entry.sequence),
        _ => None,
    });
    assert_eq!(sent.count(), 8, "the whole window after three");
}
