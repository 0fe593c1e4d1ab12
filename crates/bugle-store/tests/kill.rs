//! A process under load is killed again and again: nothing that it accepted is lost, what it
//! settled does not come back, and the order holds.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{
    EmitterId, Event, EventName, Reader, RequestId, Sequence, Settlement, Subscription,
};
use bugle_store::Store;
use bugle_testkit::conformance::run;
use bytes::Bytes;
use jiff::Timestamp;
use tempfile::TempDir;

/// Where the child works; only set for it.
const DIRECTORY: &str = "BUGLE_KILL_TEST_DIRECTORY";

const KILLS: u64 = 30;

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

/// Lets a child work for a while, and kills it.
fn live(directory: &Path, millis: u64, ledger: &mut Ledger) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (first, has_begun) = std::sync::mpsc::channel();
    let reading = std::thread::spawn(move || {
        let mut lines = Vec::new();
        for line in out.split(b'\n') {
            let line = String::from_utf8(line.unwrap()).unwrap();
            if line.starts_with("ledger ") {
                let _ = first.send(());
                lines.push(line);
            }
        }
        lines
    });
    // Kills at any moment of its life, but most after it has begun to work.
    let _ = has_begun.recv_timeout(Duration::from_millis(millis * 10));
    std::thread::sleep(Duration::from_millis(millis));
    child.kill().unwrap();
    child.wait().unwrap();
    for line in reading.join().unwrap() {
        ledger.enter(&line);
    }
}

#[test]
fn nothing_is_lost_however_often_it_is_killed() {
    let directory = TempDir::new().unwrap();
    let mut ledger = Ledger::default();
    for kill in 0..KILLS {
        // From nothing to a tenth of a second, in no order.
        live(directory.path(), kill * 53 % 101, &mut ledger);
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
