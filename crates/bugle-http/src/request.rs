//! The requests of one emitter.

use std::time::Duration;

use bugle_core::{
    ConfigError, Delivery, EmitterConfig, EventName, RequestId, SignatureHeaders, TraceContext,
};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::{Authority, InvalidUri, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, request};
use http_body_util::Full;
use jiff::Timestamp;
use tokio::time::Instant;
use url::Position;

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
    /// What the whole URL, which HTTP/2 takes apart, has beside it.
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    event: HeaderName,
    delivery: HeaderName,
    signature: HeaderName,
    /// The config's additional headers.
    additional: Vec<(HeaderName, HeaderValue)>,
}

/// The head of the last request on a connection, which the next one's is a copy of but for what
/// has changed: copying a map of headers costs less than filling one.
#[derive(Debug)]
pub(crate) struct Draft {
    head: request::Parts,
    /// What its headers say now.
    event: Option<EventName>,
    length: Option<usize>,
    second: Option<Second>,
    traced: bool,
}

/// A second of the wall clock.
#[derive(Debug, Clone, Copy)]
struct Second {
    start: Timestamp,
    /// When it is over.
    until: Instant,
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
        let wrong = |error: InvalidUri| {
            ConfigError::new("url", format!("it can't be sent as HTTP ({error}): encode it"))
        };
        // Host, and port where it isn't the scheme's own. IPv6 addresses stand in brackets.
        let host = &url[Position::BeforeHost..Position::AfterPort];
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
            path: path.parse().map_err(wrong)?,
            scheme: url.scheme().parse().map_err(wrong)?,
            authority: host.parse().map_err(wrong)?,
            host: HeaderValue::try_from(host)
                .map_err(|_| ConfigError::new("url", "its host can't be sent as a header"))?,
            event: own("event", X_WEBHOOKS_EVENT)?,
            delivery: own("delivery", X_WEBHOOKS_DELIVERY)?,
            signature: own("signature", X_WEBHOOKS_SIGNATURE)?,
            additional: config.headers.iter().map(additional).collect::<Result<_, _>>()?,
        })
    }

    /// One attempt's request. The draft is that of the same connection's last request, if any.
    pub(crate) fn request(
        &self,
        config: &EmitterConfig,
        delivery: &Delivery,
        version: Version,
        now: Instant,
        draft: &mut Option<Draft>,
    ) -> Request<Full<Bytes>> {
        let event = &delivery.event;
        let draft = draft.get_or_insert_with(|| self.draft(version));
        draft.set_length(event.payload.len());
        draft.set_event(&self.event, &event.name);
        let stamp = draft.set_time(now);
        draft.set_id([&self.delivery, &WEBHOOK_ID], &event.request_id);
        if !config.secrets.is_empty() {
            let id = event.request_id.as_str();
            let signed = SignatureHeaders::sign(&config.secrets, id, stamp, &event.payload);
            draft.set_or_remove(&self.signature, signed.plain);
            draft.set_or_remove(&WEBHOOK_SIGNATURE, signed.standard);
        }
        draft.set_trace(event.trace.as_deref());
        Request::from_parts(draft.head.clone(), Full::new(event.payload.clone()))
    }

    /// The whole URL, which HTTP/2 takes apart.
    fn whole(&self) -> Uri {
        let mut parts = self.path.clone().into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        // It has all three parts, so that it can't fail.
        Uri::from_parts(parts).unwrap_or_default()
    }

    /// What is the same in all requests of one version.
    fn draft(&self, version: Version) -> Draft {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::POST;
        // Room for all that a request without additional headers can have.
        head.headers = HeaderMap::with_capacity(12 + self.additional.len());
        for name in [&self.delivery, &WEBHOOK_ID] {
            head.headers.insert(name.clone(), HeaderValue::from_static(""));
        }
        match version {
            Version::Http1 => {
                head.uri = self.path.clone();
                head.headers.insert(HOST, self.host.clone());
            }
            Version::Http2 => head.uri = self.whole(),
        }
        head.headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in &self.additional {
            head.headers.append(name.clone(), value.clone());
        }
        Draft { head, event: None, length: None, second: None, traced: false }
    }
}

const USER_AGENT_VALUE: &str = concat!("Bugle/", env!("CARGO_PKG_VERSION"));

impl Draft {
    fn set(&mut self, name: &HeaderName, value: HeaderValue) {
        match self.head.headers.get_mut(name) {
            Some(known) => *known = value,
            None => _ = self.head.headers.insert(name.clone(), value),
        }
    }

    fn set_or_remove(&mut self, name: &HeaderName, value: Option<String>) {
        match value.and_then(|value| HeaderValue::try_from(value).ok()) {
            Some(value) => self.set(name, value),
            None => _ = self.head.headers.remove(name),
        }
    }

    /// Every request has another id. The two headers were the first in the map, which keeps their
    /// order: there they are found without a search.
    fn set_id(&mut self, names: [&HeaderName; 2], id: &RequestId) {
        let value = shared_value(id);
        let mut found = 0;
        for ((known, slot), name) in self.head.headers.iter_mut().zip(names) {
            if known == name {
                *slot = value.clone();
                found += 1;
            }
        }
        if found < names.len() {
            names.into_iter().for_each(|name| self.set(name, value.clone()));
        }
    }

    /// hyper would set it too, in a map that has no room left for it then.
    fn set_length(&mut self, length: usize) {
        if self.length != Some(length) {
            self.set(&CONTENT_LENGTH, HeaderValue::from(length));
            self.length = Some(length);
        }
    }

    fn set_event(&mut self, header: &HeaderName, name: &EventName) {
        if self.event.as_ref() != Some(name) {
            self.set(header, text_value(name.as_str()));
            self.event = Some(name.clone());
        }
    }

    /// Sets the second that it is now. The wall clock is read once a second, not for each request.
    fn set_time(&mut self, now: Instant) -> Timestamp {
        if let Some(second) = self.second
            && now < second.until
        {
            return second.start;
        }
        let second = Second::containing(now, Timestamp::now());
        self.second = Some(second);
        self.set(&WEBHOOK_TIMESTAMP, HeaderValue::from(second.start.as_second()));
        second.start
    }

    fn set_trace(&mut self, trace: Option<&TraceContext>) {
        if trace.is_none() && !self.traced {
            return;
        }
        self.traced = trace.is_some();
        self.set_or_remove(&TRACEPARENT, trace.map(|trace| trace.traceparent.clone()));
        self.set_or_remove(&TRACESTATE, trace.and_then(|trace| trace.tracestate.clone()));
    }
}

impl Second {
    fn containing(now: Instant, wall: Timestamp) -> Self {
        let past = Duration::from_nanos(u64::try_from(wall.subsec_nanosecond()).unwrap_or(0));
        let start = Timestamp::from_second(wall.as_second()).unwrap_or(wall);
        let until = now + Duration::from_secs(1).saturating_sub(past);
        Self { start, until }
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

/// The value of a header from a text that was checked when it was accepted.
fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The value of a header that shares the id's text instead of copying it.
fn shared_value(id: &RequestId) -> HeaderValue {
    struct Text(RequestId);

    impl AsRef<[u8]> for Text {
        fn as_ref(&self) -> &[u8] {
            self.0.as_str().as_bytes()
        }
    }

    HeaderValue::from_maybe_shared(Bytes::from_owner(Text(id.clone())))
        .unwrap_or_else(|_| HeaderValue::from_static(""))
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
            assert_eq!(template.whole().to_string(), whole);
        }
    }

    #[test]
    fn a_second_lasts_until_the_next() {
        let now = Instant::now();
        let wall: Timestamp = "2026-01-02T03:04:05.75Z".parse().unwrap();
        let second = Second::containing(now, wall);
        assert_eq!(second.start, "2026-01-02T03:04:05Z".parse().unwrap());
        assert_eq!(second.until, now + Duration::from_millis(250));
        assert_eq!(second.start.as_second(), 1_767_323_045);
    }
}
