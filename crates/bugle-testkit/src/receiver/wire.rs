//! A connection, and the ways to end it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The number of bytes that are read ahead while a response waits, at most.
const READ_AHEAD: usize = 256 * 1024;

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) stream: Stream,
    /// The bytes that came and were not read yet.
    pub(crate) unread: BytesMut,
}

/// A connection's bytes, with or without TLS.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, unread: BytesMut::new() }
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Waits for the first byte, without reading it. `false` when the peer closes instead. Under
    /// TLS it does not wait: bytes are unknown before they are decrypted.
    pub(crate) async fn first_byte(&self) -> io::Result<bool> {
        match &self.stream {
            Stream::Plain(tcp) => Ok(tcp.peek(&mut [0]).await? > 0),
            Stream::Tls(_) => Ok(true),
        }
    }

    /// True when the first bytes are these. Reads as many as it takes to know.
    pub(crate) async fn starts_with(&mut self, start: &[u8]) -> io::Result<bool> {
        while self.unread.len() < start.len() && start.starts_with(&self.unread) {
            if self.stream.read_buf(&mut self.unread).await? == 0 {
                return Ok(false);
            }
        }
        Ok(self.unread.starts_with(start))
    }

    /// Waits until the peer has closed or reset the connection. Bytes that come meanwhile are kept.
    pub(crate) async fn gone(&mut self) {
        while self.unread.len() < READ_AHEAD {
            match self.stream.read_buf(&mut self.unread).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        std::future::pending().await
    }

    /// Waits until the peer has closed or reset the connection, and never reads again.
    pub(crate) async fn ignore(self) {
        gone(self.tcp()).await;
    }

    /// Ends the connection with a RST.
    pub(crate) fn reset(self) {
        // When this fails, the peer sees a FIN, and the test that wants a RST says so.
        let _ = self.tcp().set_zero_linger();
    }

    /// Ends the connection with a FIN, without TLS's close_notify.
    pub(crate) async fn truncate(self) {
        let mut tcp = match self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls.into_inner().0,
        };
        if tcp.shutdown().await.is_ok() {
            let mut sink = vec![0; 16 * 1024];
            while matches!(tcp.read(&mut sink).await, Ok(read) if read > 0) {}
        }
    }

    /// Ends the connection with a FIN. A socket that is closed with unread bytes sends a RST
    /// instead, so they are read until the peer closes its side too.
    pub(crate) async fn close(mut self) {
        if self.stream.shutdown().await.is_ok() {
            let mut sink = vec![0; 16 * 1024];
            while matches!(self.stream.read(&mut sink).await, Ok(read) if read > 0) {}
        }
    }
}

/// Waits until the peer has closed or reset the connection. Nothing can be read from it afterwards:
/// bytes that had come are lost.
pub(crate) async fn gone(tcp: &TcpStream) {
    while let Ok(ready) = tcp.ready(Interest::READABLE | Interest::ERROR).await {
        if ready.is_read_closed() || ready.is_error() {
            return;
        }
        // Bytes have come, and stay unread: wait for the next change.
        let _ = tcp.try_io(Interest::READABLE, || -> io::Result<()> {
            Err(io::ErrorKind::WouldBlock.into())
        });
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Plain($stream) => $call,
            Stream::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
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

/// Reads what is unread first.
impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = buffer.remaining().min(self.unread.len());
        buffer.put_slice(&self.unread[..length]);
        self.unread.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
