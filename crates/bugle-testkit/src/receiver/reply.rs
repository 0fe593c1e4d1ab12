//! The receiver's reaction to one request.

use std::time::Duration;

use bytes::Bytes;

/// The reaction of a [`Receiver`](crate::Receiver) to one request: it answers well, late, slowly,
/// wrongly, or not at all.
///
/// ```
/// use std::time::Duration;
/// use bugle_testkit::{Reply, Stage};
///
/// let late = Reply::status(200).after(Duration::from_millis(50)).body("{}");
/// let busy = Reply::status(429).retry_after(Duration::from_secs(2));
/// let gone = Reply::reset(Stage::AfterBody);
/// # let _ = (late, busy, gone);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    pub(crate) delay: Duration,
    pub(crate) fault: Option<Fault>,
    /// The value of the content-length header, when it is not the truth.
    pub(crate) announced: Option<u64>,
    pub(crate) chunked: bool,
    pub(crate) head_pace: Option<Pace>,
    pub(crate) body_pace: Option<Pace>,
    pub(crate) end: End,
}

/// The stage of an exchange at which a fault strikes. Over HTTP/2 a hang leaves its stream
/// unanswered, or half of its body unsent, and any other fault after the handshake resets its
/// stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// As soon as the connection is accepted, before a TLS handshake. The sender may see it while
    /// it still connects.
    OnAccept,
    /// When the request's first byte has come, before any of it is read. Under TLS: after the
    /// handshake.
    BeforeReading,
    /// When the request's head has been read, before its body is.
    AfterHead,
    /// When the whole request has been read, before any of the response is written.
    AfterBody,
    /// In the middle of the response's head.
    InResponseHead,
    /// In the middle of the response's body.
    InResponseBody,
}

/// The content of a huge body, and the largest piece of any body that is written at once.
pub(crate) const FILLER: &[u8] = &[b' '; 64 * 1024];

/// A response's body.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Bytes(Bytes),
    /// This many bytes of filler, made as they are written.
    Filler(u64),
}

impl Body {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Filler(length) => *length,
        }
    }
}

/// A fault of a reply.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) stage: Stage,
    pub(crate) kind: FaultKind,
}

#[derive(Debug, Clone)]
pub(crate) enum FaultKind {
    Hang,
    Reset,
    Close,
    Refuse,
    Garbage(Bytes),
    /// The bytes, and then the connection's end without TLS's close_notify.
    Truncated(Bytes),
    /// The first bytes once, the others again and again.
    Flood(Bytes, Bytes),
}

/// A number of bytes at a time, with a pause between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) bytes: usize,
    pub(crate) every: Duration,
}

/// The connection after the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    KeepAlive,
    /// Closed, with a `connection: close` header.
    Announced,
    /// Closed without a word.
    Silent,
    /// Reset.
    Reset,
}

impl Reply {
    /// Answers with this status and an empty body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Bytes(Bytes::new()),
            delay: Duration::ZERO,
            fault: None,
            announced: None,
            chunked: false,
            head_pace: None,
            body_pace: None,
            end: End::KeepAlive,
        }
    }

    /// Reads the whole request and never answers it. The connection stays open until the sender
    /// closes it.
    pub fn hang() -> Self {
        Self::hang_at(Stage::AfterBody)
    }

    /// Falls silent at this stage, and keeps the connection open until the sender closes it.
    pub fn hang_at(stage: Stage) -> Self {
        Self::fault(stage, FaultKind::Hang)
    }

    /// Resets the connection at this stage: the sender sees a TCP RST.
    pub fn reset(stage: Stage) -> Self {
        Self::fault(stage, FaultKind::Reset)
    }

    /// Closes the connection at this stage: the sender sees a TCP FIN, and no response, or the
    /// first part of one.
    pub fn close(stage: Stage) -> Self {
        Self::fault(stage, FaultKind::Close)
    }

    /// Refuses the request as not processed: over HTTP/2 with REFUSED_STREAM. HTTP/1.1 can't say
    /// so: there the connection is closed.
    pub fn refuse() -> Self {
        Self::fault(Stage::AfterBody, FaultKind::Refuse)
    }

    /// Answers with bytes that are not HTTP, and closes the connection.
    pub fn garbage() -> Self {
        Self::garbage_of(&b"\x16\x03\x01 this is not the protocol you are looking for\r\n\r\n"[..])
    }

    /// Answers with exactly these bytes, and closes the connection.
    pub fn garbage_of(bytes: impl Into<Bytes>) -> Self {
        Self::fault(Stage::AfterBody, FaultKind::Garbage(bytes.into()))
    }

    /// Answers with exactly these bytes, and ends the connection: over TLS without the close_notify
    /// that tells an end from a cut. HTTP/1.1 only.
    pub fn truncated(bytes: impl Into<Bytes>) -> Self {
        Self::fault(Stage::AfterBody, FaultKind::Truncated(bytes.into()))
    }

    /// Answers with some bytes once, and with others again and again, until the sender closes the
    /// connection. HTTP/1.1 only.
    pub fn flood(first: impl Into<Bytes>, then: impl Into<Bytes>) -> Self {
        Self::fault(Stage::AfterBody, FaultKind::Flood(first.into(), then.into()))
    }

    /// Answers with exactly these bytes, and keeps the connection open until the sender closes it.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::flood(bytes, Bytes::new())
    }

    /// Answers 200 with a body of this many bytes, which are made as they are written: 100 MB cost
    /// the receiver no memory.
    pub fn huge(bytes: u64) -> Self {
        let mut reply = Self::status(200);
        reply.body = Body::Filler(bytes);
        reply
    }

    /// Answers 410: the receiver wants no more events.
    pub fn gone() -> Self {
        Self::status(410)
    }

    fn fault(stage: Stage, kind: FaultKind) -> Self {
        let mut reply = Self::status(200).body("{\"received\":true}");
        reply.fault = Some(Fault { stage, kind });
        reply
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body. Default: empty.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Bytes(body.into());
        self
    }

    /// Adds a `Retry-After` header in whole seconds, rounded up.
    pub fn retry_after(self, delay: Duration) -> Self {
        let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
        self.header("retry-after", seconds.to_string())
    }

    /// Waits this long, once the request is read, before it answers. Default: no wait.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Writes the response's head a few bytes at a time. Default: all at once.
    pub fn drip_head(mut self, bytes: usize, every: Duration) -> Self {
        self.head_pace = Some(Pace { bytes: bytes.max(1), every });
        self
    }

    /// Writes the response's body a few bytes at a time. Default: as fast as the sender reads.
    pub fn drip(mut self, bytes: usize, every: Duration) -> Self {
        self.body_pace = Some(Pace { bytes: bytes.max(1), every });
        self
    }

    /// Sets the `content-length` header to this many bytes, whatever the body has. When it has
    /// fewer, the connection is closed behind them; when it has more, they are written all the
    /// same. HTTP/1.1 only.
    pub fn content_length(mut self, bytes: u64) -> Self {
        self.announced = Some(bytes);
        self
    }

    /// Sends the body in chunks, without a `content-length`. HTTP/1.1 only.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Closes the connection after the response, and says so in a `connection: close` header.
    pub fn connection_close(mut self) -> Self {
        self.end = End::Announced;
        self
    }

    /// Closes the connection after the response without saying so, as a server does at the end of
    /// its keep-alive time.
    pub fn then_close(mut self) -> Self {
        self.end = End::Silent;
        self
    }

    /// Resets the connection after the response.
    pub fn then_reset(mut self) -> Self {
        self.end = End::Reset;
        self
    }

    /// True when a response with this status may have a content-length.
    pub(crate) fn has_length(&self) -> bool {
        !(matches!(self.status, 100..=199 | 204 | 304) && self.announced.is_none())
    }

    /// The fault, if it strikes at this stage.
    pub(crate) fn fault_at(&self, stage: Stage) -> Option<&FaultKind> {
        self.fault.as_ref().filter(|fault| fault.stage == stage).map(|fault| &fault.kind)
    }
}
