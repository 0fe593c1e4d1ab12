//! The requests of one emitter.

use std::time::Duration;

use bugle_core::{ConfigError, Delivery, EmitterConfig, EventName, SignatureHeaders, TraceContext};
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use jiff::Timestamp;
use tokio::time::Instant;
use url::{Position, Url};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const X_WEBHOOKS_EVENT: HeaderName = HeaderName::from_static("x-webhooks-event");
const X_WEBHOOKS_DELIVERY: HeaderName = HeaderName::from_static("x-webhooks-delivery");
const X_WEBHOOKS_SIGNATURE: HeaderName = HeaderName::from_static("x-webhooks-signature");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What is the same in all requests of an emitter, made once.
#[derive(Debug)]
pub(crate) struct Template {
    /// The request target of HTTP/1.1: path and query.
    path: Uri,
    /// The whole URL, which HTTP/2 takes apart.
    whole: Uri,
    host: HeaderValue,
    event: HeaderName,
    delivery: HeaderName,
    signature: HeaderName,
    /// The config's additional headers.
    additional: Vec<(HeaderName, HeaderValue)>,
}

/// Header values that the next request probably needs again.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    event: Option<(EventName, HeaderValue)>,
    second: Option<Second>,
}

/// A second of the wall clock.
#[derive(Debug)]
struct Second {
    start: Timestamp,
    /// When it is over.
    until: Instant,
    value: HeaderValue,
}

/// Which version a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

impl Template {
    pub(crate) fn new(config: &EmitterConfig) -> Result<Self, ConfigError> {
        let url = &config.url;
        let authority = authority(url);
        let uri = |text: &str| {
            Uri::try_from(text).map_err(|error| {
                ConfigError::new("url", format!("it can't be sent as HTTP ({error}): encode it"))
            })
        };
        let path = &url[Position::BeforePath..Position::AfterQuery];
        let own = |part: &str, default: HeaderName| {
            // The default's names are not counted references, which makes them cheaper to copy.
            if config.header_identifier.eq_ignore_ascii_case("webhooks") {
                return Ok(default);
            }
            let name = format!("x-{}-{part}", config.header_identifier);
            HeaderName::try_from(name).map_err(|_| {
                let identifier = &config.header_identifier;
                let message = format!("{identifier:?} can't be part of a header's name");
                ConfigError::new("header_identifier", message)
            })
        };
        Ok(Self {
            path: uri(path)?,
            whole: uri(&format!("{}://{authority}{path}", url.scheme()))?,
            host: HeaderValue::try_from(authority)
                .map_err(|_| ConfigError::new("url", "its host can't be sent as a header"))?,
            event: own("event", X_WEBHOOKS_EVENT)?,
            delivery: own("delivery", X_WEBHOOKS_DELIVERY)?,
            signature: own("signature", X_WEBHOOKS_SIGNATURE)?,
            additional: config.headers.iter().map(additional).collect::<Result<_, _>>()?,
        })
    }

    /// One attempt's request. The map is empty and used before, which costs less than a new one.
    pub(crate) fn request(
        &self,
        config: &EmitterConfig,
        delivery: &Delivery,
        version: Version,
        now: Instant,
        headers: &mut HeaderMap,
        stamps: &mut Stamps,
    ) -> Request<Full<bytes::Bytes>> {
        let event = &delivery.event;
        let second = stamps.second(now);
        let (stamp, stamp_value) = (second.start, second.value.clone());
        let uri = match version {
            Version::Http1 => {
                headers.insert(HOST, self.host.clone());
                self.path.clone()
            }
            Version::Http2 => self.whole.clone(),
        };
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(self.event.clone(), stamps.event(&event.name));
        let id = header_value(event.request_id.as_str());
        headers.insert(self.delivery.clone(), id.clone());
        headers.insert(WEBHOOK_ID, id);
        headers.insert(WEBHOOK_TIMESTAMP, stamp_value);
        if !config.secrets.is_empty() {
            let id = event.request_id.as_str();
            self.sign(headers, SignatureHeaders::sign(&config.secrets, id, stamp, &event.payload));
        }
        if let Some(trace) = &event.trace {
            add_trace(headers, trace);
        }
        for (name, value) in &self.additional {
            headers.append(name.clone(), value.clone());
        }
        let mut request = Request::new(Full::new(event.payload.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = std::mem::take(headers);
        request
    }

    fn sign(&self, headers: &mut HeaderMap, signed: SignatureHeaders) {
        let names = [&self.signature, &WEBHOOK_SIGNATURE];
        for (name, value) in names.into_iter().zip([signed.plain, signed.standard]) {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name.clone(), value);
            }
        }
    }
}

const USER_AGENT_VALUE: &str = concat!("Bugle/", env!("CARGO_PKG_VERSION"));

impl Stamps {
    fn event(&mut self, name: &EventName) -> HeaderValue {
        if let Some((known, value)) = &self.event
            && known == name
        {
            return value.clone();
        }
        let value = header_value(name.as_str());
        self.event = Some((name.clone(), value.clone()));
        value
    }

    /// The second that it is now. The wall clock is read once a second, not for each request.
    fn second(&mut self, now: Instant) -> &Second {
        let known = self.second.take().filter(|second| now < second.until);
        self.second.insert(known.unwrap_or_else(|| Second::containing(now, Timestamp::now())))
    }
}

impl Second {
    fn containing(now: Instant, wall: Timestamp) -> Self {
        let past = Duration::from_nanos(u64::try_from(wall.subsec_nanosecond()).unwrap_or(0));
        let start = Timestamp::from_second(wall.as_second()).unwrap_or(wall);
        let until = now + Duration::from_secs(1).saturating_sub(past);
        Self { start, until, value: HeaderValue::from(start.as_second()) }
    }
}

/// Host, and port where it isn't the scheme's own. IPv6 addresses stand in brackets.
fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn additional((name, value): &(String, String)) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let wrong = |_| ConfigError::new("header", format!("{name:?} can't be sent as a header"));
    let header = HeaderName::try_from(name.as_str()).map_err(|_| wrong(()))?;
    let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| wrong(()))?;
    // It may be a credential: kept out of Debug output and of HTTP/2's header compression.
    value.set_sensitive(true);
    Ok((header, value))
}

fn add_trace(headers: &mut HeaderMap, trace: &TraceContext) {
    headers.insert(TRACEPARENT, header_value(&trace.traceparent));
    if let Some(state) = &trace.tracestate {
        headers.insert(TRACESTATE, header_value(state));
    }
}

/// The value of a header from a text that was checked when it was accepted.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_become_hosts_and_targets() {
        for (url, host, path, whole) in [
            ("http://a.test", "a.test", "/", "http://a.test/"),
            ("http://a.test:80/x?y#z", "a.test", "/x?y", "http://a.test/x?y"),
            ("https://a.test:80/", "a.test:80", "/", "https://a.test:80/"),
            ("https://A.TEST:443/ä b", "a.test", "/%C3%A4%20b", "https://a.test/%C3%A4%20b"),
            ("http://[2001:DB8::1]:8080/", "[2001:db8::1]:8080", "/", "http://[2001:db8::1]:8080/"),
            ("http://0x7f.1/a|b^c", "127.0.0.1", "/a|b^c", "http://127.0.0.1/a|b^c"),
            ("http://a.test/?q=`'{}", "a.test", "/?q=`%27{}", "http://a.test/?q=`%27{}"),
        ] {
            let template = Template::new(&EmitterConfig::new(url).unwrap()).unwrap();
            assert_eq!(template.host, host);
            assert_eq!(template.path.to_string(), path);
            assert_eq!(template.whole.to_string(), whole);
        }
    }

    #[test]
    fn a_second_lasts_until_the_next() {
        let now = Instant::now();
        let wall: Timestamp = "2026-01-02T03:04:05.75Z".parse().unwrap();
        let second = Second::containing(now, wall);
        assert_eq!(second.start, "2026-01-02T03:04:05Z".parse().unwrap());
        assert_eq!(second.until, now + Duration::from_millis(250));
        assert_eq!(second.value, "1767323045");
    }
}
