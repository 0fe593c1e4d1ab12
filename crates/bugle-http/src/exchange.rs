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
use crate::response::{Answered, Reading};

/// The number of bytes of an answer that are read at once.
const PIECE: usize = 8 * 1024;

const CLOSED: &str = "the receiver closed the connection before it answered";

/// A request under way, and its answer. Both proceed at once: a receiver may answer before it has
/// read the request, and may stop reading until its answer is read.
pub(crate) struct Exchange<'a> {
    sending: Sending<'a>,
    answer: AnswerReader,
    reading: Reading,
    /// True when any byte of an answer came.
    heard: bool,
    /// The time at which the answer's head had come.
    head_at: Option<Instant>,
    /// The time at which the answer was over.
    ended: Option<Instant>,
}

/// A request while it is sent.
struct Sending<'a> {
    body: &'a [u8],
    /// The number of bytes of head and body that are written.
    written: usize,
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
            sending: Sending { body, written: 0, state: Sent::Partly },
            answer: AnswerReader::new(reading),
            reading,
            heard: false,
            head_at: None,
            ended: None,
        }
    }

    /// Writes and reads as far as possible. Ready when the exchange is over, or has broken off.
    ///
    /// After an early answer that settles the delivery the rest of the request is still written, as
    /// an accepted event should arrive whole. After any other answer it is not.
    pub(crate) fn poll<S>(
        &mut self,
        stream: &mut S,
        head: &[u8],
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Broken>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let sent = self.sending.poll(stream, head, context).is_ready();
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
    pub(crate) fn finish(self) -> Result<(Answered, bool), Broken> {
        let Self { sending, answer, reading, head_at, ended, .. } = self;
        let now = || Instant::now();
        let Some(whole) = answer.finish() else { return Err(Broken::Connection(CLOSED.into())) };
        let reusable = whole.end == End::Clean && matches!(sending.state, Sent::Whole);
        let instants = [head_at.unwrap_or_else(now), ended.unwrap_or_else(now)];
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
        Err(if self.sending.written == 0 {
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
    fn poll<S>(&mut self, stream: &mut S, head: &[u8], context: &mut Context<'_>) -> Poll<()>
    where
        S: AsyncWrite + Unpin,
    {
        if matches!(self.state, Sent::Partly) {
            self.state = match ready!(self.poll_write(stream, head, context)) {
                Ok(()) => Sent::Whole,
                Err(error) => Sent::Failed(error),
            };
        }
        Poll::Ready(())
    }

    fn poll_write<S>(
        &mut self,
        stream: &mut S,
        head: &[u8],
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while self.written < head.len() + self.body.len() {
            let stream = Pin::new(&mut *stream);
            let written = ready!(match head.get(self.written..) {
                Some(rest) if self.body.is_empty() => stream.poll_write(context, rest),
                Some(rest) if !rest.is_empty() => {
                    let parts = [IoSlice::new(rest), IoSlice::new(self.body)];
                    stream.poll_write_vectored(context, &parts)
                }
                _ => stream.poll_write(context, &self.body[self.written - head.len()..]),
            })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        Pin::new(stream).poll_flush(context)
    }
}
