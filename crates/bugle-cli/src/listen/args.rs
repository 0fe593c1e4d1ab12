//! The arguments of `bugle listen`.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::Args;
use http::StatusCode;

use crate::duration;
use crate::error::CliError;
use crate::keys::KeyArgs;

const EXAMPLES: &str = "\
Examples:
  Print what comes, and whether its signature holds:
    bugle listen --port 8080 --secret supersecret

  A receiver that answers 500, 503, 200, 500, …
    bugle listen --status 500 --status 503 --status 200

  One that fails a third of the time, and takes half a second:
    bugle listen --fail-rate 0.33 --delay 500ms

  One that never answers, one that cuts every second connection:
    bugle listen --hang
    bugle listen --reset --fail-rate 0.5

  Wait for one webhook, for a script:
    bugle listen --port 8080 --once --json | jq .body

Exit codes: 0 it was stopped, or got as many as it waited for; others as of
every command, see bugle --help.";

/// Receives webhooks and prints them: when, which event, under which id, how it was answered,
/// whether the signature holds, and the body. A webhook that is printed was answered: a sender that
/// is gone before it has its answer is not shown.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ListenArgs {
    /// The port; 0 for any that is free
    #[arg(short, long, default_value_t = 8080)]
    pub(super) port: u16,
    /// The address to listen on, or a name of this machine's, as localhost; 0.0.0.0 is open to the
    /// whole network
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(super) host: String,
    /// Print one JSON object for each webhook
    #[arg(long)]
    pub(super) json: bool,
    /// Print no bodies
    #[arg(long)]
    pub(super) no_body: bool,
    /// Print all headers too
    #[arg(long)]
    pub(super) headers: bool,
    /// End after so many webhooks
    #[arg(long, value_name = "N")]
    pub(super) count: Option<NonZeroU64>,
    /// End after one webhook
    #[arg(long, conflicts_with = "count")]
    pub(super) once: bool,

    #[command(flatten)]
    pub(super) keys: KeyArgs,
    /// The middle of the X-…-Event, X-…-Delivery and X-…-Signature headers' names
    #[arg(long, default_value = "Webhooks", help_heading = "Signatures")]
    pub(super) identifier: String,
    /// The time that a webhook's timestamp may be off, either way [default: 5m]
    #[arg(
        long,
        value_name = "TIME",
        value_parser = duration::parse,
        help_heading = "Signatures"
    )]
    pub(super) tolerance: Option<Duration>,

    #[command(flatten)]
    pub(super) misbehaving: MisbehaveArgs,
}

/// The ways to misbehave.
#[derive(Args)]
#[command(next_help_heading = "Misbehaviour")]
pub(super) struct MisbehaveArgs {
    /// The status to answer with; several take turns [default: 204]
    #[arg(long, value_name = "CODE", value_parser = parse_status)]
    pub(super) status: Vec<StatusCode>,
    /// The share of webhooks that fail, from 0 to 1: with 500, or as --hang or --reset says
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    pub(super) fail_rate: Option<f64>,
    /// Wait before each answer
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = duration::parse)]
    pub(super) delay: Duration,
    /// Never answer
    #[arg(long, conflicts_with = "reset")]
    pub(super) hang: bool,
    /// Reset the connection instead of answering
    #[arg(long)]
    pub(super) reset: bool,
}

impl ListenArgs {
    /// Refuses options that would have no effect. `verifies` says whether there is a key.
    pub(super) fn check(&self, verifies: bool) -> Result<(), CliError> {
        let misbehaving = &self.misbehaving;
        let silent = misbehaving.hang || misbehaving.reset;
        let always_silent = silent && misbehaving.fail_rate.is_none_or(|share| share >= 1.0);
        let idle = [
            (
                "--tolerance",
                self.tolerance.is_some() && !verifies,
                "there is no key to verify with",
            ),
            ("--status", !misbehaving.status.is_empty() && always_silent, "nothing is answered"),
            ("--delay", !misbehaving.delay.is_zero() && always_silent, "nothing is answered"),
        ];
        match idle.iter().find(|(_, is_idle, _)| *is_idle) {
            Some((flag, _, why)) => {
                Err(CliError::usage(format!("{flag}: {why}, so it would do nothing")))
            }
            None => Ok(()),
        }
    }

    /// The number of webhooks to end after, if there is one.
    pub(super) fn limit(&self) -> Option<u64> {
        if self.once { Some(1) } else { self.count.map(NonZeroU64::get) }
    }
}

fn parse_status(text: &str) -> Result<StatusCode, String> {
    let status: Option<u16> = text.parse().ok().filter(|status| (200..=999).contains(status));
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    status.ok_or_else(|| "a status is a number from 200 to 999".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "a share is a number from 0 to 1, as 0.33 for a third".to_owned())
}
