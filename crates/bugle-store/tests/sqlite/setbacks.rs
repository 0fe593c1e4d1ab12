//! What is remembered of failed attempts survives whatever ends the process.

use std::time::Duration;

use bugle_core::{
    AttemptCode, DeadLetter, Entry, Forgive, Sequence, Setback, Setbacks, Settlement, Tries,
};
use bugle_store::Store;
use bugle_testkit::conformance::run;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{event, fill, id, killed, open};

#[derive(Debug, Clone, Copy)]
enum Op {
    SetBack(usize, u32),
    Deliver(usize),
    GiveUp(usize),
    Forgive(bool),
    /// The emitter is forgotten, and another one has its id.
    Forget,
    /// The places are written, and what was noted has made room.
    Flush,
    /// A process ends, in an orderly way or not.
    End(bool),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..EVENTS, 1..5_u32).prop_map(|(at, attempts)| Op::SetBack(at, attempts)),
        4 => (0..EVENTS).prop_map(Op::Deliver),
        2 => (0..EVENTS).prop_map(Op::GiveUp),
        1 => any::<bool>().prop_map(Op::Forgive),
        1 => Just(Op::Forget),
        2 => Just(Op::Flush),
        5 => any::<bool>().prop_map(Op::End),
    ]
}

const EVENTS: usize = 6;

async fn check(ops: Vec<Op>) {
    let mut directory = TempDir::new().unwrap();
    let mut store = Store::open(directory.path()).unwrap();
    let mut one = open(&store, "one", &["a"]).await;
    let mut all = fill(&store, "a", EVENTS).await;
    let mut settled = [false; EVENTS];
    let mut expected = Setbacks::default();
    let start = Timestamp::from_second(1_800_000_000).unwrap();
    for (second, op) in ops.into_iter().enumerate() {
        let now = start + SignedDuration::from_secs(second as i64);
        match op {
            Op::SetBack(at, attempts) if !settled[at] => {
                let setback = Setback {
                    sequence: all[at],
                    tries: Tries { attempts, crashes: attempts / 3 },
                    delay: Duration::from_secs(7),
                    failures: attempts,
                    backoff: Duration::from_secs(5),
                    asked: Duration::from_millis(1),
                };
                expected.take(&setback, now);
                one.set_back(&setback, now).await.unwrap();
            }
            Op::Deliver(at) => {
                if !settled[at] {
                    expected.delivered(all[at]);
                }
                settled[at] = true;
                one.settle(all[at], Settlement::Delivered).await.unwrap();
            }
            Op::GiveUp(at) => {
                if !settled[at] {
                    expected.given_up(all[at]);
                }
                settled[at] = true;
                let entry = Entry::new(all[at], event("a", 10));
                let letter =
                    DeadLetter::new(id("one"), &entry, AttemptCode::Timeout, "late", 3, now);
                one.settle(all[at], Settlement::DeadLettered(Box::new(letter))).await.unwrap();
            }
            Op::Forgive(everything) => {
                one.forgive(if everything { Forgive::All } else { Forgive::Waits }).await.unwrap();
                if everything {
                    expected.forgive_all()
                } else {
                    expected.forgive_waits()
                }
                store.journal().flush().await.unwrap();
            }
            Op::Forget => {
                store.journal().forget(&id("one")).await.unwrap();
                one = open(&store, "one", &["a"]).await;
                all = fill(&store, "a", EVENTS).await;
                settled = [false; EVENTS];
                expected = Setbacks::default();
            }
            Op::Flush => store.journal().flush().await.unwrap(),
            Op::End(orderly) => {
                if !orderly {
                    let copy = killed(directory.path());
                    drop((one, store));
                    directory = copy;
                } else {
                    drop((one, store));
                }
                store = Store::open(directory.path()).unwrap();
                one = open(&store, "one", &["a"]).await;
            }
            Op::SetBack(..) => {}
        }
        let waits: Vec<Sequence> = one
            .read(Sequence::START, 100)
            .await
            .unwrap()
            .into_iter()
            .map(|it| it.sequence)
            .collect();
        let unsettled: Vec<Sequence> =
            (0..EVENTS).filter(|at| !settled[*at]).map(|at| all[at]).collect();
        assert_eq!(waits, unsettled);
        let found = one.setbacks(now);
        let shown = |it: &Setbacks| {
            let tried: Vec<_> = it.tried(now).collect();
            (tried, it.failures(), it.backoff(now), it.asked(now))
        };
        assert_eq!(shown(&found), shown(&expected), "after {op:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn setbacks_survive(ops in prop::collection::vec(op(), 1..40)) {
        run(check(ops));
    }
}

/// Where nothing more can be noted, the writer is waited for, and nothing is lost.
#[test]
fn more_than_can_be_noted_is_written() {
    run(async {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let one = open(&store, "one", &["a"]).await;
        let first = fill(&store, "a", 1).await[0];
        let now = Timestamp::now();
        for attempts in 1..20_001 {
            let tries = Tries { attempts, crashes: 0 };
            let setback = Setback { sequence: first, tries, ..Setback::default() };
            one.set_back(&setback, now).await.unwrap();
        }
        let copy = killed(directory.path());
        let store = Store::open(copy.path()).unwrap();
        let setbacks = open(&store, "one", &["a"]).await.setbacks(now);
        let tried: Vec<_> =
            setbacks.tried(now).map(|(at, tries, _)| (at, tries.attempts)).collect();
        assert_eq!((tried, setbacks.count()), (vec![(first, 20_000)], 20_000));
    });
}
