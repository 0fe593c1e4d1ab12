//! A connection, and the ways to end it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;

/// A connection that was accepted, with or without TLS.
#[derive(Debug)]
pub(crate) enum Wire {
    Plain(TcpStream),
}

impl Wire {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
        }
    }

    /// Waits for the first byte, without reading it. `false` when the peer closes instead. Under
    /// TLS it does not wait: what has come is not known before it is decrypted.
    pub(crate) async fn first_byte(&self) -> io::Result<bool> {
        match self {
            Self::Plain(tcp) => Ok(tcp.peek(&mut [0]).await? > 0),
        }
    }

    /// Waits until the peer has closed or reset the connection, without reading.
    pub(crate) async fn gone(&self) {
        gone(self.tcp()).await;
    }

    /// Ends it with a RST.
    pub(crate) fn reset(self) {
        reset(self.tcp());
    }

    /// Ends it with a FIN. A socket that is closed with unread bytes sends a RST instead, so they
    /// are read until the peer closes its side too.
    pub(crate) async fn close(mut self) {
        if self.shutdown().await.is_ok() {
            let mut sink = vec![0; 16 * 1024];
            while matches!(self.read(&mut sink).await, Ok(read) if read > 0) {}
        }
    }
}

/// Makes the closing of this socket a RST.
pub(crate) fn reset(tcp: &TcpStream) {
    // Should it fail, the peer sees a FIN, and the test that wanted a RST will say so.
    let _ = tcp.set_zero_linger();
}

/// Waits until the peer has closed or reset the connection, without reading.
pub(crate) async fn gone(tcp: &TcpStream) {
    while let Ok(ready) = tcp.ready(Interest::READABLE | Interest::ERROR).await {
        if ready.is_read_closed() || ready.is_error() {
            return;
        }
        // There are bytes to read, and they are left alone: forget them, wait for the next news.
        let _ = tcp.try_io(Interest::READABLE, || -> io::Result<()> {
            Err(io::ErrorKind::WouldBlock.into())
        });
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Wire::Plain($stream) => $call,
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(context, buffer))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
