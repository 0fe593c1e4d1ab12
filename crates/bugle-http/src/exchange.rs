//! One request and its answer, over the bytes of a connection.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::failure::{Broken, Step, describe_io};
use crate::http1::answer::{AnswerReader, End};
use crate::http1::head::HeadError;
use crate::http1::request::RequestHead;
use crate::response::{Answered, Reading};

/// The number of bytes of an answer that are read at once.
const PIECE: usize = 8 * 1024;

/// The size in bytes up to which a request is put together in one buffer: copying its payload costs
/// less than letting the system gather the two.
const SMALL: usize = 2048;

const CLOSED: &str = "the receiver closed the connection before it answered";

/// A request under way, and its answer. Both proceed at once: a receiver may answer before it has
/// read the request, and may stop reading until its answer is read.
pub(crate) struct Exchange<'a> {
    sending: Sending<'a>,
    answer: AnswerReader,
    /// True when any byte of an answer came.
    heard: bool,
    /// The time at which the answer's head had come.
    head_at: Option<Instant>,
    /// The time at which the answer was over.
    ended: Option<Instant>,
}

/// The part of a request that is not written yet.
struct Sending<'a> {
    /// The bytes before the body. Empty as a rule: they are written in one piece.
    first: Vec<u8>,
    body: &'a [u8],
    /// True when any byte was written.
    begun: bool,
    state: Sent,
}

#[derive(Debug)]
enum Sent {
    Partly,
    Whole,
    Failed(io::Error),
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(body: &'a [u8], reading: Reading) -> Self {
        Self {
            sending: Sending { first: Vec::new(), body, begun: false, state: Sent::Partly },
            answer: AnswerReader::new(reading),
            heard: false,
            head_at: None,
            ended: None,
        }
    }

    /// Puts the request together, writes as far as possible, and keeps the rest. True when all is
    /// written.
    ///
    /// The stack is in the processor's cache. A buffer of the connection's own would not be while
    /// many connections are busy.
    pub(crate) fn begin<S>(
        &mut self,
        stream: &mut S,
        head: &RequestHead<'_>,
        context: &mut Context<'_>,
    ) -> bool
    where
        S: AsyncWrite + Unpin,
    {
        let sending = &mut self.sending;
        let (mut small, mut large) = ([MaybeUninit::uninit(); SMALL], Vec::new());
        let length = head.length();
        let mut first = if length <= SMALL {
            ReadBuf::uninit(&mut small)
        } else {
            large.resize(length, 0);
            ReadBuf::new(&mut large)
        };
        head.put(&mut first);
        if sending.body.len() <= first.remaining() {
            first.put_slice(std::mem::take(&mut sending.body));
        }
        if let Poll::Ready(Err(error)) = sending.write(stream, first.filled(), context) {
            sending.state = Sent::Failed(error);
        }
        sending.poll(stream, context).is_ready() && matches!(sending.state, Sent::Whole)
    }

    /// Writes and reads as far as possible. Ready when the exchange is over, or has broken off.
    ///
    /// After an early answer that settles the delivery the rest of the request is still written, as
    /// an accepted event should arrive whole. After any other answer it is not.
    pub(crate) fn poll<S>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let sent = self.sending.poll(stream, context).is_ready();
        if !self.answer.is_over() {
            match self.poll_answer(stream, context) {
                Poll::Ready(result) => result?,
                // When nothing can be written any more, nothing more comes either.
                Poll::Pending if matches!(self.sending.state, Sent::Failed(_)) => {
                    self.close(false, None)?
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if sent || !self.answer.settles() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// Ends the exchange at the deadline.
    pub(crate) fn late(&self) -> Result<(), Broken> {
        match (self.answer.has_head(), self.heard) {
            (true, _) => Ok(()),
            (false, true) => Err(Broken::Late(Step::Respond)),
            (false, false) => Err(Broken::Late(Step::FirstByte)),
        }
    }

    /// Returns the answer as far as it came; true when another request may follow.
    pub(crate) fn finish(&mut self) -> Result<(Answered, bool), Broken> {
        let now = || Instant::now();
        let instants = [self.head_at.unwrap_or_else(now), self.ended.unwrap_or_else(now)];
        let reading = self.answer.reading();
        let Some(whole) = self.answer.finish() else {
            return Err(Broken::Connection(CLOSED.into()));
        };
        let reusable = whole.end == End::Clean && matches!(self.sending.state, Sent::Whole);
        let cut = whole.end == End::Cut;
        Ok((Answered::new(whole.head, whole.body, cut, reading, instants), reusable))
    }

    /// Reads until the answer is over.
    fn poll_answer<S>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>>
    where
        S: AsyncRead + Unpin,
    {
        let mut space = [MaybeUninit::uninit(); PIECE];
        while !self.answer.is_over() {
            let mut piece = ReadBuf::uninit(&mut space);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut piece)) {
                Ok(()) if !piece.filled().is_empty() => self.take(piece.filled())?,
                Ok(()) => self.close(true, None)?,
                Err(error) => self.close(false, Some(error))?,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.heard = true;
        self.answer.take(bytes).map_err(not_http)?;
        if self.answer.has_head() && (self.head_at.is_none() || self.answer.is_over()) {
            let now = Instant::now();
            let head_at = *self.head_at.get_or_insert(now);
            if self.answer.is_over() {
                self.ended = Some(now.max(head_at));
            }
        }
        Ok(())
    }

    /// Ends the answer: nothing more will come. The connection ended in order, or it did not.
    fn close(&mut self, in_order: bool, error: Option<io::Error>) -> Result<(), Broken> {
        if self.answer.close(in_order).map_err(not_http)? {
            return Ok(());
        }
        let cause = match &self.sending.state {
            Sent::Failed(error) => Some(error),
            _ => error.as_ref(),
        };
        let words = cause.map_or(Cow::Borrowed(CLOSED), |error| describe_io(error).into());
        Err(if !self.sending.begun {
            Broken::Unsent(words)
        } else if !self.heard {
            Broken::Silent(words)
        } else {
            Broken::Connection(words)
        })
    }
}

fn not_http(error: HeadError) -> Broken {
    Broken::Connection(format!("the receiver's answer is not HTTP: {error}").into())
}

impl Sending<'_> {
    /// Ready when all is written, or no more can be.
    fn poll<S>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncWrite + Unpin,
    {
        if matches!(self.state, Sent::Partly) {
            self.state = match ready!(self.poll_rest(stream, context)) {
                Ok(()) => Sent::Whole,
                Err(error) => Sent::Failed(error),
            };
        }
        Poll::Ready(())
    }

    fn poll_rest<S>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !(self.first.is_empty() && self.body.is_empty()) {
            let first = std::mem::take(&mut self.first);
            ready!(self.write(stream, &first, context))?;
        }
        Pin::new(stream).poll_flush(context)
    }

    /// Writes these bytes and the body as far as possible at once, and keeps the rest.
    fn write<S>(
        &mut self,
        stream: &mut S,
        first: &[u8],
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        let stream = Pin::new(stream);
        let written = match (first, self.body) {
            ([], body) => stream.poll_write(context, body),
            (first, []) => stream.poll_write(context, first),
            (first, body) => {
                let both = [IoSlice::new(first), IoSlice::new(body)];
                stream.poll_write_vectored(context, &both)
            }
        };
        let written = match written {
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(written)) => written,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => {
                self.first = first.to_vec();
                return Poll::Pending;
            }
        };
        self.begun = true;
        match first.get(written..) {
            Some(rest) => self.first = rest.to_vec(),
            None => self.body = &self.body[written - first.len()..],
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use bugle_core::{Event, EventName, RequestId};
    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::http1::request::{Draft, Names, Request};

    /// A stream that takes so many bytes at every other call, and from which nothing is read.
    struct Narrow {
        takes: usize,
        is_full: bool,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.is_full = !self.is_full;
            if self.is_full {
                return Poll::Pending;
            }
            let count = bytes.len().min(self.takes);
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Narrow {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[test]
    fn a_request_arrives_whole_in_whatever_pieces_it_goes() {
        let name = |name| http::HeaderName::from_static(name);
        let names = Names::new(&name("x-event"), &name("x-delivery"), &name("x-signature"));
        for (own, body) in [(1, 0), (1, 2), (1, 1024), (1, 5000), (1700, 400), (3000, 10)] {
            let own = vec![b'v'; own];
            let payload = Bytes::from(vec![b'b'; body]);
            let id = RequestId::new("r-1").unwrap();
            let event = EventName::new("invoice.paid").unwrap();
            let event = Event::new(event, id, payload.clone(), Timestamp::now());
            let request =
                Request { names: &names, secrets: &[], event: &event, now: Instant::now() };
            let mut draft = Draft::new("/hooks", [("own", own.as_slice())].into_iter());
            let head = draft.head(&request);
            let mut whole = vec![0; head.length() + body];
            let mut expected = ReadBuf::new(&mut whole);
            head.put(&mut expected);
            expected.put_slice(&payload);
            for (takes, is_full) in [(1, false), (7, true), (999, false), (9999, true)] {
                let mut stream = Narrow { takes, is_full, taken: Vec::new() };
                let reading = Reading { limit: 0, capture: false };
                let mut exchange = Exchange::new(&payload, reading);
                let mut context = Context::from_waker(Waker::noop());
                let mut sent = exchange.begin(&mut stream, &head, &mut context);
                while !sent {
                    assert!(exchange.poll(&mut stream, &mut context).is_pending());
                    sent = matches!(exchange.sending.state, Sent::Whole);
                }
                assert!(stream.taken == expected.filled(), "{takes} {}", own.len());
            }
        }
    }
}
