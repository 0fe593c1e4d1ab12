//! What the log costs beside the least that it could: a loop of writes and syncs.
//!
//! `cargo test --release -p bugle-store --lib log::tests::speed -- --ignored --nocapture`

use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::*;
use super::support::*;
use crate::files::write_at;

const FRAMES: u32 = 4_000;

/// Frames of 32 events of 1 KiB, one of the log and one of the bare loop in turn, so that both have
/// the same disk.
#[test]
#[ignore = "it measures"]
fn frames_beside_a_bare_loop() {
    let store = TempDir::new_in(std::env::var("BUGLE_SPEED_IN").unwrap_or(".".into())).unwrap();
    let options = LogOptions::default();
    for (events, name) in [(32, "32 events"), (1, "one event")] {
        let (mut writer, ..) = open_with(store.path(), &options, &Known::default()).unwrap();
        let all: Vec<_> = (0..events).map(|at| sized(at, 1024)).collect();
        let length = append_all(&mut writer, &all).length as usize;
        let bare = std::fs::File::create(store.path().join("bare")).unwrap();
        let bytes = vec![b'x'; length];
        let places = (8 << 20) / length as u64;
        for place in 0..places {
            write_at(&bare, &bytes, place * length as u64).unwrap();
        }
        bare.sync_all().unwrap();
        let (mut log, mut loops) = (Vec::new(), Vec::new());
        for frame in 0..FRAMES {
            let start = Instant::now();
            append_all(&mut writer, &all);
            log.push(start.elapsed());
            let start = Instant::now();
            write_at(&bare, &bytes, u64::from(frame) % places * length as u64).unwrap();
            bare.sync_data().unwrap();
            loops.push(start.elapsed());
        }
        let mean = |all: &[Duration]| all.iter().sum::<Duration>() / FRAMES;
        println!("{name}: mean {:?} beside {:?}", mean(&log), mean(&loops));
        for (name, part) in [("median", 500), ("p99", 990), ("p99.9", 999)] {
            let [log, loops] = [&mut log, &mut loops].map(|all| {
                all.sort_unstable();
                all[all.len() * part / 1000]
            });
            println!("  {name} {log:?} beside {loops:?}");
        }
        let ratio = mean(&loops).as_secs_f64() / mean(&log).as_secs_f64();
        println!("  of the bare loop's rate: {ratio:.3}");
        drop(writer);
        std::fs::remove_dir_all(store.path().join(DIRECTORY)).unwrap();
    }
}

fn append_all(
    writer: &mut LogWriter,
    events: &[std::sync::Arc<bugle_core::Event>],
) -> FrameAddress {
    writer.begin();
    let events = events.iter().map(|event| (&**event, None));
    writer.frame(writer.next(), None, events).unwrap();
    let address = writer.write().unwrap()[0];
    writer.sync().unwrap();
    address
}
