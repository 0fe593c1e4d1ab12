//! Why a command could not do its work, and the exit code that says so.

use std::io;
use std::process::ExitCode;

use console::style;

use crate::ui;

/// Something was not delivered, or does not hold.
pub(crate) const NOT_DONE: u8 = 1;
/// The command was not understood, as clap has it too.
pub(crate) const USAGE: u8 = 2;

/// Why a command ended early. The message says what to do next.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line asks for what can't be.
    #[error("{0}")]
    Usage(String),
    /// The work failed.
    #[error("{0}")]
    Failed(String),
    /// Standard output could not be written.
    #[error("standard output can't be written: {0}")]
    Output(#[source] io::Error),
}

impl CliError {
    /// The command line asks for what can't be.
    pub(crate) fn usage(message: impl ToString) -> Self {
        Self::Usage(message.to_string())
    }

    /// The work failed.
    pub(crate) fn failed(message: impl ToString) -> Self {
        Self::Failed(message.to_string())
    }

    /// Tells the person, and answers the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        if let Self::Output(error) = self
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            // Who read the output has seen enough, as `| head` does.
            return ExitCode::from(NOT_DONE);
        }
        ui::note(format_args!("{} {self}", style("error:").for_stderr().red().bold()));
        ExitCode::from(if matches!(self, Self::Usage(_)) { USAGE } else { NOT_DONE })
    }
}
