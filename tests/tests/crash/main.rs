//! A service under load is killed with SIGKILL at random moments, started again, and killed again.
//! Ledgers on both sides prove that no accepted event is lost, that the order holds, and that only
//! deliveries in flight are repeated.
//!
//! A run prints its seed. `BUGLE_CRASH_SEED` repeats it, `BUGLE_CRASH_KILLS` asks for more kills.
#![cfg(unix)]

mod arrivals;
mod book;
mod cast;
mod child;
mod proof;
mod trial;

use std::time::Duration;

use bugle_testkit::{Moment, ProcessKiller};

use trial::{Trial, number};

/// The number of kills, unless `BUGLE_CRASH_KILLS` sets another.
const KILLS: u64 = 220;

#[test]
#[ignore = "the process that is killed"]
fn service() {
    child::run();
}

#[test]
fn nothing_accepted_is_lost_however_often_it_is_killed() {
    let seed = number("BUGLE_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let kills = number("BUGLE_CRASH_KILLS").unwrap_or(KILLS);
    println!("to repeat this: BUGLE_CRASH_SEED={seed} BUGLE_CRASH_KILLS={kills}");
    let killer = ProcessKiller::new(seed)
        .after(Duration::ZERO..Duration::from_millis(150))
        .lines(1..400)
        .patience(Duration::from_secs(300));
    let mut trial = Trial::new(&format!("crash-{seed}"), killer);
    while trial.killed < kills {
        let mut orders = trial.orders();
        let moment = match trial.life % 10 {
            // Long enough for rare work, as deleting.
            0 => Moment::After(Duration::from_millis(trial.killer.roll(300..1_000))),
            // One life that ends by a shutdown.
            5 => {
                let after = Duration::from_millis(trial.killer.roll(0..200));
                orders.shut_down_after = Some(after);
                Moment::Never
            }
            _ => trial.killer.moment(),
        };
        trial.live(&orders, &moment);
    }
    let accepted = trial.book.accepted();
    println!("{}", trial.prove());
    assert!(accepted > 10 * kills, "{accepted} accepted events are too few to prove anything");
}
