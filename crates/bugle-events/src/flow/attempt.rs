//! Makes a `webhook_called` event of an attempt.

use bugle_core::{Attempt, EmitterConfig, Event, Gone, ResponseHead};
use http::StatusCode;

use super::WebhookCalled;
use crate::WebhookStatus;

/// Replaces a secret, a signature, and anything that may be one.
const REDACTED: &str = "[redacted]";

/// Headers of a response that may grant access to who reads them.
const SECRET_HEADERS: [&str; 4] =
    ["set-cookie", "authorization", "proxy-authenticate", "www-authenticate"];

impl WebhookCalled {
    /// Describes an attempt to deliver an event. The emitter's configuration gives the URL.
    ///
    /// The request is written as it was sent, except for what may be secret: the signatures, the
    /// values of the configuration's additional headers, and the URL's query are redacted. The
    /// response is present when the attempt has its head: for every failure, and for a success
    /// where the attempt log records successes. Its body is left out unless its content type is
    /// textual.
    ///
    /// The caller sets the resthook. A 410 is `subscriber_gone` where it ends or pauses the
    /// emitter, and `response_error` where it counts as any other failure.
    pub fn of_attempt(attempt: &Attempt, event: &Event, config: &EmitterConfig) -> Self {
        let status = match attempt.status {
            _ if attempt.code.is_none() => WebhookStatus::Success,
            None => WebhookStatus::ConnectionError,
            Some(410) if config.on_gone != Gone::Retry => WebhookStatus::SubscriberGone,
            Some(_) => WebhookStatus::ResponseError,
        };
        let (response, body_ignored) = response(attempt);
        Self {
            created_on: attempt.created.into(),
            url: redacted_url(config),
            status,
            status_code: attempt.status.map_or(0, i64::from),
            elapsed_ms: i64::try_from(attempt.elapsed.total.as_millis()).unwrap_or(i64::MAX),
            request: request(attempt, event, config),
            response,
            body_ignored,
            ..Self::now()
        }
    }
}

fn redacted_url(config: &EmitterConfig) -> String {
    let url = config.url.as_str();
    let end = url.find(['?', '#']).unwrap_or(url.len());
    format!("{}{}", url.get(..end).unwrap_or_default(), redacted_query(config))
}

fn redacted_query(config: &EmitterConfig) -> String {
    config.url.query().map(|_| format!("?{REDACTED}")).unwrap_or_default()
}

/// The request of an attempt, as text.
fn request(attempt: &Attempt, event: &Event, config: &EmitterConfig) -> String {
    let started = attempt.created.checked_sub(attempt.elapsed.total).unwrap_or(attempt.created);
    let url = &config.url;
    let own = |part: &str| format!("x-{}-{part}", config.header_identifier.to_lowercase());
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
        None => url.host_str().unwrap_or_default().to_owned(),
    };
    let signed = |with: fn(&bugle_core::SignatureHeaders) -> bool| {
        let id = event.request_id.as_str();
        let signatures = bugle_core::SignatureHeaders::sign(&config.secrets, id, started, b"");
        with(&signatures).then(|| REDACTED.to_owned())
    };
    let mut headers = vec![
        ("host".to_owned(), host),
        (own("delivery"), event.request_id.to_string()),
        ("webhook-id".to_owned(), event.request_id.to_string()),
        ("webhook-timestamp".to_owned(), started.as_second().to_string()),
        ("user-agent".to_owned(), concat!("Bugle/", env!("CARGO_PKG_VERSION")).to_owned()),
        ("content-type".to_owned(), "application/json".to_owned()),
    ];
    headers.extend(config.headers.iter().map(|(name, _)| (name.clone(), REDACTED.to_owned())));
    headers.push(("content-length".to_owned(), event.payload.len().to_string()));
    headers.push((own("event"), event.name.to_string()));
    headers.extend(signed(|made| made.plain.is_some()).map(|value| (own("signature"), value)));
    headers.extend(
        signed(|made| made.standard.is_some()).map(|value| ("webhook-signature".to_owned(), value)),
    );
    if let Some(trace) = &event.trace {
        headers.push(("traceparent".to_owned(), trace.traceparent.clone()));
        headers.extend(trace.tracestate.clone().map(|state| ("tracestate".to_owned(), state)));
    }
    let line = format!("POST {}{} HTTP/1.1", url.path(), redacted_query(config));
    message(&line, &headers, &String::from_utf8_lossy(&event.payload))
}

/// Writes the response as text, and says whether its body was left out.
fn response(attempt: &Attempt) -> (String, bool) {
    let (Some(status), Some(head)) = (attempt.status, &attempt.head) else {
        return (String::new(), false);
    };
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|(name, value)| {
            let secret = SECRET_HEADERS.iter().any(|secret| name.eq_ignore_ascii_case(secret));
            (name.clone(), if secret { REDACTED.to_owned() } else { value.clone() })
        })
        .collect();
    let ignored = !attempt.body.is_empty() && !is_textual(head);
    let body = if ignored { "" } else { attempt.body.as_str() };
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let line = format!("{} {status} {}", head.version, reason.unwrap_or_default());
    (message(line.trim_end(), &headers, body), ignored)
}

fn message(line: &str, headers: &[(String, String)], body: &str) -> String {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line}\r\n{headers}\r\n{body}")
}

/// True when the content type says that the body is text.
fn is_textual(head: &ResponseHead) -> bool {
    let mut types =
        head.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let Some((_, value)) = types.next() else { return false };
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind.as_str(),
            "application/json"
                | "application/xml"
                | "application/javascript"
                | "application/x-www-form-urlencoded"
                | "application/x-ndjson"
                | "application/problem+json"
        )
}
