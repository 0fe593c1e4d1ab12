//! One webhook as it is printed.

use std::fmt::Write as _;

use bugle::{Verifier, VerifyError};
use console::{Style, style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::args::ListenArgs;
use crate::server::{Answer, Arrived};
use crate::{json, ui};

/// The judgement of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Holds,
    DoesNotHold,
    Unsigned,
    NoSecretGiven,
}

/// One webhook that came, as far as it is known.
#[derive(Serialize)]
pub(super) struct Webhook<'a> {
    received_at: Timestamp,
    method: &'a str,
    path: &'a str,
    event: Option<&'a str>,
    request_id: Option<&'a str>,
    /// `None` when the webhook is not answered.
    status: Option<u16>,
    signature: Verdict,
    /// The reason why the signature does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Body<'a>>,
    #[serde(skip)]
    answer: &'a Answer,
}

/// A body as it is printed: JSON as itself, anything else as a string.
#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Json(&'a RawValue),
    Text(String),
}

impl<'a> Webhook<'a> {
    pub(super) fn new(
        arrived: &'a Arrived,
        answer: &'a Answer,
        verifier: Option<&Verifier>,
        args: &ListenArgs,
    ) -> Self {
        let now = arrived.at;
        let own = |part: &str| format!("x-{}-{part}", args.identifier).to_ascii_lowercase();
        let (signature, reason) = judge(arrived, verifier, &own("signature"), now);
        let delivery = arrived.header("webhook-id").or_else(|| arrived.header(&own("delivery")));
        Self {
            received_at: now,
            method: arrived.method.as_str(),
            path: arrived.uri.path(),
            event: arrived.header(&own("event")),
            request_id: delivery,
            status: match answer {
                Answer::Status(status) => Some(status.as_u16()),
                Answer::Hang | Answer::Cut => None,
            },
            signature,
            reason,
            headers: args.headers.then(|| headers(arrived)),
            body: (!args.no_body).then(|| body(&arrived.body)),
            answer,
        }
    }

    /// Words the webhook for a person.
    pub(super) fn in_words(&self) -> String {
        let time = self.received_at.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f");
        let event = style(self.event.unwrap_or("(no event name)")).bold();
        let mut out = format!("{} {event}", style(time.to_string()).dim());
        if let Some(id) = self.request_id {
            // Writing to a string can't fail, here and below.
            let _ = write!(out, "  {}", style(id).dim());
        }
        let answer = match self.answer {
            Answer::Status(status) if status.is_success() => style(status.to_string()).green(),
            Answer::Status(status) => style(status.to_string()).red(),
            Answer::Hang => style("never answered".to_owned()).red(),
            Answer::Cut => style("connection reset".to_owned()).red(),
        };
        let (mark, colour, words) = match self.signature {
            Verdict::Holds => ("✔", Style::new().green(), "signature holds".to_owned()),
            Verdict::DoesNotHold => {
                let why = self.reason.as_deref().unwrap_or_default();
                ("✘", Style::new().red(), format!("signature does not hold: {why}"))
            }
            Verdict::Unsigned => ("✘", Style::new().red(), "unsigned".to_owned()),
            Verdict::NoSecretGiven => {
                let words =
                    "signed; give --secret (or --secret-file) to have it verified".to_owned();
                ("·", Style::new().dim(), words)
            }
        };
        let request = format!("{} {}", self.method, self.path);
        let _ = write!(out, "\n  {request} → {answer}   ");
        let _ = write!(out, "{}", colour.apply_to(format!("{mark} {words}")));
        for (name, value) in self.headers.iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            let _ = write!(out, "\n  {} {value}", style(format!("{name}:")).cyan());
        }
        let text = match &self.body {
            None => return out,
            Some(Body::Json(json)) => json::pretty(json.get()).unwrap_or_default(),
            Some(Body::Text(text)) => ui::visible(text),
        };
        for line in text.lines() {
            let _ = write!(out, "\n  {line}");
        }
        out.push('\n');
        out
    }

    /// Prints the webhook.
    pub(super) fn print(&self, as_json: bool) -> Result<(), crate::error::CliError> {
        if as_json { ui::json(self) } else { ui::result(self.in_words()) }
    }
}

fn judge(
    arrived: &Arrived,
    verifier: Option<&Verifier>,
    plain_header: &str,
    now: Timestamp,
) -> (Verdict, Option<String>) {
    let signed = ["webhook-signature", plain_header].iter().any(|h| arrived.header(h).is_some());
    match verifier {
        _ if !signed => (Verdict::Unsigned, None),
        None => (Verdict::NoSecretGiven, None),
        Some(verifier) => match verifier.verify(|name| arrived.header(name), &arrived.body, now) {
            Ok(()) => (Verdict::Holds, None),
            Err(VerifyError::MissingHeader { name }) => {
                let why = format!("there is no header {name}, which the key given here would fit");
                (Verdict::DoesNotHold, Some(why))
            }
            Err(why) => (Verdict::DoesNotHold, Some(why.to_string())),
        },
    }
}

fn headers(arrived: &Arrived) -> Map<String, Value> {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    arrived.headers.iter().map(|(name, value)| (name.to_string(), text(value).into())).collect()
}

fn body(bytes: &[u8]) -> Body<'_> {
    let json = std::str::from_utf8(bytes).ok().and_then(|text| serde_json::from_str(text).ok());
    match json {
        Some(json) => Body::Json(json),
        None => Body::Text(String::from_utf8_lossy(bytes).into_owned()),
    }
}
