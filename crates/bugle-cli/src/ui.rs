//! Writing to the two standard streams. Nothing here panics: `println!` does when a pipe breaks.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::error::CliError;

/// Writes a line to standard output: the result of a command.
pub(crate) fn result(line: impl Display) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Writes a line of JSON to standard output.
pub(crate) fn json(value: &impl Serialize) -> Result<(), CliError> {
    result(serde_json::to_string(value).map_err(CliError::failed)?)
}

/// Writes a line to standard error: what a person may want to know. There is nobody to tell when
/// that fails.
pub(crate) fn note(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A count with its digits grouped, as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// `1 event`, `2 events`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}
