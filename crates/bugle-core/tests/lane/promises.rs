//! The lane against a simulated world: random entries, keys, outcomes, delays, completion orders,
//! wakes, and ends of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bugle_core::{Entry, Gone, Lane, Order, RetryPolicy, Sequence, Setbacks, Step, Verdict};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::{Act, RETRY_AFTER_LIMIT, entry, outcome};

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => Just(Act::Deliver),
        3 => Just(Act::Fail),
        1 => (0_u64..10_000).prop_map(Act::RetryAfter),
        1 => Just(Act::GiveUp),
        1 => Just(Act::Crash),
        2 => Just(Act::Uncounted),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Strict),
        (1_u16..9).prop_map(|window| Order::PerKey { window }),
        (1_u16..9).prop_map(|window| Order::Unordered { window }),
    ]
}

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
    /// Failures in a row, those of one moment counted once.
    failures: u32,
    /// The setbacks that a store would keep.
    setbacks: Setbacks,
}

impl World {
    fn time_of_day(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::try_from(self.now).unwrap()
    }

    /// Ends the process, and has another one go on from the setbacks.
    fn live_again(&mut self, lane: Lane) -> Lane {
        drop(lane);
        self.in_flight.clear();
        let cursor = self.unsettled().next().map(|first| Sequence(first.sequence.0 - 1));
        let last = self.journal.keys().next_back().copied().unwrap_or_default();
        let cursor = cursor.unwrap_or(last);
        let retry = self.retry.clone();
        let lane = Lane::with(self.order, retry, RETRY_AFTER_LIMIT, Gone::Retry, 7, cursor)
            .recalling(&self.setbacks, self.time_of_day(), self.now);
        // An attempt that counts as none is forgotten, and the first attempt is a probe.
        self.probing = self.failures > 0 || self.setbacks.tried(self.time_of_day()).count() > 0;
        self.epoch += 1;
        let waits: BTreeMap<_, _> =
            self.setbacks.tried(self.time_of_day()).map(|(at, _, wait)| (at, wait)).collect();
        for (at, due) in &mut self.not_before {
            *due = self.now + waits.get(at).copied().unwrap_or_default();
        }
        lane
    }

    fn unsettled(&self) -> impl Iterator<Item = &Entry> {
        self.journal.values().filter(|entry| !self.settled.contains(&entry.sequence))
    }

    fn sent(&mut self, entry: &Entry, attempt: u32) {
        let sequence = entry.sequence;
        assert!(!self.settled.contains(&sequence), "{sequence} was settled before");
        assert!(!self.in_flight.iter().any(|(other, _)| *other == sequence), "sent twice at once");
        let before = self.attempts.get(&sequence).copied().unwrap_or(0);
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
        let counted = !matches!(act, Act::Uncounted);
        let attempts = self.attempts.entry(sequence).or_default();
        *attempts += u32::from(counted);
        let attempts = *attempts;
        let crashes = self.crashes.entry(sequence).or_default();
        if counted {
            *crashes = if matches!(act, Act::Crash) { *crashes + 1 } else { 0 };
        }
        let failures = self.failures;
        let exhausted = attempts >= self.retry.max_attempts || *crashes >= 3;
        match (act, verdict) {
            (Act::Deliver, Verdict::Settle) => {
                self.probing = false;
                self.failures = 0;
            }
            (Act::Uncounted, Verdict::Retry { delay }) => {
                assert!(
                    delay <= Duration::from_secs(6),
                    "what is not the receiver's is tried soon"
                );
                assert_eq!(lane.setback(), None, "nothing is to be remembered");
                self.not_before.insert(sequence, self.now + delay);
            }
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
        if matches!(act, Act::Fail | Act::RetryAfter(_) | Act::Crash | Act::Uncounted) {
            if epoch == self.epoch {
                self.epoch += 1;
                self.failures += u32::from(counted);
            }
            self.probing = true;
        }
        assert_eq!(lane.failures(), self.failures, "failures in a row, after {failures}");
        let now = self.time_of_day();
        match lane.setback() {
            Some(setback) => self.setbacks.take(setback, now),
            None if matches!(act, Act::Deliver) => self.setbacks.delivered(sequence),
            None => {}
        }
        if !matches!(verdict, Verdict::Retry { .. }) {
            self.setbacks.given_up(sequence);
        }
        let remembered: Vec<(Sequence, u32)> =
            self.setbacks.tried(now).map(|(at, tries, _)| (at, tries.attempts)).collect();
        let unsettled = self
            .unsettled()
            .map(|entry| entry.sequence)
            .filter(|at| *at != sequence || matches!(verdict, Verdict::Retry { .. }));
        let tried = unsettled.filter_map(|at| Some((at, *self.attempts.get(&at)?)));
        let tried: Vec<_> = tried.filter(|(_, attempts)| *attempts > 0).collect();
        assert_eq!(remembered, tried);
        assert_eq!(lane.is_failing(), self.failures > 0 || !tried.is_empty());
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
        failures: 0,
        setbacks: Setbacks::default(),
    };
    let mut acts = acts.iter().copied().cycle();
    let mut choices = choices.iter().copied().cycle();
    let mut sequence = 0;
    let mut coming = entries.iter().map(|(gap, key)| {
        sequence += gap;
        entry(sequence, key.map(|key| ["a", "b", "c"][usize::from(key)]))
    });
    let mut more_to_come = true;
    let mut lives = 0;
    for _ in 0..200_000 {
        let choice = choices.next().unwrap();
        if choice % 32 == 31 && lives < 20 {
            lives += 1;
            lane = world.live_again(lane);
        }
        if choice % 32 == 30 && lives < 20 {
            lane.hold(world.now + Duration::from_millis(choice.into()));
        }
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
                let waiting = after.filter(|(at, _)| !world.settled.contains(at));
                lane.loaded(waiting.map(|(_, entry)| entry.clone()).take(most).collect());
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
        // An attempt that counts as none is made again without end.
        let mut acts = acts;
        acts.push(Act::Deliver);
        let mut choices = choices;
        choices.extend([0, 1, 2, 3]);
        run(order, max_attempts, &entries, &acts, &choices);
    }
}
