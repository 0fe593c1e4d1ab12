//! The URLs that an emitter may deliver to.

use url::Url;

use crate::ConfigError;

const EXAMPLE: &str = "write it like https://example.com/hooks";

pub(crate) fn parse(text: &str) -> Result<Url, ConfigError> {
    // It may hold credentials or a token: no error repeats it.
    let url = Url::parse(text)
        .map_err(|error| ConfigError::new("url", format!("not a URL ({error}); {EXAMPLE}")))?;
    check(&url)?;
    // The url crate reads `http:example.com` and `http:///example.com` as browsers do.
    let authority_follows = text
        .trim_start()
        .get(url.scheme().len()..)
        .is_some_and(|rest| rest.starts_with("://") && !rest.starts_with(":///"));
    if !authority_follows {
        return Err(ConfigError::new("url", format!("a receiver has a host; {EXAMPLE}")));
    }
    Ok(url)
}

pub(crate) fn check(url: &Url) -> Result<(), ConfigError> {
    let wrong = |message: &str| Err(ConfigError::new("url", message));
    if !matches!(url.scheme(), "http" | "https") {
        return wrong(&format!("a receiver speaks http or https; {EXAMPLE}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return wrong(
            "a URL with credentials in it would be logged everywhere; send an authorization \
             header instead",
        );
    }
    if !url.has_host() {
        return wrong(&format!("a receiver has a host; {EXAMPLE}"));
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
