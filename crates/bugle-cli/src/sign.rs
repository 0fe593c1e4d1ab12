//! `bugle sign`: the headers that a delivery of a body would carry.

use std::path::PathBuf;
use std::process::ExitCode;

use bugle::{EventName, RequestId, SignatureHeaders};
use clap::Args;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::CliError;
use crate::keys::KeyArgs;
use crate::{body, ui};

const EXAMPLES: &str = "\
Examples:
  Deliver by hand, with curl:
    bugle sign --secret whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw --event invoice.paid body.json |
      curl -H @- --json @body.json https://example.com/hooks

  There and back:
    bugle sign --secret supersecret body.json > headers.txt
    bugle verify --secret supersecret --headers headers.txt body.json";

/// Prints the headers that a delivery of this body would carry, one a line.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SignArgs {
    /// The body, exactly as it is sent; - for standard input
    #[arg(default_value = "-", value_name = "FILE", hide_default_value = true)]
    body: PathBuf,
    #[command(flatten)]
    keys: KeyArgs,
    /// The request id [default: a random one]
    #[arg(long)]
    id: Option<String>,
    /// The time of the attempt, in unix seconds [default: now]
    #[arg(long, value_name = "SECONDS")]
    timestamp: Option<i64>,
    /// The event's name, for a header of its own
    #[arg(long, value_name = "NAME")]
    event: Option<String>,
    /// The middle of the X-…-Signature header's name
    #[arg(long, default_value = "Webhooks", help_heading = "Signatures")]
    identifier: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &SignArgs) -> Result<ExitCode, CliError> {
    let secrets = args.keys.secrets()?;
    if secrets.is_empty() {
        return Err(CliError::usage(
            "there is no key to sign with: give --secret, --secret-file, or the variable \
             BUGLE_SECRET; `bugle keygen` makes one",
        ));
    }
    let id = match &args.id {
        Some(id) => RequestId::new(id).map_err(CliError::usage)?,
        None => RequestId::random(),
    };
    let event = args.event.as_ref().map(EventName::new).transpose().map_err(CliError::usage)?;
    let now = match args.timestamp {
        Some(seconds) => Timestamp::from_second(seconds)
            .map_err(|_| CliError::usage("--timestamp is a number of seconds since 1970"))?,
        None => Timestamp::now(),
    };
    let body = body::read(&args.body)?;
    let signed = SignatureHeaders::sign(&secrets, id.as_str(), now, &body);
    let own = |part: &str| format!("X-{}-{part}", args.identifier);
    let mut headers = Vec::new();
    headers.extend(event.map(|name| (own("Event"), name.to_string())));
    headers.push((own("Delivery"), id.to_string()));
    headers.extend(signed.plain.map(|signature| (own("Signature"), signature)));
    headers.push(("webhook-id".to_owned(), id.to_string()));
    headers.push(("webhook-timestamp".to_owned(), now.as_second().to_string()));
    headers.extend(signed.standard.map(|signature| ("webhook-signature".to_owned(), signature)));
    if args.json {
        let object: Map<_, _> =
            headers.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        ui::json(&object)?;
    } else {
        let lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        ui::result(lines.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}
