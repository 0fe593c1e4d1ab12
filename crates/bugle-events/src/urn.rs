//! The addresses of contacts.

/// The parts of `scheme:path?query#display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) display: Option<&'a str>,
}

/// Splits an address into its parts, valid or not.
pub(crate) fn parts(urn: &str) -> Parts<'_> {
    let (rest, display) = split(urn, '#');
    let (rest, query) = split(rest, '?');
    let (scheme, path) = rest.split_once(':').unwrap_or(("", rest));
    Parts { scheme, path, query, display }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// True when the scheme is known and the path fits it.
pub(crate) fn is_valid(urn: &str) -> bool {
    let Parts { scheme, path, display, .. } = parts(urn);
    match scheme {
        "tel" => consists_of(path.strip_prefix('+').unwrap_or(path), 3..=64, |byte| {
            byte.is_ascii_alphanumeric()
        }),
        "twitter" => is_twitter_handle(path),
        "twitterid" => {
            is_number(path)
                && display.is_none_or(|handle| handle.is_empty() || is_twitter_handle(handle))
        }
        "facebook" => path
            .strip_prefix("ref:")
            .map_or_else(|| is_number(path), |reference| !reference.is_empty()),
        "jiochat" | "telegram" | "whatsapp" => is_number(path),
        "mailto" => path.split_once('@').is_some_and(|(name, host)| {
            let part = |text: &str| {
                !text.is_empty() && !text.contains(|c: char| c == '@' || c.is_whitespace())
            };
            part(name) && part(host)
        }),
        "viber" => consists_of(path, 1..=24, |byte| {
            byte.is_ascii_alphanumeric() || b"_=/+".contains(&byte)
        }),
        "line" => consists_of(path, 1..=36, is_word),
        "ext" | "fcm" | "wechat" => !path.is_empty(),
        _ => false,
    }
}

fn is_twitter_handle(text: &str) -> bool {
    consists_of(text, 1..=15, is_word)
}

fn is_number(text: &str) -> bool {
    consists_of(text, 1..=usize::MAX, |byte| byte.is_ascii_digit())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn consists_of(
    text: &str,
    length: std::ops::RangeInclusive<usize>,
    of: impl Fn(u8) -> bool,
) -> bool {
    length.contains(&text.len()) && text.bytes().all(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_has_its_paths() {
        let long = format!("line:{}", "a".repeat(37));
        for (urn, valid) in [
            ("tel:+12065551212", true),
            ("tel:12065551212", true),
            ("tel:NYC", true),
            ("tel:+12", false),
            ("tel:+1 206 555", false),
            ("tel:", false),
            ("twitter:bob", true),
            ("twitter:bob_the_builder__", false),
            ("twitter:bob!", false),
            ("twitterid:1234", true),
            ("twitterid:1234#bob", true),
            ("twitterid:1234#not a handle", false),
            ("twitterid:bob", false),
            ("facebook:12345", true),
            ("facebook:ref:anything at all", true),
            ("facebook:ref:", false),
            ("facebook:bob", false),
            ("telegram:12345", true),
            ("telegram:bob", false),
            ("whatsapp:12345?id=3#Bob", true),
            ("jiochat:12345", true),
            ("mailto:bob@example.com", true),
            ("mailto:bob@example@com", false),
            ("mailto:bob @example.com", false),
            ("mailto:@example.com", false),
            ("viber:abc/=+_09", true),
            ("viber:abc-", false),
            ("line:abc_09", true),
            (&long, false),
            ("ext:anything", true),
            ("ext:", false),
            ("fcm:abc:def", true),
            ("wechat:x", true),
            ("TEL:+12065551212", false),
            ("xmpp:bob", false),
            ("+12065551212", false),
            ("", false),
        ] {
            assert_eq!(is_valid(urn), valid, "{urn}");
        }
    }

    #[test]
    fn an_address_has_up_to_four_parts() {
        let all = parts("telegram:1234?id=3&priority=50#bob");
        assert_eq!((all.scheme, all.path), ("telegram", "1234"));
        assert_eq!((all.query, all.display), (Some("id=3&priority=50"), Some("bob")));
        assert_eq!(parts("nothing").scheme, "");
    }
}
