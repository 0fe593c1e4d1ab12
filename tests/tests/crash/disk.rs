//! A real disk of 64 MB fills up under load, and gets space again. Events are refused with a clear
//! error, accepted events stay and are delivered meanwhile, through kills, and then events are
//! accepted again.
#![cfg(target_os = "linux")]

mod arrivals;
mod book;
mod cast;
mod child;
mod mount;
mod proof;
mod trial;

use std::time::Duration;

use bugle_testkit::{Moment, ProcessKiller, Victim};

use cast::{MOODY, NOMAD};
use mount::SmallDisk;
use trial::{Trial, number};

#[test]
#[ignore = "the process whose disk is full"]
fn service() {
    child::run();
}

const DEADLINE: Duration = Duration::from_secs(120);

/// The size of an event: such events soon fill a disk.
const LARGE: usize = 200_000;

/// A service on a small disk.
struct Small {
    trial: Trial,
    disk: SmallDisk,
}

fn small(name: &str) -> Option<Small> {
    let seed = number("BUGLE_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("to repeat this: BUGLE_CRASH_SEED={seed}");
    let mut trial = Trial::new(name, ProcessKiller::new(seed).patience(DEADLINE));
    let disk = SmallDisk::mount(&trial.directory, 64)?;
    trial.starter = Some(Box::new(disk.starter()));
    Some(Small { trial, disk })
}

impl Small {
    fn start(&mut self, large: usize) -> Victim {
        let mut orders = self.trial.orders();
        orders.large = large;
        Victim::start(&mut self.trial.command(&orders)).unwrap()
    }

    fn kill(&mut self, victim: Victim) {
        let ended = victim.kill().unwrap();
        self.trial.enter(&ended);
    }

    /// Waits until this many more lines contain this word.
    fn wait_for(&self, victim: &Victim, word: &str, more: usize) {
        let before = count(&victim.lines(), word);
        let enough = |lines: &[String]| count(lines, word) >= before + more;
        match victim.wait_until(&format!("{more} events {word}"), DEADLINE, enough) {
            Ok(is_there) => assert!(is_there, "the service ended: {:?}", victim.lines().last()),
            Err(error) => panic!("{error}; {:?}", self.disk.files()),
        }
    }
}

/// Counts the lines that contain this word.
fn count(lines: &[String], word: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(&format!("> {word} "))).count()
}

/// The disk is full while a service writes, is killed, and starts again without one free byte.
#[test]
fn a_disk_that_is_full_refuses_until_there_is_space() {
    let Some(mut small) = small("disk-full") else { return };
    for _ in 0..2 {
        let victim = small.start(LARGE);
        small.wait_for(&victim, "accepted", 200);
        small.disk.fill();
        small.wait_for(&victim, "refused", 50);
        let lines = victim.lines();
        let refused = lines.iter().find(|line| line.starts_with("> refused ")).unwrap();
        assert!(refused.contains("no space is left for"), "{refused}");
        small.disk.clear();
        small.wait_for(&victim, "accepted", 200);
        small.disk.fill();
        small.wait_for(&victim, "refused", 50);
        small.kill(victim);
        small.disk.fill();
        // Everything that was accepted is delivered, though nothing can be written.
        let mut orders = small.trial.orders();
        orders.callers = 0;
        orders.named -= 1;
        let ended = small.trial.live(&orders, &Moment::Never);
        // Only those that may have been away, or paused, are not on disk as they should be.
        let is_strange = |line: &&String| {
            let may_be = [NOMAD, MOODY].iter().any(|it| line.contains(&format!(" {it} ")));
            line.starts_with("> refused attach ") && !may_be
        };
        assert_eq!(ended.lines.iter().find(is_strange), None);
        small.disk.fill();
        let victim = small.start(LARGE);
        small.wait_for(&victim, "refused", 50);
        small.disk.clear();
        small.wait_for(&victim, "accepted", 200);
        small.kill(victim);
    }
    println!("{}", small.trial.prove_with_repetitions());
}
