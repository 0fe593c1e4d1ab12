//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

/// Measures Bugle against bare hyper connections, in turns, and prints a table.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Write the results here, as a JSON list with one object for each case
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Write the plots here, as SVG
    #[arg(long, value_name = "DIR", default_value = "target/bench-plots")]
    pub(crate) plots: PathBuf,

    /// Shorter rounds: everything in under a minute
    #[arg(long)]
    pub(crate) quick: bool,

    /// Only the cases that have these parts in their name; `*` stands for anything. Repeatable
    #[arg(long = "case", value_name = "PATTERN")]
    pub(crate) cases: Vec<String>,

    /// Print the names of the cases, and measure nothing
    #[arg(long)]
    pub(crate) list: bool,

    /// Rounds; results are the medians over them
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Seconds that each side sends in a round [default: 1; with --quick 0.1]
    #[arg(long, value_parser = seconds)]
    pub(crate) seconds: Option<Duration>,

    /// Threads that send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,

    /// Events that wait at an emitter while it sends [default: by the number of emitters]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) depth: Option<u32>,

    /// The directory in which the stores on disk are made, and removed again: on the disk that is
    /// to be measured. The full history takes 13 GB
    #[arg(long, value_name = "DIR", default_value = "target/bench-stores")]
    pub(crate) directory: PathBuf,

    /// Events that wait when a store is opened, in `recovery` [default: 1000000; with --quick
    /// 10000]
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    pending: Option<u64>,

    /// Settled events that a store keeps, in `history` [default: 10000000; with --quick 10000]
    #[arg(long, value_name = "EVENTS", value_parser = clap::value_parser!(u64).range(1..))]
    history: Option<u64>,

    /// Attempts in the long log, in `page` [default: 10000000; with --quick 20000]
    #[arg(long, value_name = "ATTEMPTS", value_parser = clap::value_parser!(u64).range(1..))]
    attempts: Option<u64>,

    /// Lines of the file, in `deliver` [default: 1000000; with --quick 5000]
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u64).range(1..))]
    lines: Option<u64>,

    /// Have one side alone send, for a profiler to look at; nothing is compared then
    #[arg(long, value_name = "SIDE")]
    pub(crate) only: Option<Sides>,

    /// Build this commit and HEAD, have their benchmarks take turns, and print HEAD's numbers as
    /// multiples of the commit's. They are built under target/bench-against, and stay there
    #[arg(long, value_name = "COMMIT", conflicts_with_all = ["json", "only", "list"])]
    pub(crate) against: Option<String>,

    /// A part of the benchmark in a process of its own, as it starts them itself
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// The sides that take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sides {
    /// Bare hyper connections.
    Ceiling,
    /// The bare lean loop.
    Lean,
    /// Bugle.
    Bugle,
}

impl Sides {
    /// The side's name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ceiling => "ceiling",
            Self::Lean => "lean",
            Self::Bugle => "bugle",
        }
    }
}

/// A part of the benchmark that runs in a process of its own.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Part {
    /// Answers every request with 204
    #[command(hide = true)]
    Receiver,
    /// Attaches emitters and stops them
    #[command(hide = true)]
    Emitters { emitters: usize },
    /// Spawns empty actors and stops them
    #[command(hide = true)]
    Actors { actors: usize },
    /// Emits events to many emitters
    #[command(hide = true)]
    Fanout { emitters: usize, events: usize },
    /// Has large events wait at many emitters
    #[command(hide = true)]
    Backlog { emitters: usize, events: usize, bytes: usize },
    /// Opens a store in which much waits
    #[command(hide = true)]
    Recover { directory: PathBuf },
    /// Opens a store with emitters that are restored
    #[command(hide = true)]
    Restore { directory: PathBuf, emitters: usize },
    /// Sends so many events, while its instructions are counted
    #[command(hide = true)]
    Count {
        side: Sides,
        #[arg(action = ArgAction::Set)]
        signed: bool,
        emitters: usize,
        events: u64,
        to: String,
    },
    /// Delivers as many events as a file has lines
    #[command(hide = true)]
    Library { events: u64, to: String },
}

const EXAMPLES: &str = "\
Examples:
  bugle-bench --json results.json           everything
  bugle-bench --quick                       everything, in under a minute
  bugle-bench --case memory/64              64 emitters, all four ways
  bugle-bench --case 'plain/unsigned'       one way, any number of emitters
  bugle-bench --case durable --case accept  the store on disk
  bugle-bench --case history --history 1000000 --directory /mnt/disk
  bugle-bench --against main~5 --case memory/64
                                            what has changed since
  bugle-bench --list                        the names of the cases";

impl Args {
    /// The time that each side sends in a round.
    pub(crate) fn slice(&self) -> Duration {
        let default = if self.quick { Duration::from_millis(100) } else { Duration::from_secs(1) };
        self.seconds.unwrap_or(default)
    }

    /// The number of events that wait in `recovery`.
    pub(crate) fn pending(&self) -> u64 {
        self.pending.unwrap_or(if self.quick { 10_000 } else { 1_000_000 })
    }

    /// The number of settled events that are kept in `history`.
    pub(crate) fn history(&self) -> u64 {
        self.history.unwrap_or(if self.quick { 10_000 } else { 10_000_000 })
    }

    /// The number of lines that the file of `deliver` has.
    pub(crate) fn lines(&self) -> u64 {
        self.lines.unwrap_or(if self.quick { 5_000 } else { 1_000_000 })
    }

    /// The number of attempts that the long log of `page` has.
    pub(crate) fn attempts(&self) -> u64 {
        self.attempts.unwrap_or(if self.quick { 20_000 } else { 10_000_000 })
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.filter(|it| !it.is_zero()).ok_or_else(|| "a number of seconds, as 0.5".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn a_side_has_one_name() {
        for side in Sides::value_variants() {
            assert_eq!(Sides::from_str(side.name(), false).as_ref(), Ok(side));
        }
    }

    #[test]
    fn a_round_is_short_when_quick_and_as_long_as_asked_for() {
        let slice = |words: &[&str]| {
            Args::try_parse_from(["bugle-bench"].iter().chain(words)).map(|args| args.slice())
        };
        assert_eq!(slice(&[]).unwrap(), Duration::from_secs(1));
        assert_eq!(slice(&["--quick"]).unwrap(), Duration::from_millis(100));
        assert_eq!(slice(&["--quick", "--seconds", "0.25"]).unwrap(), Duration::from_millis(250));
        for wrong in ["0", "-1", "soon", "inf"] {
            assert!(slice(&["--seconds", wrong]).is_err(), "{wrong}");
        }
    }
}
