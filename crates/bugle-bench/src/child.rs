//! Runs parts of the benchmark in processes of their own: this same binary, told which part.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Starts a part.
pub(crate) fn spawn(arguments: &[&str]) -> Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("{arguments:?} could not be started"))
}

/// Runs a part to its end, and answers its result.
pub(crate) fn run<T: DeserializeOwned>(part: &str, numbers: &[usize]) -> Result<T> {
    let numbers: Vec<String> = numbers.iter().map(usize::to_string).collect();
    run_with(part, &numbers)
}

/// Runs a part with arguments that are no numbers.
pub(crate) fn run_with<T: DeserializeOwned>(part: &str, words: &[String]) -> Result<T> {
    let arguments: Vec<&str> = [part].into_iter().chain(words.iter().map(String::as_str)).collect();
    let output = spawn(&arguments)?.wait_with_output()?;
    if !output.status.success() {
        bail!("{arguments:?} ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{arguments:?} answered wrongly"))
}

/// Writes a part's result, for the process that runs it.
pub(crate) fn answer(found: impl Serialize) -> Result<()> {
    let mut output = std::io::stdout();
    serde_json::to_writer(&mut output, &found)?;
    Ok(output.flush()?)
}
