//! Knowing which answers have left: a connection that acts once all of an answer was written to it.
//!
//! hyper drops a response's body when it has put the last of the response into its buffer, and
//! flushes the connection once all of that buffer is written. So what is to follow an answer goes
//! along with its body, waits with the connection from then on, and is done at the next flush.
//! Where the connection ends before, it is dropped undone.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

type Then = Box<dyn FnOnce() + Send>;

/// The acts that follow the answers in the buffer, once these have left.
#[derive(Clone, Default)]
pub(crate) struct Leaving(Arc<Mutex<Vec<Then>>>);

impl Leaving {
    /// Makes an empty body, with the act that follows once its response has left.
    pub(crate) fn body(&self, then: impl FnOnce() + Send + 'static) -> EmptyBody {
        EmptyBody { then: Some(Box::new(then)), leaving: self.clone() }
    }
}

/// A body of no bytes.
pub(crate) struct EmptyBody {
    then: Option<Then>,
    leaving: Leaving,
}

impl Body for EmptyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(0)
    }
}

impl Drop for EmptyBody {
    fn drop(&mut self) {
        self.leaving.0.lock().extend(self.then.take());
    }
}

/// A connection that runs what follows an answer once the answer has left.
pub(crate) struct Telling<T> {
    inner: T,
    leaving: Leaving,
}

impl<T> Telling<T> {
    /// Wraps a connection; the second value takes what follows its answers.
    pub(crate) fn new(inner: T) -> (Self, Leaving) {
        let leaving = Leaving::default();
        (Self { inner, leaving: leaving.clone() }, leaving)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Telling<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Telling<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            let done = std::mem::take(&mut *self.leaving.0.lock());
            done.into_iter().for_each(|then| then());
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
