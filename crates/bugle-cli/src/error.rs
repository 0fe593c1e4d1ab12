//! Why a command could not do its work, and the exit code that says so.
//!
//! The codes are one table for all commands, [`EXIT_CODES`]. An error's code follows from its kind
//! alone, so that like faults end alike.

use std::fmt;
use std::io;
use std::process::ExitCode;

use serde::Serialize;

/// The work was done, but not all of it came out as it was asked for.
pub(crate) const NOT_DONE: u8 = 1;
/// The command was not understood, as clap has it too, or names a file that can't be read.
pub(crate) const USAGE: u8 = 2;
/// A resource that the command needs can't be used: a store, a database, a port, the output.
pub(crate) const UNUSABLE: u8 = 3;

/// The meaning of each exit code, for the help.
pub(crate) const EXIT_CODES: &str = "\
Exit codes, of every command:
  0  all of it was done, and holds
  1  something was not delivered, is not valid, does not hold, or is not on record (any more)
  2  the command was not understood, or names a file or a store that is not there or can't be read
  3  what it needs can't be used: a store that is in use or damaged, a database, a port, \
the output";

/// Why a command ended early. The message says what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line asks for what can't be.
    #[error("{0}")]
    Usage(String),
    /// A file or a store that it names is not there, or can't be read.
    #[error("{0}")]
    Unreadable(String),
    /// The input ended badly, or is not what it was.
    #[error("{0}")]
    Input(String),
    /// The record that the command names is not there, or no longer.
    #[error("{0}")]
    NotFound(String),
    /// The store can't be used: it is in use, damaged, or full.
    #[error("{0}")]
    Store(String),
    /// The database can't be used: it does not answer, or refuses.
    #[error("{0}")]
    Database(String),
    /// The system does not give what the command needs: a port, threads, random numbers.
    #[error("{0}")]
    System(String),
    /// Standard output could not be written.
    #[error("standard output can't be written: {}", in_words(.0))]
    Output(#[source] io::Error),
}

/// An error as `--json` prints it, one of a list of them, in the form that StarkInfra's API has.
#[derive(Debug, Serialize)]
pub(crate) struct JsonError {
    /// The kind, for programs.
    pub(crate) code: String,
    /// Says in a sentence or two what is wrong, and what to do next.
    pub(crate) message: String,
}

impl JsonError {
    pub(crate) fn new(code: impl ToString, message: impl ToString) -> Self {
        Self { code: code.to_string(), message: message.to_string() }
    }
}

impl From<&CliError> for JsonError {
    fn from(error: &CliError) -> Self {
        Self::new(error.kind().0, error)
    }
}

impl CliError {
    /// The command line asks for what can't be.
    pub(crate) fn usage(message: impl ToString) -> Self {
        Self::Usage(message.to_string())
    }

    /// A file can't be read.
    pub(crate) fn unreadable(name: impl fmt::Display, error: &io::Error) -> Self {
        Self::Unreadable(format!("{name} can't be read: {}", in_words(error)))
    }

    /// The record that the command names is not there.
    pub(crate) fn not_found(message: impl ToString) -> Self {
        Self::NotFound(message.to_string())
    }

    /// The store can't be used.
    pub(crate) fn store(message: impl ToString) -> Self {
        Self::Store(without_number(&message.to_string()))
    }

    /// The database can't be used.
    pub(crate) fn database(message: impl ToString) -> Self {
        Self::Database(without_number(&message.to_string()))
    }

    /// The system does not give what is needed.
    pub(crate) fn system(message: impl ToString) -> Self {
        Self::System(message.to_string())
    }

    /// The input ended badly.
    pub(crate) fn input(message: impl ToString) -> Self {
        Self::Input(message.to_string())
    }

    /// The kind, as programs are told it, and the exit code.
    pub(crate) fn kind(&self) -> (&'static str, u8) {
        match self {
            Self::Usage(_) => ("invalidUsage", USAGE),
            Self::Unreadable(_) => ("notReadable", USAGE),
            Self::Input(_) => ("inputBroken", NOT_DONE),
            Self::NotFound(_) => ("notFound", NOT_DONE),
            Self::Store(_) => ("storeUnusable", UNUSABLE),
            Self::Database(_) => ("databaseUnusable", UNUSABLE),
            Self::System(_) => ("systemRefused", UNUSABLE),
            Self::Output(_) => ("outputUnwritable", UNUSABLE),
        }
    }

    /// True when the reader of standard output has gone, as with `| head`: nothing more is to be
    /// done, and nobody is there to be told.
    pub(crate) fn is_seen_enough(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit code that goes with the error's kind.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind().1)
    }
}

/// The operating system's words for a refusal, without its numbers.
pub(crate) fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "you are not permitted to; see who owns it (ls -ld), and who you are (id)".to_owned()
        }
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        io::ErrorKind::NotADirectory => "what its path leads through is no directory".to_owned(),
        io::ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        _ => without_number(&error.to_string()).to_lowercase(),
    }
}

/// Takes the operating system's number out of a text that quotes it.
pub(crate) fn without_number(text: &str) -> String {
    let Some((before, after)) = text.split_once(" (os error ") else { return text.to_owned() };
    let behind = after.split_once(')').map_or("", |(_, behind)| behind);
    format!("{before}{behind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_code_of_its_own_and_an_exit_code_of_the_table() {
        let text = String::new;
        let kinds = [
            CliError::Usage(text()),
            CliError::Unreadable(text()),
            CliError::Input(text()),
            CliError::NotFound(text()),
            CliError::Store(text()),
            CliError::Database(text()),
            CliError::System(text()),
            CliError::Output(io::Error::other("")),
        ];
        let mut codes: Vec<_> = kinds.iter().map(|kind| kind.kind().0).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), kinds.len());
        for kind in &kinds {
            assert!(EXIT_CODES.contains(&format!("\n  {}  ", kind.kind().1)));
        }
    }

    #[test]
    fn no_number_of_the_system_is_told() {
        for number in [1, 2, 13, 20, 21, 24, 28, 40, 98, 111] {
            let words = in_words(&io::Error::from_raw_os_error(number));
            assert!(!words.contains("os error") && !words.is_empty(), "{words}");
        }
        assert_eq!(without_number("f: gone (os error 2): look"), "f: gone: look");
    }
}
