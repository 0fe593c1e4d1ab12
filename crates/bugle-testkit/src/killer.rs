//! Kills a process again and again, at moments that a seed reproduces.

use std::io;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use fastrand::Rng;

use crate::receiver::TimedOut;
use crate::victim::{Ended, Victim};

/// Names the fault point at which a process ends itself, and the count of its passing:
/// `append:before_commit@3`. It is an environment variable.
pub const FAULT_POINT: &str = "BUGLE_FAULT_POINT";

/// A moment in a process's life at which it is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Moment {
    /// This long after it was started.
    After(Duration),
    /// This long after it has printed this many lines.
    Lines(usize, Duration),
    /// At this passing of the fault point of this name: the process ends itself there. The
    /// environment variable [`FAULT_POINT`] tells it so.
    Point(String, u64),
    /// Never: it ends by itself.
    Never,
}

/// Starts a process, kills it at a moment of its life, and starts it again, as often as it is asked
/// to. The moments come from a seed: print it, and a failing run can be repeated, as far as that is
/// possible: the process and the machine don't follow the seed.
///
/// ```
/// use std::process::Command;
/// use std::time::Duration;
/// use bugle_testkit::ProcessKiller;
///
/// # #[cfg(unix)] {
/// let mut killer = ProcessKiller::new(7)
///     .after(Duration::ZERO..Duration::from_millis(20))
///     .lines(1..50);
/// for _ in 0..5 {
///     let mut service = Command::new("yes");
///     let ended = killer.live(&mut service)?;
///     assert!(!ended.status.success() && ended.lines.iter().all(|line| line == "y"));
/// }
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Everything that a process printed before its death is read. So one that prints each thing that
/// it has done, on a line, leaves a ledger behind. A test binary can be its own child:
/// [`ProcessKiller::test`].
#[derive(Debug)]
#[must_use]
pub struct ProcessKiller {
    seed: u64,
    rng: Rng,
    after: Range<Duration>,
    lines: Option<Range<usize>>,
    patience: Duration,
}

/// A process could not be killed as planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KillError {
    /// The process could not be started.
    #[error("the process could not be started: {0}")]
    Start(#[from] io::Error),
    /// The moment of its death did not come in time. The process is killed all the same.
    #[error(transparent)]
    TimedOut(#[from] TimedOut),
}

impl ProcessKiller {
    /// A killer whose moments come from this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rng: Rng::with_seed(seed),
            after: Duration::ZERO..Duration::from_millis(100),
            lines: None,
            patience: Duration::from_secs(60),
        }
    }

    /// Sets the time of its life within which a process is killed; with [`lines`](Self::lines), the
    /// time after its lines. Default: its first 100 ms.
    pub fn after(mut self, after: Range<Duration>) -> Self {
        self.after = after;
        self
    }

    /// Sets the number of lines after which a process is killed. Half of all lives end so, a
    /// quarter at once and a quarter a little later; the others end by time alone. Default: all by
    /// time.
    pub fn lines(mut self, lines: Range<usize>) -> Self {
        self.lines = Some(lines);
        self
    }

    /// Sets the longest wait for lines, or for an end that comes by itself. Default 60 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Draws a number from the seed, for a test's other random choices. An empty range gives 0.
    pub fn roll(&mut self, range: Range<u64>) -> u64 {
        match range.is_empty() {
            true => 0,
            false => self.rng.u64(range),
        }
    }

    /// Draws the next moment from the seed.
    pub fn moment(&mut self) -> Moment {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let range = nanos(self.after.start)..nanos(self.after.end);
        let after = Duration::from_nanos(self.roll(range));
        match self.lines.clone() {
            Some(lines) if self.rng.bool() => {
                let count = self.roll(lines.start as u64..lines.end as u64);
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                let after = if self.rng.bool() { Duration::ZERO } else { after };
                Moment::Lines(count, after)
            }
            _ => Moment::After(after),
        }
    }

    /// Starts a process and kills it at the next moment.
    ///
    /// # Errors
    /// As [`live_until`](Self::live_until).
    pub fn live(&mut self, command: &mut Command) -> Result<Ended, KillError> {
        let moment = self.moment();
        self.live_until(command, &moment)
    }

    /// Starts a process and kills it at this moment, unless it ends before by itself.
    ///
    /// # Errors
    /// [`KillError`]: it could not be started, or the moment did not come.
    pub fn live_until(&self, command: &mut Command, moment: &Moment) -> Result<Ended, KillError> {
        if let Moment::Point(name, passing) = moment {
            command.env(FAULT_POINT, format!("{name}@{passing}"));
        }
        let victim = Victim::start(command)?;
        match moment {
            Moment::After(after) => std::thread::sleep(*after),
            Moment::Lines(count, then) => {
                victim.wait_for_lines(*count, self.patience)?;
                std::thread::sleep(*then);
            }
            Moment::Point(..) | Moment::Never => return Ok(victim.wait(self.patience)?),
        }
        Ok(victim.kill()?)
    }

    /// The command that runs one test of the calling test binary, as a child. Mark that test
    /// `#[ignore]`, and let it do nothing unless an environment variable tells it to. Prefix each
    /// line that it prints: the test harness prints lines of its own, and leaves one of them open.
    ///
    /// # Errors
    /// An [`io::Error`] when the binary's path is not known.
    pub fn test(name: &str) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
        Ok(command)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_seed_repeats_its_moments() {
        let moments = |seed| {
            let mut killer = ProcessKiller::new(seed).lines(3..10);
            (0..100).map(|_| killer.moment()).collect::<Vec<_>>()
        };
        assert_eq!(moments(1), moments(1));
        assert_ne!(moments(1), moments(2));
        for moment in moments(1) {
            match moment {
                Moment::After(after) => assert!(after < Duration::from_millis(100)),
                Moment::Lines(count, _) => assert!((3..10).contains(&count)),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn all_that_was_printed_is_there_and_half_a_line_is_not() {
        let killer = ProcessKiller::new(1);
        let mut command = shell("echo one; echo two; printf thr; exec cat");
        let mut short = shell("echo one; exit 3");
        let ended = killer.live_until(&mut short, &Moment::Lines(5, Duration::ZERO));
        let ended = ended.unwrap();
        assert_eq!((ended.lines, ended.status.code()), (vec!["one".to_owned()], Some(3)));
        let ended = killer.live_until(&mut command, &Moment::Lines(2, Duration::ZERO)).unwrap();
        assert_eq!(ended.lines, ["one", "two"]);
        assert_eq!(ended.status.code(), None, "it was killed");
    }

    #[test]
    fn what_does_not_come_is_said_and_the_process_is_gone() {
        let killer = ProcessKiller::new(1).patience(Duration::from_millis(50));
        let mut command = shell("echo $$; exec cat");
        let late = killer.live_until(&mut command, &Moment::Lines(2, Duration::ZERO));
        let KillError::TimedOut(late) = late.unwrap_err() else { panic!("it was started") };
        assert!(late.to_string().contains("it printed 1 lines, the last one: "), "{late}");
        let id = late.seen.rsplit(' ').next().unwrap();
        assert!(!shell(&format!("kill -0 {id} 2>/dev/null")).status().unwrap().success());
    }

    #[test]
    fn a_fault_point_is_named_to_the_process() {
        let killer = ProcessKiller::new(1);
        let moment = Moment::Point("append:before_commit".to_owned(), 3);
        let ended = killer.live_until(&mut shell("echo $BUGLE_FAULT_POINT"), &moment).unwrap();
        assert_eq!(ended.lines, ["append:before_commit@3"]);
    }

    #[test]
    fn no_child_outlives_a_test_that_panics() {
        let (tell, told) = std::sync::mpsc::channel();
        let test = std::thread::spawn(move || {
            let victim = Victim::start(&mut shell("exec cat")).unwrap();
            tell.send(victim.id()).unwrap();
            panic!("the test fails");
        });
        assert!(test.join().is_err());
        let id = told.recv().unwrap();
        assert!(!shell(&format!("kill -0 {id} 2>/dev/null")).status().unwrap().success());
    }
}
