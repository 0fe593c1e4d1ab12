//! `bugle keygen`: a new key.

use std::process::ExitCode;

use bugle::Secret;
use clap::Args;
use serde_json::json;

use crate::error::CliError;
use crate::ui;

const EXAMPLES: &str = "\
Examples:
  A secret that sender and receiver share:
    bugle keygen > secret.txt
    bugle deliver events.ndjson --to https://example.com/hooks --secret-file secret.txt

  A private key to sign with, and a public one for the receivers (one line each):
    bugle keygen --asymmetric";

/// Makes a key of Standard Webhooks' forms: whsec_… for sender and receiver both, or a pair.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct KeygenArgs {
    /// Make an ed25519 pair: whsk_… signs and stays secret, whpk_… is for the receivers
    #[arg(long)]
    asymmetric: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &KeygenArgs) -> Result<ExitCode, CliError> {
    if args.asymmetric {
        let (secret, public) = Secret::generate_signing_key().map_err(CliError::system)?;
        match args.json {
            true => ui::json(&json!({"secret": secret.reveal(), "public": public.to_string()}))?,
            false => ui::result(format_args!("{}\n{public}", secret.reveal()))?,
        }
    } else {
        let secret = Secret::generate().map_err(CliError::system)?;
        match args.json {
            true => ui::json(&json!({"secret": secret.reveal()}))?,
            false => ui::result(secret.reveal())?,
        }
    }
    Ok(ExitCode::SUCCESS)
}
