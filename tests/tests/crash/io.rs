//! The file operations of a service fail under load: accepted events stay, refused ones are
//! nowhere, deliveries go on, and once the files work again events are accepted again.
#![cfg(unix)]

mod arrivals;
mod book;
mod cast;
mod child;
mod faulty_io;
mod proof;
mod trial;

use std::path::Path;
use std::time::Duration;

use bugle_testkit::{ProcessKiller, Victim};

use faulty_io::FaultyIo;
use trial::{Trial, number};

#[test]
#[ignore = "the process whose files fail"]
fn service() {
    child::run();
}

const DEADLINE: Duration = Duration::from_secs(120);

/// A trial whose files fail.
struct Faulty {
    trial: Trial,
    io: FaultyIo,
}

impl Faulty {
    fn start(&mut self, large: usize) -> Victim {
        let mut orders = self.trial.orders();
        orders.large = large;
        let mut command = self.trial.command(&orders);
        self.io.preload(&mut command);
        Victim::start(&mut command).unwrap()
    }

    fn plan(&self, plan: &str) {
        self.io.plan(plan);
    }

    fn kill(&mut self, victim: Victim) {
        let ended = victim.kill().unwrap();
        self.trial.enter(&ended);
    }

    fn prove(self) -> String {
        self.trial.prove_with_repetitions()
    }
}

fn trial(name: &str) -> Option<Faulty> {
    let seed = number("BUGLE_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("to repeat this: BUGLE_CRASH_SEED={seed}");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-faulty"));
    let io = FaultyIo::new(&directory)?;
    let trial = Trial::new(name, ProcessKiller::new(seed).patience(DEADLINE));
    Some(Faulty { trial, io })
}

/// Counts the last lines that contain this word.
fn count(lines: &[String], word: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(&format!("> {word} "))).count()
}

/// Waits until this many more lines contain this word.
fn wait_for(victim: &Victim, word: &str, more: usize) {
    let before = count(&victim.lines(), word);
    let enough = |lines: &[String]| count(lines, word) >= before + more;
    let is_there = victim.wait_until(&format!("{more} events {word}"), DEADLINE, enough);
    assert!(is_there.unwrap(), "the service ended: {:?}", victim.lines().last());
}

/// A write that fails, or is made by half, refuses its own events and no others; as soon as writes
/// succeed, events are accepted again.
#[test]
fn failed_writes_refuse_and_pass() {
    for (operation, error) in [("write", 5), ("short", 0), ("write", 28)] {
        let Some(mut trial) = trial(&format!("io-{operation}-{error}")) else { return };
        for name in ["segments/", "bugle.db-wal", "bugle.db"] {
            trial.plan("");
            let victim = trial.start(20_000);
            wait_for(&victim, "accepted", 50);
            for after in [0, 3, 10] {
                trial.plan(&format!("{operation} {name} {error} {after} 2"));
                wait_for(&victim, "accepted", 50);
            }
            trial.kill(victim);
        }
        trial.plan("");
        // A short write is continued with the rest.
        assert_ne!(trial.trial.book.refused.is_empty(), operation == "write", "{operation}");
        println!("{operation}: {}", trial.prove());
    }
}

/// After a failed sync nothing is accepted, whatever later syncs say; accepted events are
/// delivered, and refused ones don't come back in the next life.
#[test]
fn after_a_failed_sync_nothing_is_accepted_until_the_next_life() {
    for (name, after) in [("segments/", 0), ("segments/", 1), ("segments/", 5), ("bugle.db", 1)] {
        let file = name.trim_matches('/');
        let Some(mut trial) = trial(&format!("io-sync-{file}-{after}")) else { return };
        for _ in 0..3 {
            trial.plan("");
            let victim = trial.start(20_000);
            wait_for(&victim, "accepted", 30);
            trial.plan(&format!("sync {name} 5 {after} 1"));
            wait_for(&victim, "refused", 20);
            let lines = victim.lines();
            let first = lines.iter().position(|line| line.starts_with("> refused ")).unwrap();
            let refused = &lines[first];
            assert!(refused.contains("could not be synced to its disk"), "{refused}");
            wait_for(&victim, "refused", 20);
            // Emits that were under way at that moment may have been answered just after.
            let later = victim.lines().split_off(first + 8);
            assert_eq!(count(&later, "accepted"), 0, "{later:?}");
            trial.kill(victim);
        }
        trial.plan("");
        println!("{name} {after}: {}", trial.prove());
    }
}

/// No more segments can be made for a while: events are refused with a clear error, accepted ones
/// are delivered meanwhile, through kills, and then events are accepted again.
#[test]
fn a_full_disk_refuses_until_there_is_space() {
    let Some(mut trial) = trial("io-full") else { return };
    let full = "create segments/next 28 0 -1";
    for _ in 0..2 {
        trial.plan("");
        let victim = trial.start(3_000_000);
        wait_for(&victim, "accepted", 50);
        trial.plan(full);
        wait_for(&victim, "refused", 10);
        let lines = victim.lines();
        let refused = lines.iter().find(|line| line.starts_with("> refused ")).unwrap();
        assert!(refused.contains("no space is left for"), "{refused}");
        trial.plan("");
        wait_for(&victim, "accepted", 200);
        trial.kill(victim);

        // It is killed while the disk is full, and killed again in a life that finds it full.
        trial.plan(full);
        for _ in 0..3 {
            let victim = trial.start(3_000_000);
            // Its last segment has some space left: only large events need more.
            wait_for(&victim, "refused", 10);
            trial.kill(victim);
        }
    }
    trial.plan("");
    println!("{}", trial.prove());
}
