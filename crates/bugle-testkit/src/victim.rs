//! A child process that does not outlive the test that started it.

use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::receiver::TimedOut;

/// A child process that is killed when this is dropped, so also when the test that started it
/// panics. Its output is read all the time, so it never waits for a reader.
///
/// This value owns its standard output and input. Its standard error is what the command sets: by
/// default the test's own. A child that calls [`end_with_parent`] also ends when the whole test
/// process does.
#[derive(Debug)]
pub struct Victim {
    child: Child,
    /// Is closed with the victim: so the child learns that its parent is gone.
    _stdin: Option<ChildStdin>,
    output: Arc<Output>,
    reading: Option<JoinHandle<()>>,
    started: Instant,
}

/// The end of a [`Victim`], and all that it had printed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ended {
    /// Its lines, without their line ends. A line that its death cut off is not among them.
    pub lines: Vec<String>,
    /// The exit status, as the operating system gives it.
    pub status: ExitStatus,
    /// The time from its start to its end.
    pub lived: Duration,
}

impl Victim {
    /// Starts a process.
    ///
    /// # Errors
    /// An [`io::Error`] when the machine can't start it.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let started = Instant::now();
        let output = Arc::new(Output::default());
        // From here on the child is killed, whatever fails.
        let mut victim =
            Self { child, _stdin: stdin, output: Arc::clone(&output), reading: None, started };
        let stdout = stdout.ok_or_else(|| io::Error::other("the child has no output"))?;
        let reading = std::thread::Builder::new()
            .name("bugle-testkit-victim".to_owned())
            .spawn(move || output.read(stdout))?;
        victim.reading = Some(reading);
        Ok(victim)
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines that it has printed so far.
    pub fn lines(&self) -> Vec<String> {
        self.output.printed.lock().lines.clone()
    }

    /// Waits until it has printed this many lines. `false` when it has ended before.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline passes first.
    pub fn wait_for_lines(&self, lines: usize, deadline: Duration) -> Result<bool, TimedOut> {
        self.wait_until(&format!("{lines} lines"), deadline, |printed| printed.len() >= lines)
    }

    /// Waits until the condition holds for its lines. `false` when it has ended before.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline passes first; its `what` names the condition.
    pub fn wait_until(
        &self,
        what: &str,
        deadline: Duration,
        mut condition: impl FnMut(&[String]) -> bool,
    ) -> Result<bool, TimedOut> {
        let until = Instant::now() + deadline;
        let mut printed = self.output.printed.lock();
        loop {
            if condition(&printed.lines) {
                return Ok(true);
            }
            if printed.is_over {
                return Ok(false);
            }
            if self.output.changed.wait_until(&mut printed, until).timed_out() {
                return Err(TimedOut::new(what, deadline, printed.summary()));
            }
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// [`TimedOut`] when the deadline passes first; it is killed then.
    pub fn wait(self, deadline: Duration) -> Result<Ended, TimedOut> {
        self.wait_until("the end of the process", deadline, |_| false)?;
        self.end()
    }

    /// Kills it, with SIGKILL on Unix, which it can't handle.
    ///
    /// # Errors
    /// [`TimedOut`] when the operating system does not let it go.
    pub fn kill(mut self) -> Result<Ended, TimedOut> {
        // The process may have ended already.
        let _ = self.child.kill();
        self.end()
    }

    fn end(mut self) -> Result<Ended, TimedOut> {
        let lived = self.started.elapsed();
        let status = self.child.wait();
        if let Some(reading) = self.reading.take() {
            let _ = reading.join();
        }
        let printed = self.output.printed.lock();
        match status {
            Ok(status) => Ok(Ended { lines: printed.lines.clone(), status, lived }),
            Err(error) => {
                let seen = format!("{}; {error}", printed.summary());
                Err(TimedOut::new("the end of the process", lived, seen))
            }
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The output of a process.
#[derive(Debug, Default)]
struct Output {
    printed: Mutex<Printed>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Printed {
    lines: Vec<String>,
    is_over: bool,
}

impl Printed {
    fn summary(&self) -> String {
        let last = self.lines.last().map_or("nothing", String::as_str);
        format!("it printed {} lines, the last one: {last}", self.lines.len())
    }
}

impl Output {
    fn read(&self, stdout: ChildStdout) {
        let mut stdout = BufReader::new(stdout);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = stdout.read_until(b'\n', &mut line);
            let mut printed = self.printed.lock();
            match read {
                // A killed process may leave half a line at the end, which does not count.
                Ok(_) if line.last() == Some(&b'\n') => {
                    line.pop();
                    printed.lines.push(String::from_utf8_lossy(&line).into_owned());
                }
                _ => printed.is_over = true,
            }
            self.changed.notify_all();
            if printed.is_over {
                return;
            }
        }
    }
}

/// Ends this process, at once and without any tidying, as soon as its standard input is closed:
/// then the process that started it as a [`Victim`] is gone, in whatever way. A child calls it.
///
/// # Errors
/// An [`io::Error`] when the machine has no thread to give.
pub fn end_with_parent() -> io::Result<()> {
    let watch = || {
        let mut stdin = io::stdin().lock();
        while !matches!(stdin.read(&mut [0; 64]), Ok(0) | Err(_)) {}
        std::process::abort()
    };
    std::thread::Builder::new().name("bugle-testkit-parent".to_owned()).spawn(watch).map(drop)
}
