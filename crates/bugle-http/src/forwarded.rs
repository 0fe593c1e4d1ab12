//! Recognizes the answers that a forwarding proxy gives itself, in the receiver's place.

use bugle_core::{Failure, Outcome};

use crate::proxy::UNAUTHORIZED;
use crate::shortage::{Of, Shortage};

/// Squid's words for a receiver that it did not reach, in the header `X-Squid-Error`.
const SQUID: [&str; 4] =
    ["ERR_CONNECT_FAIL", "ERR_DNS_FAIL", "ERR_CANNOT_FORWARD", "ERR_SECURE_CONNECT_FAIL"];

/// The words for the same in the header `Proxy-Status`: RFC 9209, 2.3.
const STATUS: [&str; 8] = [
    "dns_timeout",
    "dns_error",
    "destination_not_found",
    "destination_unavailable",
    "destination_ip_unroutable",
    "connection_refused",
    "connection_timeout",
    "connection_limit_reached",
];

/// A header's name and value.
pub(crate) type Header = (String, String);

/// True when the answer may be the proxy's own, as a gateway: the next attempt then asks for
/// another address of the receiver.
pub(crate) fn is_of_a_gateway(status: u16) -> bool {
    matches!(status, 502..=504)
}

/// True when the proxy says that it did not reach the receiver, which then has not got the request.
pub(crate) fn found_no_way(status: u16, headers: &[Header]) -> bool {
    let Some(word) = own_word(headers).filter(|_| is_of_a_gateway(status)) else { return false };
    SQUID.iter().any(|error| word.starts_with(error))
        || STATUS.iter().any(|error| word.contains(&format!("error={error}")))
}

/// Attributes a failure to the proxy where it is the proxy's. A proxy that refuses our connection,
/// or our user and password, is not the receiver's fault.
pub(crate) fn amend(outcome: &mut Outcome) {
    let status = outcome.exchange.status;
    let Some(failure) = &mut outcome.failure else { return };
    if status == Some(407) {
        *failure = Failure::from(Shortage::new(Of::Proxy, UNAUTHORIZED));
        return;
    }
    let headers = outcome.exchange.head.as_ref().map(|head| head.headers.as_slice());
    if let Some(word) = headers.and_then(own_word) {
        failure.message = format!("{}: the proxy's own answer, {word}", failure.message).into();
    }
}

/// The proxy's description of its own failure.
fn own_word(headers: &[Header]) -> Option<&str> {
    let value = |name: &str| {
        let found = headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    value("x-squid-error").or_else(|| value("proxy-status").filter(|text| text.contains("error=")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_told_from_the_receiver() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (status, headers, expected) in [
            (503, vec![header("X-Squid-Error", "ERR_CONNECT_FAIL 111")], true),
            (503, vec![header("x-squid-error", "ERR_DNS_FAIL 0")], true),
            (502, vec![header("proxy-status", "edge; error=connection_refused")], true),
            // The receiver may have got the request.
            (504, vec![header("x-squid-error", "ERR_READ_TIMEOUT 110")], false),
            (502, vec![header("x-squid-error", "ERR_ZERO_SIZE_OBJECT 0")], false),
            (403, vec![header("x-squid-error", "ERR_ACCESS_DENIED 0")], false),
            (503, vec![header("proxy-status", "edge; received-status=503")], false),
            (503, vec![header("via", "1.1 squid")], false),
            (503, vec![], false),
        ] {
            assert_eq!(found_no_way(status, &headers), expected, "{status} {headers:?}");
        }
    }
}
