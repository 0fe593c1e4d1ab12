//! Secrets on the command line. They are read as text, so that no error message repeats one.
//!
//! A place that was named and holds no key is an error: otherwise the command would do its work
//! without signing, or without verifying, and nobody would notice.

use std::env;
use std::fs;
use std::path::PathBuf;

use bugle::{Secret, SecretError, VerifyingKey};
use clap::Args;

use crate::error::CliError;

/// The environment variable that may hold a key.
const VARIABLE: &str = "BUGLE_SECRET";

/// The keys that sign, or that verify.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// A key: whsec_… and whsk_… sign as Standard Webhooks has it (whpk_… verifies), any other text
    /// signs the body alone. Give it several times to rotate keys. On a shared machine prefer
    /// --secret-file, or the environment: arguments can be seen by others [env: BUGLE_SECRET, where
    /// --secret is not given]
    #[arg(long, value_name = "KEY", help_heading = "Signatures")]
    secret: Vec<String>,
    /// A file with one key a line; lines that are empty or begin with # are passed over
    #[arg(long, value_name = "FILE", help_heading = "Signatures")]
    secret_file: Vec<PathBuf>,
}

impl KeyArgs {
    /// The keys that sign.
    pub(crate) fn secrets(&self) -> Result<Vec<Secret>, CliError> {
        self.parse(Secret::parse)
    }

    /// The keys that verify.
    pub(crate) fn verifying_keys(&self) -> Result<Vec<VerifyingKey>, CliError> {
        self.parse(VerifyingKey::parse)
    }

    /// The option that gives a key on the command line, if one does.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let (keys, files) = (!self.secret.is_empty(), !self.secret_file.is_empty());
        if keys { Some("--secret") } else { files.then_some("--secret-file") }
    }

    fn parse<K>(&self, parse: impl Fn(&str) -> Result<K, SecretError>) -> Result<Vec<K>, CliError> {
        let mut keys = Vec::new();
        for text in &self.secret {
            keys.push(parse(text).map_err(|e| CliError::usage(format!("--secret: {e}")))?);
        }
        if self.secret.is_empty()
            && let Some(value) = env::var_os(VARIABLE)
        {
            keys.push(from_variable(value.to_str(), &parse)?);
        }
        for path in &self.secret_file {
            let name = format!("--secret-file {}", path.display());
            let text = fs::read_to_string(path).map_err(|e| CliError::unreadable(&name, &e))?;
            keys.extend(from_file(&name, &text, &parse)?);
        }
        Ok(keys)
    }
}

fn from_variable<K>(
    value: Option<&str>,
    parse: impl Fn(&str) -> Result<K, SecretError>,
) -> Result<K, CliError> {
    let wrong = |what: &str| CliError::usage(format!("the variable {VARIABLE} {what}"));
    match value {
        None => Err(wrong("is not text in UTF-8: give it a key, or unset it")),
        Some(text) if text.trim().is_empty() => {
            Err(wrong("is set, and empty: give it a key (`bugle keygen` makes one), or unset it"))
        }
        Some(text) => parse(text).map_err(|error| wrong(&format!("holds no key: {error}"))),
    }
}

fn from_file<K>(
    name: &str,
    text: &str,
    parse: impl Fn(&str) -> Result<K, SecretError>,
) -> Result<Vec<K>, CliError> {
    let mut keys = Vec::new();
    // Editors on Windows begin a file with the mark, which would become a part of the key.
    let lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines().map(str::trim).enumerate();
    for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let wrong = |error| CliError::usage(format!("{name}: line {}: {error}", at + 1));
        keys.push(parse(line).map_err(wrong)?);
    }
    if keys.is_empty() {
        return Err(CliError::usage(format!(
            "{name} has no key: write one a line (`bugle keygen` makes one), or \
             leave the option out"
        )));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_a_key_is_an_error() {
        for empty in ["", "\n", " \t\r\n", "# a comment", "\u{feff}", "#a\n\n  # b\n"] {
            let error = from_file("--secret-file f", empty, Secret::parse).unwrap_err();
            assert!(error.to_string().starts_with("--secret-file f has no key"), "{error}");
        }
        for (empty, said) in
            [(Some(""), "is set, and empty"), (Some(" \n"), "is set, and empty"), (None, "UTF-8")]
        {
            let error = from_variable(empty, Secret::parse).unwrap_err().to_string();
            assert!(error.starts_with("the variable BUGLE_SECRET "), "{error}");
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_key() {
        let keys = from_file("f", "\u{feff}one\r\n#\r\n two \r\n", Secret::parse).unwrap();
        let keys: Vec<_> = keys.iter().map(Secret::reveal).collect();
        assert_eq!(keys, ["one", "two"]);
    }
}
