//! The decisions of a lane, case by case.

use std::time::Duration;

use bugle_core::{Gone, Lane, Order, RetryPolicy, Sequence, Setbacks, Step, Verdict};
use jiff::{SignedDuration, Timestamp};

use crate::{Act, RETRY_AFTER_LIMIT, entry, outcome};

fn strict(retry: RetryPolicy) -> Lane {
    Lane::with(Order::Strict, retry, RETRY_AFTER_LIMIT, Gone::Retry, 7, Sequence::START)
}

/// Sends the entry that is due, and answers its place and attempt.
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

/// Starts the next lane from the last one's setbacks, seen at this time.
fn next_life(lane: &mut Lane, setbacks: &mut Setbacks, order: Order, now: Duration) {
    let at = Timestamp::UNIX_EPOCH + SignedDuration::try_from(now).unwrap();
    if let Some(setback) = lane.setback() {
        setbacks.take(setback, at);
    }
    let retry = RetryPolicy::default().max_attempts(10);
    *lane = Lane::with(order, retry, RETRY_AFTER_LIMIT, Gone::Retry, 7, Sequence::START)
        .recalling(setbacks, at, now);
}

/// An event that crashes its emitter three times in a row is given up, in whatever life, and
/// whatever counts as none in between. The wait of each life is for its supervisor to say.
#[test]
fn crashes_are_counted_across_lives() {
    let mut lane = strict(RetryPolicy::default().max_attempts(10));
    let mut setbacks = Setbacks::default();
    let mut now = Duration::ZERO;
    for life in 1..=3 {
        assert!(matches!(lane.next(now), Step::Load { .. }));
        lane.loaded(vec![entry(5, None)]);
        let (sequence, attempt) = send(&mut lane, &mut now);
        assert_eq!((attempt, now), (life, Duration::ZERO));
        let verdict = lane.finished(sequence, &outcome(Act::Crash), now);
        assert_eq!(verdict == Verdict::DeadLetter, life == 3, "life {life}");
        next_life(&mut lane, &mut setbacks, Order::Strict, now);
        lane.finished(sequence, &outcome(Act::Uncounted), now);
    }
}

/// A receiver's wish to be left alone holds through a crash, and so does the backoff through any
/// end.
#[test]
fn waits_go_on_in_the_next_life() {
    // The acts of each life, all of one moment.
    for (lives, least) in [
        (vec![vec![Act::RetryAfter(60), Act::Crash]], 60),
        (vec![vec![Act::Crash, Act::RetryAfter(60)]], 60),
        (vec![vec![Act::Fail]; 4], 6),
        (vec![vec![Act::Fail, Act::Crash]; 2], 1),
        (vec![vec![Act::RetryAfter(7_200)]], 3_600),
    ] {
        let order = Order::Unordered { window: 4 };
        let retry = RetryPolicy::default().max_attempts(10);
        let mut lane = Lane::with(order, retry, RETRY_AFTER_LIMIT, Gone::Retry, 7, Sequence::START);
        let mut setbacks = Setbacks::default();
        let mut now = Duration::ZERO;
        for acts in &lives {
            let sent: Vec<_> =
                acts.iter().map_while(|_| send_one_of(&mut lane, &mut now, 9)).collect();
            for (sequence, act) in sent.iter().zip(acts) {
                lane.finished(*sequence, &outcome(*act), now);
                let at = Timestamp::UNIX_EPOCH + SignedDuration::try_from(now).unwrap();
                lane.setback().into_iter().for_each(|it| setbacks.take(it, at));
            }
            lane.finished(Sequence(99), &outcome(Act::Fail), now);
            next_life(&mut lane, &mut setbacks, order, now);
        }
        let failed = now;
        send_one_of(&mut lane, &mut now, 9).unwrap();
        let waited = now - failed;
        assert!(waited >= Duration::from_secs(least), "{lives:?}: {waited:?}");
        assert!(waited <= RETRY_AFTER_LIMIT, "{lives:?}: {waited:?}");
        assert!(matches!(lane.next(now), Step::Wait { until: None, .. }), "it is a probe");
    }
}

/// Sends one of so many entries when it is due; none while too many are in flight.
fn send_one_of(lane: &mut Lane, now: &mut Duration, entries: u64) -> Option<Sequence> {
    loop {
        match lane.next(*now) {
            Step::Send { entry, .. } => return Some(entry.sequence),
            Step::Wait { until, .. } => *now = until?,
            Step::Load { after, limit } => {
                let all = (after.0 + 1..=entries).map(|sequence| entry(sequence, None));
                lane.loaded(all.take(limit).collect());
            }
            Step::Drained => return None,
        }
    }
}

/// An attempt that counts as none costs the event nothing, is one probe, and is soon made again,
/// whatever the emitter's own schedule; and the window opens again.
#[test]
fn what_counts_as_none_is_tried_again_without_end() {
    let order = Order::Unordered { window: 64 };
    let retry = RetryPolicy::patient().max_attempts(1);
    let mut lane = Lane::with(order, retry, RETRY_AFTER_LIMIT, Gone::Retry, 7, Sequence::START);
    let mut now = Duration::ZERO;
    let burst = |lane: &mut Lane, now: &mut Duration| {
        let sent: Vec<_> = std::iter::from_fn(|| send_one_of(lane, now, 1_000)).collect();
        sent
    };
    let sent = burst(&mut lane, &mut now);
    assert_eq!((sent.len(), now), (64, Duration::ZERO));
    for sequence in sent {
        let verdict = lane.finished(sequence, &outcome(Act::Uncounted), now);
        assert!(matches!(verdict, Verdict::Retry { .. }));
    }
    for _ in 0..500 {
        let before = now;
        let sent = burst(&mut lane, &mut now);
        assert_eq!(sent.len(), 1, "one probe at a time");
        let waited = now - before;
        assert!((150..=5_000).contains(&waited.as_millis()), "{waited:?}");
        lane.finished(sent[0], &outcome(Act::Uncounted), now);
        assert_eq!((lane.failures(), lane.is_failing(), lane.setback()), (0, false, None));
    }
    let mut widths = Vec::new();
    for _ in 0..8 {
        let sent = burst(&mut lane, &mut now);
        widths.push(sent.len());
        for sequence in sent {
            assert_eq!(lane.finished(sequence, &outcome(Act::Deliver), now), Verdict::Settle);
        }
    }
    assert_eq!(widths, [1, 2, 8, 64, 64, 64, 64, 64], "the window opens again");
}

/// While the store does not do its part nothing is begun, and what is in flight goes on.
#[test]
fn a_lane_that_is_held_begins_nothing() {
    let order = Order::Unordered { window: 2 };
    let mut lane = Lane::with(
        order,
        RetryPolicy::default(),
        RETRY_AFTER_LIMIT,
        Gone::Retry,
        7,
        Sequence::START,
    );
    let now = Duration::from_secs(1);
    assert!(matches!(lane.next(now), Step::Load { .. }));
    let held = now + Duration::from_secs(2);
    let waits = |lane: &mut Lane, now| match lane.next(now) {
        Step::Wait { until, .. } => until == Some(held),
        _ => false,
    };
    lane.hold(held);
    assert!(waits(&mut lane, now), "it reads nothing");
    lane.hold(Duration::ZERO);
    lane.loaded(vec![entry(1, None), entry(2, None)]);
    assert!(matches!(lane.next(now), Step::Send { .. }));
    lane.hold(held);
    assert!(waits(&mut lane, now), "it sends nothing");
    assert_eq!(lane.finished(Sequence(1), &outcome(Act::Deliver), now), Verdict::Settle);
    assert!(waits(&mut lane, now));
    assert!(matches!(lane.next(held), Step::Send { .. }));
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
