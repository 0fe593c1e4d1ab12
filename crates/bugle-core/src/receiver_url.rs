//! The URLs that an emitter may deliver to.

use url::Url;

use crate::ConfigError;

const EXAMPLE: &str = "write it like https://example.com/hooks";

pub(crate) fn parse(text: &str) -> Result<Url, ConfigError> {
    // It may hold credentials or a token: no error repeats it.
    let wrong = |what: &str| Err(ConfigError::new("url", format!("{what}; {EXAMPLE}")));
    let text = text.trim();
    if text.is_empty() {
        return wrong("it is empty");
    }
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) else {
        return wrong("it has no scheme in front, http:// or https://");
    };
    if !["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        // `localhost:8080` and `example.com:443/hooks` have a scheme to the standard.
        let is_port = rest.starts_with(|next: char| next.is_ascii_digit());
        return match is_port || scheme.contains('.') {
            true => wrong("it has no scheme in front, http:// or https://"),
            false => wrong("its scheme is another than http or https, which a receiver speaks"),
        };
    }
    if !rest.starts_with("//") {
        return wrong("the // behind its scheme is missing");
    }
    // The url crate reads `http:///example.com` as browsers do.
    if rest[2..].is_empty() || rest[2..].starts_with(['/', '?', '#', '\\', ':']) {
        return wrong("its host is missing");
    }
    match Url::parse(text) {
        Ok(url) => check(&url).map(|()| url),
        Err(error) => wrong(&format!("it can't be read ({error})")),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '+' | '-' | '.'))
}

pub(crate) fn check(url: &Url) -> Result<(), ConfigError> {
    let wrong = |message: &str| Err(ConfigError::new("url", message));
    if !matches!(url.scheme(), "http" | "https") {
        return wrong(&format!(
            "its scheme is another than http or https, which a receiver speaks; {EXAMPLE}"
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(
            "it has credentials in it, which would be logged everywhere; send them as an \
             authorization header instead",
        );
    }
    if !url.has_host() {
        return wrong(&format!("its host is missing; {EXAMPLE}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::EmitterConfig;

    #[test]
    fn a_url_is_checked() {
        for good in ["http://a", "https://example.com:8443/x?y=1", "http://[::1]:80/"] {
            assert!(EmitterConfig::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "example.com/hooks",
            "//example.com",
            "ftp://example.com",
            "http://",
            "https://user:secret@example.com",
            "https://user@example.com",
            "http:example.com",
            "http:///example.com",
            "mailto:a@b",
            "http://exa mple.com",
        ] {
            assert!(EmitterConfig::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_error_keeps_credentials_to_itself() {
        for bad in ["https://user:hunter2@example.com", "https://user:hunter2@exa mple.com"] {
            assert!(!format!("{:?}", EmitterConfig::new(bad)).contains("hunter2"), "{bad}");
        }
    }
}
