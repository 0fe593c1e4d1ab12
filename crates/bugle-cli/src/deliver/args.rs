//! The arguments of `bugle deliver`.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use crate::duration;
use crate::error::CliError;
use crate::keys::KeyArgs;

const EXAMPLES: &str = "\
Each line is one event:
  {\"name\": \"invoice.paid\", \"payload\": {\"id\": 1}, \
\"request_id\": \"r-1\", \"key\": \"customer-7\"}
request_id (the id that it is delivered under) and key (see --order per-key) may be left out. With
--event NAME, each line is the payload itself. A payload is a JSON object, and is delivered byte
for byte as it stands in the line. Empty lines are passed over.

Examples:
  One event to two receivers:
    echo '{\"name\":\"invoice.paid\",\"payload\":{\"id\":1}}' |
      bugle deliver --to https://example.com/hooks --to https://example.org/in

  A file, signed, with up to 32 requests at once, and a summary for a program:
    bugle deliver events.ndjson --to https://example.com/hooks --secret-file key.txt \\
      --order unordered --window 32 --json

  A file that is to arrive whatever happens to this process, and, after a crash or a Ctrl-C, the
  rest of it: what was accepted is in the store, and so is the place in the file
    bugle deliver events.ndjson --to https://example.com/hooks --store ./bugle-data
    bugle deliver events.ndjson --store ./bugle-data

  Only what is left in a store, to the receivers that it is for:
    bugle deliver --store ./bugle-data

  What another program prints, as it prints it:
    tail -f app.log.json | bugle deliver --event app.logged --to http://10.0.0.7/hooks \\
      --allow-destination 10.0.0.0/8

Exit codes: 0 every event reached every receiver; 1 something was not delivered, a line was not an
event, or the work was interrupted; others as of every command, see bugle --help.";

/// Delivers events, one JSON object a line, to one or several webhooks.
///
/// Each receiver has an emitter of its own: it gets the events in order, failures are tried again
/// with growing delays, and one receiver's trouble is not another's. Ctrl-C (or SIGTERM) lets what
/// is in flight finish and reports what is left; a second one stops at once.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeliverArgs {
    /// The events; - for standard input, which is also read when no file is named, unless all that
    /// is named is a store
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// Where to deliver: http or https. Several times for several receivers. May be left out where
    /// the store has receivers from an earlier run
    #[arg(long, value_name = "URL", required_unless_present = "store")]
    pub(super) to: Vec<String>,
    /// The name of all events: each line is then a payload
    #[arg(long, value_name = "NAME")]
    pub(super) event: Option<String>,
    /// Stop reading at the first line that is not an event. The events before it are delivered
    #[arg(long)]
    pub(super) strict: bool,
    /// Print one JSON object as summary
    #[arg(long)]
    pub(super) json: bool,
    /// Show no progress
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// The time that deliveries in flight get to finish when asked to stop
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub(super) grace: Duration,
    /// The largest payload, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 4 * 1024 * 1024)]
    pub(super) max_payload: usize,

    #[command(flatten)]
    pub(super) durable: DurableArgs,
    #[command(flatten)]
    pub(super) keys: KeyArgs,
    /// The middle of the X-…-Event, X-…-Delivery and X-…-Signature headers' names
    #[arg(long, default_value = "Webhooks", help_heading = "Signatures", requires = "to")]
    pub(super) identifier: String,

    #[command(flatten)]
    pub(super) retries: RetryArgs,
    #[command(flatten)]
    pub(super) flow: FlowArgs,
    #[command(flatten)]
    pub(super) network: NetworkArgs,
}

impl DeliverArgs {
    /// Refuses options that would be passed over in silence.
    pub(super) fn check(&self) -> Result<(), CliError> {
        if !self.to.is_empty() {
            return Ok(());
        }
        if let Some(flag) = self.keys.given() {
            return Err(CliError::usage(format!(
                "{flag}: it goes with --to; the store's receivers keep the keys that they have"
            )));
        }
        let of_a_file = [
            ("--event", self.event.is_some()),
            ("--strict", self.strict),
            ("--source", self.durable.source.is_some()),
            ("--again", self.durable.again),
        ];
        match of_a_file.iter().find(|(_, given)| *given && self.file.is_none()) {
            Some((flag, _)) => Err(CliError::usage(format!(
                "{flag}: there is no file to read: name one, or - for standard input"
            ))),
            None => Ok(()),
        }
    }
}

/// The settings of where events are kept.
#[derive(Args)]
#[command(next_help_heading = "Store")]
pub(super) struct DurableArgs {
    /// Keep the events in this directory until they are delivered, so that nothing is lost if the
    /// work is interrupted. The same command then goes on where it was, in the middle of the file
    /// too. It is made if it is not there; it holds the receivers' keys, so only you can read it
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
    /// The name under which the store remembers the place in the file [default: its path]
    #[arg(long, value_name = "NAME", requires = "store")]
    pub(super) source: Option<String>,
    /// Accept the file from its first line on, whatever an earlier run has accepted of it
    #[arg(long, requires = "store")]
    pub(super) again: bool,
    /// Record attempts that succeeded too, for `bugle attempts`; failed ones always are
    #[arg(long, requires = "store")]
    pub(super) record_all: bool,
}

/// The settings of when a delivery is tried again.
#[derive(Args)]
#[command(next_help_heading = "Retries")]
pub(crate) struct RetryArgs {
    /// The number of attempts that an event gets in all [default: 3, or 8 with --patient]
    #[arg(long, value_name = "N", requires = "to")]
    pub(super) max_attempts: Option<u32>,
    /// The first delay; it doubles with each failure in a row
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1s",
        value_parser = duration::parse,
        requires = "to",
    )]
    pub(super) retry_first: Duration,
    /// The longest delay
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1m",
        value_parser = duration::parse,
        requires = "to",
    )]
    pub(super) retry_max: Duration,
    /// Try for more than a day: after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 10 h
    #[arg(long, conflicts_with_all = ["retry_first", "retry_max"], requires = "to")]
    pub(super) patient: bool,
    /// The time that one attempt may take, from looking up the name to the end of the answer
    #[arg(
        long,
        value_name = "TIME",
        default_value = "5s",
        value_parser = duration::parse,
        requires = "to",
    )]
    pub(super) timeout: Duration,
}

/// The settings of order and rate.
#[derive(Args)]
#[command(next_help_heading = "Order and speed")]
pub(crate) struct FlowArgs {
    /// The order that a receiver can rely on
    #[arg(long, value_enum, default_value_t = OrderName::Strict, requires = "to")]
    pub(super) order: OrderName,
    /// The number of requests at once to one receiver, with per-key and unordered [default: 16]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=1024),
        requires = "to",
    )]
    pub(super) window: Option<u16>,
    /// At most so many requests a second to one receiver
    #[arg(long, value_name = "N", requires = "to")]
    pub(super) rate: Option<NonZeroU32>,
}

/// The names of the orders.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OrderName {
    /// One at a time, in the order of the lines; a failing event holds all behind it
    Strict,
    /// In order for each key; a failing event holds its key
    PerKey,
    /// In no order; a failing event holds nothing
    Unordered,
}

/// The settings of how receivers are reached.
#[derive(Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// A header for every request, as 'Authorization: Bearer …'
    #[arg(short = 'H', long, value_name = "NAME: VALUE", requires = "to")]
    pub(super) header: Vec<String>,
    /// Allow every destination: loopback, private and other addresses that are not public too
    #[arg(long, requires = "to")]
    pub(super) allow_private: bool,
    /// Allow destinations in this network, as 10.0.0.0/8
    #[arg(long, value_name = "CIDR", value_parser = parse_network, requires = "to")]
    pub(super) allow_destination: Vec<IpNet>,
    /// Trust the certificate authorities in this PEM file too
    #[arg(long, value_name = "FILE", requires = "to")]
    pub(super) ca: Vec<PathBuf>,
    /// Show this certificate (PEM) to receivers that ask for one
    #[arg(long, value_name = "FILE", requires_all = ["client_key", "to"])]
    pub(super) client_cert: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["client_cert", "to"])]
    pub(super) client_key: Option<PathBuf>,
    /// Go through a proxy: http://host:port or socks5://host:port
    #[arg(long, value_name = "URL", requires = "to")]
    pub(super) proxy: Option<String>,
    /// Speak HTTP/2 only
    #[arg(long, requires = "to")]
    pub(super) http2: bool,
    /// Accept any certificate: whoever sits in between can read and change what is delivered
    #[arg(long, requires = "to")]
    pub(super) danger_accept_invalid_certs: bool,
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse().or(address).map_err(|_| "write it like 10.0.0.0/8 or fd00::/8".to_owned())
}
