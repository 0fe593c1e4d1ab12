//! A service ends itself at each stage of its store's work, one by one, and starts again: no
//! accepted event is lost, the order holds, and only deliveries in flight are repeated.
//!
//! The fault points are compiled with a feature:
//! `cargo test -p bugle-tests --features fault-points --test fault_points`
#![cfg(unix)]

mod arrivals;
mod book;
mod cast;
mod child;
mod proof;
mod trial;

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use bugle_testkit::{Moment, ProcessKiller};

use trial::{Trial, number};

#[test]
#[ignore = "the process that ends itself"]
fn service() {
    child::run();
}

/// SIGABRT: a service ends in this way for no other reason.
const ABORTED: Option<i32> = Some(6);

/// Each point of the store's own list is passed, the first time and later. A point that is never
/// passed fails the test, so none is left untried.
#[test]
fn nothing_accepted_is_lost_wherever_it_ends() {
    let seed = number("BUGLE_CRASH_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("to repeat this: BUGLE_CRASH_SEED={seed}");
    for (number, point) in bugle_store::fault_points().enumerate() {
        let killer = ProcessKiller::new(seed + number as u64).patience(Duration::from_secs(300));
        let mut trial = Trial::new(&format!("fault-{}", point.replace(':', "-")), killer);
        let end_at = |trial: &mut Trial, passing| {
            let mut orders = trial.orders();
            if point.starts_with("close") {
                orders.shut_down_after = Some(Duration::from_millis(150));
            }
            if point.starts_with("checkpoint") {
                // The log soon becomes long.
                orders.large = 600_000;
            }
            let ended = trial.live(&orders, &Moment::Point(point.to_owned(), passing));
            assert_eq!(ended.status.signal(), ABORTED, "{point}, {:?}", ended.status);
        };
        end_at(&mut trial, 1);
        // From here on the directory has a store.
        let orders = trial.orders();
        trial.live(&orders, &Moment::Lines(200, Duration::ZERO));
        let again = match () {
            () if point.starts_with("open") || point.starts_with("close") => 1..2,
            () if ["checkpoint", "trim", "retire"].iter().any(|it| point.starts_with(it)) => 2..4,
            () => 2..40,
        };
        let again = trial.killer.roll(again);
        end_at(&mut trial, again);
        println!("{point}: {}", trial.prove());
    }
}
