//! Measures the disk when nothing but a loop writes: frames of 32 events, each one `pwrite` into a
//! place that the file has already, and one `fdatasync`. Accepting events is compared with it: it
//! is the least that a group commit can be.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::disk::Scratch;
use crate::stats::float;

/// The number of events in a frame.
const EVENTS: usize = 32;

/// The bytes of an event in it: a payload of 1 KiB, its name, its id, its times, a checksum.
const EVENT: usize = 1200;

/// The number of frames in the file: as a segment of a log, it is written over from its start again
/// when it is full.
const FRAMES: u64 = 256;

/// Measures the events a second that are on the disk.
pub(crate) fn rps(disk: &Scratch, time: Duration) -> Result<f64> {
    let path = disk.store("frames");
    let mut file = File::create(&path)?;
    let frame = vec![b'x'; EVENTS * EVENT];
    // Written, and not only reserved: a first write into a reserved place changes what the file
    // system knows of it, which a sync has to wait for.
    for _ in 0..FRAMES {
        file.write_all(&frame)?;
    }
    file.sync_all()?;
    let (start, mut frames) = (Instant::now(), 0);
    while start.elapsed() < time || frames < 5 {
        let place = frames % FRAMES * (EVENTS * EVENT) as u64;
        file.write_all_at(&frame, place)?;
        file.sync_data()?;
        frames += 1;
    }
    let elapsed = start.elapsed();
    std::fs::remove_file(path)?;
    Ok(float(frames) * EVENTS as f64 / elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_written_and_leave_nothing() {
        let under = tempfile::tempdir().unwrap();
        let disk = Scratch::make(under.path()).unwrap();
        assert!(rps(&disk, Duration::ZERO).unwrap() > 0.0);
        assert!(!disk.store("frames").exists());
    }
}
