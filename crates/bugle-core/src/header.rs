//! The names of a request's headers.

use http::HeaderName;

/// Headers that belong to the delivery itself, beside those that the identifier names.
const RESERVED: [&str; 11] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "traceparent",
    "tracestate",
    "user-agent",
];

/// The longest identifier, in bytes: the `http` crate takes names of up to 64 KiB.
const MAX_IDENTIFIER: usize = 0xffff - "x--event".len();

/// True when an identifier can stand in `x-<identifier>-event`: when it is made of the characters
/// of a token (RFC 9110, section 5.6.2). Checked here, because to build the name and to parse it
/// costs more than all other checks when an emitter is attached.
pub(crate) fn is_identifier(text: &str) -> bool {
    (1..=MAX_IDENTIFIER).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// True for a header that belongs to the delivery itself, so that it can't be set.
pub(crate) fn is_reserved(name: &HeaderName, identifier: &str) -> bool {
    RESERVED.contains(&name.as_str()) || is_named_by(identifier, name)
}

fn is_named_by(identifier: &str, name: &HeaderName) -> bool {
    let rest = name.as_str().strip_prefix("x-");
    rest.and_then(|rest| rest.split_at_checked(identifier.len())).is_some_and(|(middle, part)| {
        middle.eq_ignore_ascii_case(identifier)
            && matches!(part, "-event" | "-delivery" | "-signature")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_what_makes_a_name() {
        let characters = (0..=0xff).map(|code| char::from(code).to_string());
        assert!(!is_identifier(""), "a header of `x--event` would be one, and is nobody's");
        let lengths = [1, 64, MAX_IDENTIFIER, MAX_IDENTIFIER + 1].map(|n| "a".repeat(n));
        for text in characters.chain(lengths) {
            let name = HeaderName::try_from(format!("x-{text}-event"));
            assert_eq!(is_identifier(&text), name.is_ok(), "{:?}", text.get(..9).unwrap_or(&text));
        }
    }

    #[test]
    fn the_delivery_keeps_its_headers() {
        let reserved = |name: &str, identifier: &str| {
            is_reserved(&HeaderName::try_from(name).unwrap(), identifier)
        };
        for part in ["event", "delivery", "signature"] {
            assert!(reserved(&format!("X-webHooks-{part}"), "Webhooks"), "{part}");
            assert!(reserved(&format!("x--{part}"), ""), "{part}");
        }
        assert!(reserved("Webhook-Id", "Webhooks"));
        for free in ["x-webhooks-events", "x-webhooks", "x-", "webhooks-event", "x-hooks-event"] {
            assert!(!reserved(free, "Webhooks"), "{free}");
        }
    }
}
