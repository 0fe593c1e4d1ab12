//! `bugle verify`: checks whether a request that was received can be trusted.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bugle::Verifier;
use clap::Args;
use console::style;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use serde_json::json;

use crate::error::{CliError, NOT_DONE};
use crate::keys::KeyArgs;
use crate::{body, duration, ui};

const EXAMPLES: &str = "\
Examples:
  A request, header by header:
    bugle verify --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw body.json \\
      -H 'webhook-id: msg_1' -H 'webhook-timestamp: 1614265330' \\
      -H 'webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='

  With the headers in a file, as curl -D writes it:
    bugle verify --secret-file keys.txt --headers headers.txt body.json

  One that was recorded long ago:
    bugle verify --secret supersecret --headers headers.txt --at 1614265330 body.json

Exit codes: 0 the signature holds, 1 it does not; others as of every command, see bugle
--help.";

/// Verifies a request that was received: its signature, and that it is not old.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The body, exactly as it was received; - for standard input
    #[arg(default_value = "-", value_name = "FILE", hide_default_value = true)]
    body: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    /// One of the request's headers
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// A file of the request's headers, one a line; lines without a colon are passed over
    #[arg(long, value_name = "FILE")]
    headers: Vec<PathBuf>,
    /// The middle of the X-…-Signature header's name
    #[arg(long, default_value = "Webhooks", help_heading = "Signatures")]
    identifier: String,
    /// The time that the request's timestamp may be off, either way
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration::parse)]
    tolerance: Duration,
    /// The time at which the request was received, in unix seconds [default: now]
    #[arg(long, value_name = "SECONDS")]
    at: Option<i64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let keys = args.keys.verifying_keys()?;
    if keys.is_empty() {
        return Err(CliError::usage(
            "there is no key to verify with: give --secret, --secret-file, or the variable \
             BUGLE_SECRET",
        ));
    }
    let headers = read_headers(args)?;
    let now = match args.at {
        Some(seconds) => Timestamp::from_second(seconds)
            .map_err(|_| CliError::usage("--at is a number of seconds since 1970"))?,
        None => Timestamp::now(),
    };
    let body = body::read(&args.body)?;
    let verdict = Verifier::new(keys)
        .tolerance(args.tolerance)
        .header_identifier(&args.identifier)
        .verify(|name| headers.get(name).and_then(|value| value.to_str().ok()), &body, now);
    if args.json {
        let reason = verdict.as_ref().err().map(ToString::to_string);
        ui::json(&json!({"valid": verdict.is_ok(), "reason": reason}))?;
    } else {
        match &verdict {
            Ok(()) => ui::result(style("the signature holds").green())?,
            Err(why) => ui::result(format_args!("{}: {why}", style("it does not hold").red()))?,
        }
    }
    Ok(ExitCode::from(if verdict.is_ok() { 0 } else { NOT_DONE }))
}

fn read_headers(args: &VerifyArgs) -> Result<HeaderMap, CliError> {
    let mut headers = HeaderMap::new();
    for path in &args.headers {
        let name = format!("--headers {}", path.display());
        let text = fs::read_to_string(path).map_err(|e| CliError::unreadable(&name, &e))?;
        // A status or request line, as curl and proxies write it, is no header.
        let found: Vec<_> = text.lines().filter_map(parse_header).collect();
        if found.is_empty() {
            return Err(CliError::usage(format!(
                "{name} has no header: write one a line, like 'Name: value'"
            )));
        }
        headers.extend(found);
    }
    for line in &args.header {
        let header = parse_header(line).ok_or_else(|| {
            CliError::usage(format!("-H {line:?} is not a header: write it like 'Name: value'"))
        })?;
        headers.extend([header]);
    }
    Ok(headers)
}

fn parse_header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
}
