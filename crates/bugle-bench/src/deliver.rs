//! `bugle deliver` of a file to a fast receiver, against the library with the same events.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use bugle::{EmitterConfig, Order, Runtime};
use serde::{Deserialize, Serialize};

use crate::child;
use crate::payload::{BYTES, Filler};
use crate::receiver::Addresses;
use crate::stats::{float, median};

/// The number of requests on their way at once: the default of `bugle deliver --order unordered`.
const WINDOW: u16 = 16;

/// The name of the events.
const NAME: &str = "bench.deliver";

/// Events delivered a second, from the start of a process to its end: medians of the rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivered {
    pub(crate) command_rps: f64,
    pub(crate) library_rps: f64,
    /// The median of the rounds' ratios.
    pub(crate) ratio: f64,
}

/// The result of the library, in a process of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Library {
    pub(crate) rps: f64,
}

/// Measures the command and the library in turns.
pub(crate) fn measure(file: &Path, events: u64, rounds: u32, to: &Addresses) -> Result<Delivered> {
    let bugle = command()?;
    write(file, events)?;
    let (mut all, addresses) = (Vec::new(), serde_json::to_string(to)?);
    for _ in 0..rounds {
        let command_rps = run(&bugle, file, events, to)?;
        let words = [events.to_string(), addresses.clone()];
        let library: Library = child::run_with("library", &words)?;
        all.push((command_rps, library.rps));
    }
    std::fs::remove_file(file)?;
    let of = |value: fn(&(f64, f64)) -> f64| median(all.iter().map(value)).unwrap_or(f64::NAN);
    Ok(Delivered {
        command_rps: of(|it| it.0),
        library_rps: of(|it| it.1),
        ratio: of(|(command, library)| command / library),
    })
}

/// Finds the command line, which is built beside this.
fn command() -> Result<PathBuf> {
    let bugle = std::env::current_exe()?.with_file_name("bugle");
    if !bugle.exists() {
        bail!(
            "{} is not there: build it with `cargo build --release -p bugle-cli`",
            bugle.display()
        );
    }
    Ok(bugle)
}

/// Writes the events, one a line, each of which is a payload.
fn write(file: &Path, events: u64) -> Result<()> {
    let filler = Filler::new(BYTES);
    let mut lines = BufWriter::new(File::create(file)?);
    for _ in 0..events {
        serde_json::to_writer(&mut lines, &filler.payload())?;
        lines.write_all(b"\n")?;
    }
    Ok(lines.flush()?)
}

fn run(bugle: &Path, file: &Path, events: u64, to: &Addresses) -> Result<f64> {
    let start = Instant::now();
    let status = Command::new(bugle)
        .arg("deliver")
        .arg(file)
        .args(["--to", &format!("http://{}/", to.plain), "--allow-private", "--event", NAME])
        .args(["--order", "unordered", "--window", &WINDOW.to_string(), "--quiet", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    let elapsed = start.elapsed();
    ensure!(status.success(), "bugle deliver ended with {status}");
    Ok(float(events) / elapsed.as_secs_f64())
}

/// Delivers the same events by the library: one emitter, one caller of `emit`.
#[tokio::main]
pub(crate) async fn library(events: u64, to: &str) -> Result<Library> {
    let to: Addresses = serde_json::from_str(to)?;
    let start = Instant::now();
    let runtime = Runtime::builder().start().await?;
    let config = EmitterConfig::new(format!("http://{}/", to.plain))?;
    let config = config.allow_private_destinations().order(Order::Unordered { window: WINDOW });
    runtime.attach("deliver", NAME, config).await?;
    let filler = Filler::new(BYTES);
    let mut last = None;
    for _ in 0..events {
        last = Some(runtime.emit(NAME, &filler.payload()).await?);
    }
    last.context("there are events")?.settled().await;
    while runtime.emitters().iter().any(|it| it.depth > 0) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let rps = float(events) / start.elapsed().as_secs_f64();
    runtime.shutdown(std::time::Duration::ZERO).await;
    Ok(Library { rps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_payload_on_each_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("events.ndjson");
        write(&file, 3).unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        assert_eq!(text.lines().count(), 3);
        for line in text.lines() {
            assert_eq!(line.len(), BYTES);
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
}
