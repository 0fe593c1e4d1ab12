//! Reports of errors, for a person or for a program.

use std::ffi::OsStr;
use std::process::ExitCode;

use console::style;
use serde::Serialize;

use crate::error::{CliError, JsonError, USAGE};
use crate::ui;

#[derive(Serialize)]
struct JsonErrors {
    errors: [JsonError; 1],
}

/// Tells an error to the person or the program, and answers the exit code.
pub(crate) fn error(error: &CliError, as_json: bool) -> ExitCode {
    if error.is_seen_enough() {
        return ExitCode::SUCCESS;
    }
    tell(error.kind().0, &error.to_string(), as_json);
    error.exit_code()
}

/// Reports an error of clap's; help and version are among them.
pub(crate) fn misunderstood(error: &clap::Error, as_json: bool) -> ExitCode {
    if !error.use_stderr() || !as_json {
        // A reader who closed the output has seen enough.
        let _ = error.print();
        return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
    }
    let text = error.render().to_string();
    let what = text.split("\n\nUsage:").next().unwrap_or(&text);
    let what = what.split("\n\nFor more information").next().unwrap_or(what);
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let words: Vec<&str> = what.split_whitespace().collect();
    tell("invalidUsage", &words.join(" "), true);
    ExitCode::from(USAGE)
}

/// True when a program reads the command's output. It is asked before the command line is
/// understood, as parsing may be what fails.
pub(crate) fn is_json_wanted<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> bool {
    args.into_iter().take_while(|arg| arg.as_ref() != "--").any(|arg| arg.as_ref() == "--json")
}

fn tell(code: &str, message: &str, as_json: bool) {
    if as_json {
        // It is the last thing that is said, whether it is heard or not.
        let _ = ui::json(&JsonErrors { errors: [JsonError::new(code, message)] });
    } else {
        ui::note(format_args!("{} {message}", style("error:").for_stderr().red().bold()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_asked_for_by_its_flag_alone() {
        assert!(is_json_wanted(["attempts", "--json", "--store"]));
        assert!(!is_json_wanted(["attempts", "--jsons", "--", "--json"]));
    }
}
