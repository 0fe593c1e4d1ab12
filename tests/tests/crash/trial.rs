//! A service's lives, one after the other, with both ledgers.

// Each of the tests that share this uses another part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use bugle_testkit::{Ended, Moment, ProcessKiller, Receiver};

use crate::arrivals::Arrivals;
use crate::book::Book;
use crate::child::Orders;
use crate::proof::Proof;

/// The number of lives after which the receiver is replaced: it keeps all its requests in memory.
const ROUND: u32 = 20;

/// A number from the environment.
pub(crate) fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {value:?}")))
}

/// Turns a command into the one that starts it somewhere else.
pub(crate) type Starter = Box<dyn Fn(&Command) -> Command>;

/// One service with a directory of its own, through all its lives.
pub(crate) struct Trial {
    pub(crate) directory: PathBuf,
    pub(crate) killer: ProcessKiller,
    pub(crate) book: Book,
    pub(crate) killed: u64,
    pub(crate) life: u32,
    /// Starts the service, if it does not start by itself.
    pub(crate) starter: Option<Starter>,
    arrivals: Arrivals,
    receiver: Receiver,
}

impl Trial {
    /// Begins a trial. The directory of one that failed stays for inspection, until the next trial
    /// of the same name.
    pub(crate) fn new(name: &str, killer: ProcessKiller) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&directory);
        let mut arrivals = Arrivals::default();
        let receiver = arrivals.receiver();
        let book = Book::default();
        Self { directory, killer, book, killed: 0, life: 0, starter: None, arrivals, receiver }
    }

    /// The orders for the next life.
    pub(crate) fn orders(&mut self) -> Orders {
        self.life += 1;
        self.arrivals.begin(self.life);
        let seed = self.killer.roll(0..u64::MAX);
        Orders::new(&self.directory, &self.receiver.url(""), self.life, seed)
    }

    /// Lives one life, until that moment.
    pub(crate) fn live(&mut self, orders: &Orders, moment: &Moment) -> Ended {
        let mut command = self.command(orders);
        let ended = match self.killer.live_until(&mut command, moment) {
            Ok(ended) => ended,
            Err(error) => panic!("life {}, {moment:?}: {error}", self.life),
        };
        let should = *moment == Moment::Never;
        let status = ended.status;
        assert_eq!(status.success(), should, "life {}, {moment:?}: {status:?}", self.life);
        self.enter(&ended);
        ended
    }

    /// The process of a life.
    pub(crate) fn command(&self, orders: &Orders) -> Command {
        let service = ProcessKiller::test("service").unwrap();
        let mut command = match &self.starter {
            Some(starter) => starter(&service),
            None => service,
        };
        orders.write(&mut command);
        command
    }

    /// Records the results of a life in the ledgers.
    pub(crate) fn enter(&mut self, ended: &Ended) {
        let ended_well = ended.status.success();
        self.killed += u64::from(!ended_well);
        self.book.enter(self.life, ended_well, &ended.lines);
        self.arrivals.close(&self.receiver);
        if self.life.is_multiple_of(ROUND) {
            self.receiver = self.arrivals.receiver();
        }
    }

    /// Lives a last life, in which the events that are left are delivered, and compares both
    /// ledgers.
    pub(crate) fn prove(self) -> String {
        self.prove_by(|proof| proof.check())
    }

    /// Does the same where settlements could not be written, so that more may be repeated.
    pub(crate) fn prove_with_repetitions(self) -> String {
        self.prove_by(|proof| proof.check_but_repetitions())
    }

    fn prove_by(mut self, check: impl FnOnce(&Proof<'_>)) -> String {
        let mut orders = self.orders();
        orders.callers = 0;
        let ended = self.live(&orders, &Moment::Never);
        let unwritten = ended.lines.iter().find(|line| line.starts_with("> unwritten "));
        assert_eq!(unwritten, None);
        let proof = Proof::new(&self.book, &self.arrivals);
        check(&proof);
        let _ = std::fs::remove_dir_all(&self.directory);
        format!("{} kills in {} lives: {}", self.killed, self.life, proof.summary())
    }
}
