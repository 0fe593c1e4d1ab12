//! Secrets on the command line. They are read as text, so that no error message repeats one.

use std::fs;
use std::path::PathBuf;

use bugle::{Secret, VerifyingKey};
use clap::Args;

use crate::error::CliError;

/// The keys that sign, or that verify.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// A key: whsec_… and whsk_… sign as Standard Webhooks has it (whpk_… verifies), any other
    /// text signs the body alone. Give it several times to rotate keys. On a shared machine
    /// prefer --secret-file or the environment: arguments can be seen by others
    #[arg(
        long,
        value_name = "KEY",
        env = "BUGLE_SECRET",
        hide_env_values = true,
        help_heading = "Signatures"
    )]
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

    fn parse<K>(
        &self,
        parse: impl Fn(&str) -> Result<K, bugle::SecretError>,
    ) -> Result<Vec<K>, CliError> {
        let mut keys = Vec::new();
        for text in &self.secret {
            keys.push(parse(text).map_err(|e| CliError::usage(format!("--secret: {e}")))?);
        }
        for path in &self.secret_file {
            let wrong =
                |what: String| CliError::usage(format!("--secret-file {}: {what}", path.display()));
            let text = fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
            let lines = text.lines().map(str::trim).enumerate();
            for (at, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
                keys.push(parse(line).map_err(|e| wrong(format!("line {}: {e}", at + 1)))?);
            }
        }
        Ok(keys)
    }
}
