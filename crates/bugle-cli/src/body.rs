//! A request's body from a file or from standard input.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use crate::error::CliError;

/// Reads it all; `-` is standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    let read = if path == Path::new("-") {
        let mut body = Vec::new();
        io::stdin().lock().read_to_end(&mut body).map(|_| body)
    } else {
        fs::read(path)
    };
    read.map_err(|error| CliError::unreadable(path.display(), &error))
}
