//! Logging to standard error: `-v`, `-vv`, and `RUST_LOG`.

use std::env::{self, VarError};
use std::io;

use tracing_subscriber::EnvFilter;

use crate::error::CliError;
use crate::ui;

/// The environment variable that says in detail what is logged.
const VARIABLE: &str = "RUST_LOG";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Starts to log. `RUST_LOG` decides where it is set; otherwise `-v` shows what happens and `-vv`
/// each attempt, of Bugle's own crates. Without either there are warnings; those of the runtime are
/// left out where the command reports by itself what becomes of deliveries.
pub(crate) fn start(verbose: u8, tells_itself: bool) -> Result<(), CliError> {
    let filter = match env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => asked_for(&text)?,
        Ok(_) | Err(VarError::NotPresent) => EnvFilter::new(usual(verbose, tells_itself)),
        Err(VarError::NotUnicode(_)) => return Err(unfit("it is not UTF-8")),
    };
    let ansi = console::colors_enabled_stderr();
    // Fails only when there is a subscriber already, and there is none.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Lines)
        .with_ansi(ansi)
        .try_init();
    Ok(())
}

/// The crates of the workspace have names that begin with `bugle`, which is what a filter compares.
fn usual(verbose: u8, tells_itself: bool) -> &'static str {
    match verbose {
        0 if tells_itself => "off,bugle=warn,bugle_runtime=off",
        0 => "off,bugle=warn",
        1 => "off,bugle=info",
        2 => "off,bugle=debug",
        _ => "debug,bugle=trace",
    }
}

/// Reads the filter of `RUST_LOG`. A word alone that is no level would be taken for a crate's name,
/// and nothing would ever be logged; it is nearly always a level that was misspelt.
fn asked_for(text: &str) -> Result<EnvFilter, CliError> {
    let is_level = |word: &str| {
        LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level))
            || matches!(word.as_bytes(), [b'0'..=b'5'])
    };
    for directive in text.split(',').map(str::trim) {
        if directive.is_empty() || is_level(directive) {
            continue;
        }
        // The text in a span's brackets may have commas and equal signs of its own.
        if directive.contains(['[', ']', '{', '}']) {
            continue;
        }
        match directive.rsplit_once('=') {
            Some((target, level)) if !target.trim().is_empty() && is_level(level.trim()) => {}
            Some((_, level)) => return Err(unfit(format_args!("{level:?} is no level"))),
            None => return Err(unfit(format_args!("{directive:?} is no level"))),
        }
    }
    EnvFilter::try_new(text).map_err(unfit)
}

fn unfit(what: impl std::fmt::Display) -> CliError {
    let levels = LEVELS.join(", ");
    CliError::usage(format!(
        "{VARIABLE}: {what}: write a level ({levels}), or a level for each crate, as \
         warn,bugle_http=debug; or unset it, and use -v or -vv"
    ))
}

/// Writes to standard error, above the bars that are drawn there. An event of the log arrives
/// whole.
struct Lines;

impl io::Write for Lines {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        ui::note(String::from_utf8_lossy(buffer).trim_end_matches('\n'));
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_log_nothing_is_refused() {
        for good in [
            "warn",
            "INFO",
            "3",
            "off",
            "bugle=debug",
            "warn,bugle_http=trace",
            "info,bugle::x=debug",
            "bugle_runtime[attempt{emitter=a}]=debug",
            "warn,,",
        ] {
            assert!(asked_for(good).is_ok(), "{good}");
        }
        for bad in ["garbage", "warm", "bugle", "bugle=loud", "=info", "bugle=", "7", "a b", "[x"] {
            let error = asked_for(bad).unwrap_err().to_string();
            assert!(error.starts_with("RUST_LOG: "), "{bad}: {error}");
        }
        for verbose in 0..4 {
            for tells_itself in [false, true] {
                assert!(EnvFilter::try_new(usual(verbose, tells_itself)).is_ok());
            }
        }
    }
}
