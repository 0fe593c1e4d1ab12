//! Writing to the two standard streams. Nothing here panics: `println!` does when a pipe breaks.

use std::fmt::Display;
use std::io::{self, Write as _};

use indicatif::{MultiProgress, ProgressBar};
use parking_lot::Mutex;
use serde::Serialize;

use crate::error::CliError;

type Write = Box<dyn Fn(&str) + Send>;

/// Writes a line above the bars on the terminal, while there are some.
static ABOVE: Mutex<Option<Write>> = Mutex::new(None);

/// Writes a line to standard output: the result of a command.
pub(crate) fn result(line: impl Display) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Writes a line of JSON to standard output.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    result(serde_json::to_string(value).map_err(|error| CliError::Output(error.into()))?)
}

/// Writes the result of the work. A reader who has seen enough does not change the exit code.
pub(crate) fn outcome(as_json: bool, value: &(impl Serialize + Display)) -> Result<(), CliError> {
    let written = if as_json { json(value) } else { result(value) };
    written.or_else(|error| if error.is_seen_enough() { Ok(()) } else { Err(error) })
}

/// Writes a line to standard error that a person may want to know, above the bars.
pub(crate) fn note(line: impl Display) {
    let line = line.to_string();
    match &*ABOVE.lock() {
        Some(write) => write(&line),
        None => write_note(&line),
    }
}

/// Writes a note. Nobody is left to be told when that fails.
fn write_note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Directs notes above the bars for as long as it lives.
pub(crate) struct Above(());

impl Above {
    /// Directs notes to this writer.
    pub(crate) fn by(write: impl Fn(&str) + Send + 'static) -> Self {
        *ABOVE.lock() = Some(Box::new(write));
        Self(())
    }

    /// Directs notes above this bar.
    pub(crate) fn bar(bar: &ProgressBar) -> Self {
        let bar = bar.clone();
        Self::by(move |line| bar.suspend(|| write_note(line)))
    }

    /// Directs notes above these bars.
    pub(crate) fn bars(bars: &MultiProgress) -> Self {
        let bars = bars.clone();
        Self::by(move |line| bars.suspend(|| write_note(line)))
    }
}

impl Drop for Above {
    fn drop(&mut self) {
        *ABOVE.lock() = None;
    }
}

/// Writes a count with its digits grouped, as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// Writes a count with its noun: `1 event`, `2 events`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// Escapes a stranger's text, so that it can't drive the terminal.
pub(crate) fn visible(text: &str) -> String {
    let harmless = |char: char| !char.is_control() || matches!(char, '\n' | '\t');
    text.chars().map(|char| if harmless(char) { char } else { '\u{fffd}' }).collect()
}
