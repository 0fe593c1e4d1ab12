//! A service under load is killed with SIGKILL at random moments, started again, and killed again.
//! Ledgers on both sides prove that nothing it accepted is lost, that the order holds, and that
//! nothing is delivered twice but what was in flight.
//!
//! A run prints its seed. `BUGLE_CRASH_SEED` repeats it, `BUGLE_CRASH_KILLS` asks for more kills.
#![cfg(unix)]

mod arrivals;
mod book;
mod cast;
mod child;
mod proof;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bugle_testkit::{Moment, ProcessKiller};

use arrivals::Arrivals;
use book::Book;
use child::Orders;
use proof::Proof;

/// How many times the service is killed, unless `BUGLE_CRASH_KILLS` says otherwise.
const KILLS: u64 = 220;

/// After how many lives the receiver is replaced, which keeps all requests in memory.
const ROUND: u64 = 20;

#[test]
#[ignore = "the process that is killed"]
fn service() {
    child::run();
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {value:?}")))
}

#[test]
fn nothing_accepted_is_lost_however_often_it_is_killed() {
    let seed = number("BUGLE_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let kills = number("BUGLE_CRASH_KILLS").unwrap_or(KILLS);
    println!("to repeat this: BUGLE_CRASH_SEED={seed} BUGLE_CRASH_KILLS={kills}");
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-{seed}"));
    // The directory of a run that failed is left for whoever looks into it, until the next run.
    let _ = std::fs::remove_dir_all(&directory);

    let mut killer =
        ProcessKiller::new(seed).after(Duration::ZERO..Duration::from_millis(150)).lines(1..400);
    let mut book = Book::default();
    let mut arrivals = Arrivals::default();
    let (mut life, mut killed) = (0, 0);
    while killed < kills {
        let receiver = arrivals.receiver();
        for _ in 0..ROUND {
            life += 1;
            let mut orders =
                Orders::new(&directory, &receiver.url(""), life, killer.roll(0..u64::MAX));
            let moment = match life % 10 {
                // Long enough for what is done now and then, as deleting.
                0 => Moment::After(Duration::from_millis(killer.roll(300..1_000))),
                // One that ends as it should.
                5 => {
                    orders.shut_down_after = Some(Duration::from_millis(killer.roll(0..200)));
                    Moment::Never
                }
                _ => killer.moment(),
            };
            let ended = killer.live_until(&mut command(&orders), &moment).unwrap();
            let ended_well = ended.status.success();
            assert_eq!(ended_well, moment == Moment::Never, "life {life}: {:?}", ended.status);
            killed += u64::from(!ended_well);
            book.enter(life, ended_well, &ended.lines);
        }
        arrivals.close(&receiver);
    }
    let receiver = arrivals.receiver();
    life += 1;
    let mut orders = Orders::new(&directory, &receiver.url(""), life, 0);
    orders.callers = 0;
    let ended = killer.live_until(&mut command(&orders), &Moment::Never).unwrap();
    assert!(ended.status.success(), "the last life: {:?}, {:?}", ended.status, ended.lines.last());
    book.enter(life, true, &ended.lines);
    arrivals.close(&receiver);

    let proof = Proof::new(&book, &arrivals);
    proof.check();
    println!("{killed} kills in {life} lives: {}", proof.summary());
    assert!(book.accepted() > 20 * killed, "too little was accepted to prove anything");
    let _ = std::fs::remove_dir_all(&directory);
}

fn command(orders: &Orders) -> Command {
    let mut command = ProcessKiller::test("service").unwrap();
    orders.write(&mut command);
    command
}
