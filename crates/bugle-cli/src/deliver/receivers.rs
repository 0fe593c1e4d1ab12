//! Detects two receivers that are one.

use bugle::EmitterConfig;

/// Reports two of these with the same URL, however it is spelt: that receiver would get every event
/// twice, under one id, and take the second for a repetition.
pub(super) fn twice(configs: &[EmitterConfig]) -> Option<String> {
    let same = |one: &EmitterConfig, other: &EmitterConfig| spelt(one) == spelt(other);
    let (at, second) = configs
        .iter()
        .enumerate()
        .find(|(at, config)| configs.iter().take(*at).any(|earlier| same(earlier, config)))?;
    let first = configs.iter().take(at).find(|earlier| same(earlier, second))?;
    // The query is often a credential.
    let shown = |config: &EmitterConfig| {
        let mut url = config.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        url.to_string()
    };
    Some(format!(
        "--to: {} stands there twice{}: name each receiver once",
        shown(second),
        if shown(first) == shown(second) {
            String::new()
        } else {
            format!(", also as {}", shown(first))
        }
    ))
}

/// Writes a URL as all its spellings have it. Parsing has made the scheme and the host lower case,
/// left a default port out and resolved the dots of its path. Four parts differ still: the dot
/// behind the host, an empty query, a fragment, which is not sent, and characters that are written
/// as their bytes.
fn spelt(config: &EmitterConfig) -> String {
    let mut url = config.url.clone();
    url.set_fragment(None);
    if url.query() == Some("") {
        url.set_query(None);
    }
    let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
    // A host that can't be set stays as it is.
    let _ = url.set_host(Some(&host));
    decoded(url.as_str())
}

/// Writes the characters that mean the same either way as themselves, and all other bytes in
/// capital letters (RFC 3986, section 6.2.2).
fn decoded(url: &str) -> String {
    let mut parts = url.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let rest = part.get(2..).unwrap_or_default();
        match byte {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                text.push(char::from(byte));
                text.push_str(rest);
            }
            Some(byte) => text += &format!("%{byte:02X}{rest}"),
            None => text += &format!("%{part}"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_receiver_is_known_however_it_is_spelt() {
        let are_one = |one: &str, other: &str| {
            let configs = [one, "https://between.example/", other];
            twice(&configs.map(|url| EmitterConfig::new(url).unwrap())).is_some()
        };
        for (one, other) in [
            ("https://a.com/hooks", "https://a.com/hooks"),
            ("https://a.com/hooks", "HTTPS://A.com:443/hooks"),
            ("http://a.com", "http://a.com:80/"),
            ("https://a.com/x", "https://a.com./x"),
            ("https://a.com/x", "https://a.com/y/../x"),
            ("https://a.com/x", "https://a.com/x#top"),
            ("https://a.com/x", "https://a.com/x?"),
            ("https://a.com/~x", "https://a.com/%7Ex"),
            ("https://a.com/%c3%a9", "https://a.com/\u{e9}"),
            ("http://[::1]:80/", "http://[0:0::1]/"),
            ("http://127.0.0.1/", "http://127.1/"),
        ] {
            assert!(are_one(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("https://a.com/hooks", "https://a.com/hooks/"),
            ("https://a.com/hooks", "http://a.com/hooks"),
            ("https://a.com/hooks", "https://a.com:8443/hooks"),
            ("https://a.com/hooks", "https://a.com/Hooks"),
            ("https://a.com/?a=1", "https://a.com/?a=2"),
            ("https://a.com/a%2Fb", "https://a.com/a/b"),
        ] {
            assert!(!are_one(one, other), "{one} {other}");
        }
    }
}
