//! Counts the instructions that an event costs in user space.
//!
//! A process sends a few events under a counter, and another sends more: the difference is the cost
//! of the events between them, whatever starting and stopping takes. It hardly depends on what else
//! the machine does. The counter is the processor's, through `perf stat`, where the machine has one
//! to give; else valgrind's `callgrind`, which is slower and counts the same; else there is none,
//! and nothing is counted.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::args::Sides;
use crate::bare_hyper::BareHyper;
use crate::bare_lean::BareLean;
use crate::ceiling::Ceiling;
use crate::disk::Scratch;
use crate::lanes::{Keeping, Lanes, Shape};
use crate::receiver::Addresses;
use crate::stats::float;
use crate::throughput::Side;

/// The counter of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    Perf,
    Valgrind,
}

/// The result of a counted process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    events: u64,
}

impl Counter {
    /// Finds the counter that works here.
    pub(crate) fn find(disk: &Scratch) -> Result<Option<Self>> {
        let log = disk.store("counted");
        for counter in [Self::Perf, Self::Valgrind] {
            let mut command = counter.over(&log, Path::new("true"));
            command.stdout(Stdio::null()).stderr(Stdio::null());
            // A command that isn't there is a counter that isn't.
            let ran = command.status().is_ok_and(|status| status.success());
            if ran && counter.read(&std::fs::read_to_string(&log)?).is_some() {
                return Ok(Some(counter));
            }
        }
        Ok(None)
    }

    /// The counter's name, with a note on it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Perf => "perf stat",
            Self::Valgrind => {
                "valgrind, whose processor has no SHA-256: compare signed with signed only"
            }
        }
    }

    /// The command that counts this program's instructions, and writes the count to a file.
    fn over(self, log: &Path, program: &Path) -> Command {
        let mut command = match self {
            Self::Perf => {
                let mut command = Command::new("perf");
                command.args(["stat", "-x", ",", "-e", "instructions:u", "-o"]).arg(log);
                command
            }
            Self::Valgrind => {
                let mut command = Command::new("valgrind");
                let mut to = std::ffi::OsString::from("--log-file=");
                to.push(log);
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(to);
                command
            }
        };
        command.arg(program);
        command
    }

    /// Reads the count in the counter's output.
    fn read(self, log: &str) -> Option<u64> {
        log.lines().find_map(|line| match self {
            Self::Perf if line.contains("instructions") => line.split(',').next()?.parse().ok(),
            Self::Perf => None,
            Self::Valgrind => {
                let (_, count) = line.split_once("Collected :")?;
                count.split_whitespace().next()?.parse().ok()
            }
        })
    }

    /// The numbers of events that the two processes send.
    fn events(self, quick: bool) -> [u64; 2] {
        match (self, quick) {
            (Self::Perf, false) => [50_000, 250_000],
            (Self::Perf, true) => [5_000, 25_000],
            (Self::Valgrind, false) => [2_000, 8_000],
            (Self::Valgrind, true) => [500, 1_500],
        }
    }

    /// Counts instructions an event of a side.
    pub(crate) fn count(
        self,
        (disk, to): (&Scratch, &Addresses),
        (side, signed, emitters): (Sides, bool, usize),
        quick: bool,
    ) -> Result<f64> {
        let log = disk.store("counted");
        let mut found = Vec::new();
        for events in self.events(quick) {
            let mut command = self.over(&log, &std::env::current_exe()?);
            command.args(["count", side.name()]);
            command.args([signed.to_string(), emitters.to_string(), events.to_string()]);
            let output = command.arg(serde_json::to_string(to)?).output()?;
            if !output.status.success() {
                let error = String::from_utf8_lossy(&output.stderr);
                bail!("{self:?} ended with {}: {error}", output.status);
            }
            let sent: Sent = serde_json::from_slice(&output.stdout)?;
            let instructions = self.read(&std::fs::read_to_string(&log)?);
            found.push((sent.events, instructions.context("nothing was counted")?));
        }
        let [(fewer, less), (events, more)] = found[..] else { bail!("two processes count") };
        Ok((float(more) - float(less)) / (float(events) - float(fewer)))
    }
}

/// Sends so many events, and as many more as are on their way then.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn part(
    (side, signed): (Sides, bool),
    emitters: usize,
    events: u64,
    to: &str,
) -> Result<Sent> {
    let to: Addresses = serde_json::from_str(to)?;
    let shape = Shape { emitters, tls: false, signed, depth: 4, producers: 1 };
    let sent = match side {
        Sides::Ceiling => {
            send(&mut Ceiling::<BareHyper>::connect(&to, emitters, false).await?, events).await?
        }
        Sides::Lean => {
            send(&mut Ceiling::<BareLean>::connect(&to, emitters, false).await?, events).await?
        }
        Sides::Bugle => {
            send(&mut Lanes::attach(&to, shape, Keeping::InMemory).await?, events).await?
        }
    };
    Ok(Sent { events: sent })
}

async fn send(side: &mut impl Side, events: u64) -> Result<u64> {
    side.start();
    while side.completed() < events {
        // Seldom, for to look costs instructions, too.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    side.stop().await?;
    Ok(side.completed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_found_in_what_the_counters_write() {
        let perf = "# started on Sun\n\n123456,,instructions:u,1000,100.00,,\n";
        assert_eq!(Counter::Perf.read(perf), Some(123_456));
        let none = "<not supported>,,instructions:u,0,100.00,,\n";
        assert_eq!(Counter::Perf.read(none), None);
        let valgrind = "==7== Events    : Ir\n==7== Collected : 654321\n==7== \n";
        assert_eq!(Counter::Valgrind.read(valgrind), Some(654_321));
        assert_eq!(Counter::Valgrind.read(""), None);
    }
}
