//! A process under load is killed again and again: nothing that it accepted is lost, what it
//! settled does not come back, and the order holds.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    EmitterId, Event, EventName, Reader, RequestId, Sequence, Settlement, Subscription,
};
use bugle_store::Store;
use bugle_testkit::ProcessKiller;
use bugle_testkit::conformance::run;
use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

/// Where the child works; only set for it.
const DIRECTORY: &str = "BUGLE_KILL_TEST_DIRECTORY";

const KILLS: u64 = 30;

/// What the moments are drawn from.
const SEED: u64 = 53;

const EMITTERS: [(&str, &[&str]); 4] =
    [("all", &[">"]), ("one", &["a"]), ("two", &["a", "b.*"]), ("slow", &["b.x"])];

async fn open(store: &Store, emitter: &str, names: &[&str]) -> Arc<dyn Reader> {
    let subscription = Subscription::new(names).unwrap();
    store.journal().reader(&EmitterId::new(emitter).unwrap(), &subscription).await.unwrap()
}

/// Says something that outlives the process: it is in the pipe when this returns.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\nledger {line}").unwrap();
    out.flush().unwrap();
}

/// The process that is killed: eight append, and each emitter delivers one after the other.
#[test]
#[ignore = "the child of the other test"]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(directory).unwrap();
        for (emitter, names) in EMITTERS {
            let reader = open(&store, emitter, names).await;
            tokio::spawn(async move {
                let mut last = Sequence::START;
                loop {
                    for entry in reader.read(last, 16).await.unwrap() {
                        last = entry.sequence;
                        say(&format!("deliver {emitter} {last} {}", entry.event.request_id));
                        reader.settle(last, Settlement::Delivered).await.unwrap();
                        say(&format!("settled {emitter} {last}"));
                    }
                    let pause = if emitter == "slow" { 20 } else { 1 };
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                }
            });
        }
        let appending = (0..8).map(|task| {
            let journal = store.journal();
            tokio::spawn(async move {
                for number in 0_usize.. {
                    let name = ["a", "b.x", "b.y", "c"][(task + number) % 4];
                    let event = Event::new(
                        EventName::new(name).unwrap(),
                        RequestId::random(),
                        Bytes::from(vec![b'x'; 300 + number % 700]),
                        Timestamp::now(),
                    );
                    let request_id = event.request_id.clone();
                    let sequence = journal.append(Arc::new(event)).await.unwrap();
                    say(&format!("accepted {name} {sequence} {request_id}"));
                }
            })
        });
        for task in appending.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

/// What the children said.
#[derive(Default)]
struct Ledger {
    /// Name and request id.
    accepted: BTreeMap<u64, (String, String)>,
    /// Of each emitter, what it began to deliver, in order, with the request id.
    delivered: BTreeMap<String, Vec<(u64, String)>>,
    settled: BTreeMap<String, BTreeSet<u64>>,
}

impl Ledger {
    fn enter(&mut self, line: &str) {
        match *line.split(' ').collect::<Vec<_>>().as_slice() {
            ["ledger", "accepted", name, sequence, request_id] => {
                let event = (name.to_owned(), request_id.to_owned());
                let before = self.accepted.insert(sequence.parse().unwrap(), event);
                assert!(before.is_none(), "{sequence} was given twice");
            }
            ["ledger", "deliver", emitter, sequence, request_id] => {
                let delivery = (sequence.parse().unwrap(), request_id.to_owned());
                self.delivered.entry(emitter.to_owned()).or_default().push(delivery);
            }
            ["ledger", "settled", emitter, sequence] => {
                let sequence = sequence.parse().unwrap();
                self.settled.entry(emitter.to_owned()).or_default().insert(sequence);
            }
            _ => {}
        }
    }

    /// Compares what an emitter can read with what was said.
    fn check(&self, emitter: &str, names: &[&str], waits: &[u64]) {
        assert!(waits.is_sorted(), "{emitter}: {waits:?}");
        let subscription = Subscription::new(names).unwrap();
        let waits: BTreeSet<u64> = waits.iter().copied().collect();
        let none = BTreeSet::new();
        let settled = self.settled.get(emitter).unwrap_or(&none);
        if let Some(again) = waits.intersection(settled).next() {
            panic!("{emitter} has settled {again}, and it is back");
        }
        let begun: BTreeSet<u64> =
            self.delivered.get(emitter).into_iter().flatten().map(|(it, _)| *it).collect();
        for (sequence, (name, _)) in &self.accepted {
            if subscription.matches(&EventName::new(name).unwrap()) {
                let there = waits.contains(sequence) || begun.contains(sequence);
                assert!(there, "{emitter} has lost {sequence}");
            }
        }
    }

    /// Looks at all deliveries of all lives.
    fn check_deliveries(&self) {
        for (emitter, delivered) in &self.delivered {
            let sequences: Vec<u64> = delivered.iter().map(|(sequence, _)| *sequence).collect();
            assert!(sequences.is_sorted(), "{emitter} delivers in order");
            let distinct: BTreeSet<u64> = sequences.iter().copied().collect();
            let twice = sequences.len() - distinct.len();
            assert!(twice as u64 <= KILLS, "{emitter}: {twice} of {}", sequences.len());
            for (sequence, request_id) in delivered {
                if let Some((_, accepted)) = self.accepted.get(sequence) {
                    assert_eq!(request_id, accepted, "{emitter}, {sequence}");
                }
            }
        }
    }
}

/// Lets a child work for a while, and kills it: half of all lives after some of its lines, and so
/// when it has begun to work.
fn live(killer: &mut ProcessKiller, directory: &Path, ledger: &mut Ledger) {
    let mut child = ProcessKiller::test("child").unwrap();
    let ended = killer.live(child.env(DIRECTORY, directory).stderr(Stdio::null())).unwrap();
    ended.lines.iter().for_each(|line| ledger.enter(line));
}

#[test]
fn nothing_is_lost_however_often_it_is_killed() {
    let directory = TempDir::new().unwrap();
    let mut ledger = Ledger::default();
    let mut killer = ProcessKiller::new(SEED).lines(1..200);
    for _ in 0..KILLS {
        live(&mut killer, directory.path(), &mut ledger);
        run(async {
            let store = Store::open(directory.path()).unwrap();
            for (emitter, names) in EMITTERS {
                let reader = open(&store, emitter, names).await;
                let waits = reader.read(Sequence::START, 1_000_000).await.unwrap();
                let waits: Vec<u64> = waits.iter().map(|entry| entry.sequence.0).collect();
                ledger.check(emitter, names, &waits);
            }
        });
    }
    ledger.check_deliveries();
    assert!(ledger.accepted.len() > 500, "only {} events", ledger.accepted.len());
}
