//! Builds the requests of one emitter.

use bugle_core::{ConfigError, Delivery, EmitterConfig, RequestId, SignatureHeaders};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::uri::{Authority, InvalidUri, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use jiff::Timestamp;
use tokio::time::Instant;
use url::Position;

use crate::dial::Forwarded;
use crate::http1::request as http1;
use crate::http1::request::{Draft, Names};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const X_WEBHOOKS_EVENT: HeaderName = HeaderName::from_static("x-webhooks-event");
const X_WEBHOOKS_DELIVERY: HeaderName = HeaderName::from_static("x-webhooks-delivery");
const X_WEBHOOKS_SIGNATURE: HeaderName = HeaderName::from_static("x-webhooks-signature");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The parts that all requests of an emitter share, made once.
#[derive(Debug)]
pub(crate) struct Template {
    /// The request target of HTTP/1.1: path and query.
    path: Uri,
    /// The rest of the whole URL, for HTTP/2, which sends its parts.
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    event: HeaderName,
    delivery: HeaderName,
    signature: HeaderName,
    /// The last three as HTTP/1.1 writes them.
    names: Names,
    /// The config's additional headers.
    additional: Vec<(HeaderName, HeaderValue)>,
}

impl Template {
    pub(crate) fn new(config: &EmitterConfig) -> Result<Self, ConfigError> {
        let url = &config.url;
        let wrong = |error: InvalidUri| {
            ConfigError::new("url", format!("it can't be sent as HTTP ({error}): encode it"))
        };
        // Host, and port unless it is the scheme's default. IPv6 addresses stand in brackets.
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let path = &url[Position::BeforePath..Position::AfterQuery];
        let own = |part: &str, default: HeaderName| {
            // The default names are static, which makes them cheaper to clone than counted ones.
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
        let event = own("event", X_WEBHOOKS_EVENT)?;
        let delivery = own("delivery", X_WEBHOOKS_DELIVERY)?;
        let signature = own("signature", X_WEBHOOKS_SIGNATURE)?;
        Ok(Self {
            names: Names::new(&event, &delivery, &signature),
            path: path.parse().map_err(wrong)?,
            scheme: url.scheme().parse().map_err(wrong)?,
            authority: host.parse().map_err(wrong)?,
            host: HeaderValue::try_from(host)
                .map_err(|_| ConfigError::new("url", "its host can't be sent as a header"))?,
            event,
            delivery,
            signature,
            additional: config.headers.iter().map(additional).collect::<Result<_, _>>()?,
        })
    }

    /// Makes the head of HTTP/1.1 requests, with the parts that all share. A forwarding proxy is
    /// given the whole URL, and the credentials.
    pub(crate) fn draft(&self, forwarded: Option<&Forwarded>) -> Draft {
        let target = match forwarded {
            None => self.path.to_string(),
            Some(Forwarded { authority, .. }) => format!("http://{authority}{}", self.path),
        };
        let authorization = forwarded.and_then(|forwarded| forwarded.authorization.as_deref());
        let authorization =
            authorization.iter().map(|value| (PROXY_AUTHORIZATION.as_str(), value.as_bytes()));
        let own = [
            (HOST, &self.host),
            (USER_AGENT, &HeaderValue::from_static(USER_AGENT_VALUE)),
            (CONTENT_TYPE, &HeaderValue::from_static(JSON)),
        ];
        let own = own.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let additional = self.additional.iter();
        let additional = additional.map(|(name, value)| (name.as_str(), value.as_bytes()));
        Draft::new(&target, own.chain(authorization).chain(additional))
    }

    /// Makes one attempt's request of HTTP/1.1.
    pub(crate) fn http1<'a>(
        &'a self,
        config: &'a EmitterConfig,
        delivery: &'a Delivery,
        now: Instant,
    ) -> http1::Request<'a> {
        http1::Request { names: &self.names, secrets: &config.secrets, event: &delivery.event, now }
    }

    /// Makes one attempt's request of HTTP/2.
    pub(crate) fn http2(
        &self,
        config: &EmitterConfig,
        delivery: &Delivery,
    ) -> Request<Full<Bytes>> {
        let event = &delivery.event;
        let id = shared_value(&event.request_id);
        let second = Timestamp::now().as_second();
        // The capacity fits a request without additional headers.
        let mut headers = HeaderMap::with_capacity(12 + self.additional.len());
        headers.insert(USER_AGENT, HeaderValue::from_static(USER_AGENT_VALUE));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        for (name, value) in &self.additional {
            headers.append(name.clone(), value.clone());
        }
        headers.insert(self.event.clone(), text_value(event.name.as_str()));
        headers.insert(self.delivery.clone(), id.clone());
        headers.insert(WEBHOOK_ID, id);
        headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(second));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(event.payload.len()));
        let now = Timestamp::from_second(second).unwrap_or_default();
        let id = event.request_id.as_str();
        let signed = SignatureHeaders::sign(&config.secrets, id, now, &event.payload);
        let trace = event.trace.as_deref();
        for (name, value) in [
            (&self.signature, signed.plain.as_deref()),
            (&WEBHOOK_SIGNATURE, signed.standard.as_deref()),
            (&TRACEPARENT, trace.map(|trace| trace.traceparent.as_str())),
            (&TRACESTATE, trace.and_then(|trace| trace.tracestate.as_deref())),
        ] {
            if let Some(value) = value {
                headers.insert(name.clone(), text_value(value));
            }
        }
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = Method::POST;
        head.uri = self.whole();
        head.headers = headers;
        Request::from_parts(head, Full::new(event.payload.clone()))
    }

    /// The whole URL, for HTTP/2, which sends its parts.
    fn whole(&self) -> Uri {
        let mut parts = self.path.clone().into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        // All three parts are present, so this can't fail.
        Uri::from_parts(parts).unwrap_or_default()
    }
}

const JSON: &str = "application/json";
const USER_AGENT_VALUE: &str = concat!("Bugle/", env!("CARGO_PKG_VERSION"));

fn additional((name, value): &(String, String)) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let wrong = |_| ConfigError::new("header", format!("{name:?} can't be sent as a header"));
    let header = HeaderName::try_from(name.as_str()).map_err(|_| wrong(()))?;
    let mut value = HeaderValue::try_from(value.as_str()).map_err(|_| wrong(()))?;
    // The value may be a credential: it is kept out of Debug output and of HTTP/2's header
    // compression.
    value.set_sensitive(true);
    Ok((header, value))
}

/// Makes the value of a header from a text that was checked when it was configured.
fn text_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Makes the value of a header that shares the id's text instead of copying it.
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
}
