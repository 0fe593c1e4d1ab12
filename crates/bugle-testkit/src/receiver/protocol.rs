//! The versions of HTTP that a receiver speaks.

/// The versions of HTTP that a receiver speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Both,
    Http1,
    Http2,
}

impl Protocol {
    pub(super) fn alpn(self) -> &'static [&'static str] {
        match self {
            Self::Both => &["h2", "http/1.1"],
            Self::Http1 => &["http/1.1"],
            Self::Http2 => &["h2"],
        }
    }
}
