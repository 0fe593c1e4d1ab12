//! The bytes under a connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::slots::Slot;

/// Head and body of a request up to this size are copied together: that costs less than to have
/// the system gather them.
const SMALL: usize = 2048;

/// A socket, with TLS or without, and its place under the cap on open connections.
pub(crate) struct Stream {
    socket: Socket,
    /// Given back when the socket closes.
    _slot: Slot,
}

pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    pub(crate) fn new(socket: Socket, slot: Slot) -> Self {
        Self { socket, _slot: slot }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Socket::Tls(socket) => Pin::new(socket).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Socket::Tls(socket) => Pin::new(socket).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut joined = [0; SMALL];
        if let Some(length) = join(slices, &mut joined) {
            return self.poll_write(context, &joined[..length]);
        }
        match &mut self.get_mut().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_write_vectored(context, slices),
            Socket::Tls(socket) => Pin::new(socket).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.socket {
            Socket::Plain(socket) => socket.is_write_vectored(),
            Socket::Tls(socket) => socket.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_flush(context),
            Socket::Tls(socket) => Pin::new(socket).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().socket {
            Socket::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Socket::Tls(socket) => Pin::new(socket).poll_shutdown(context),
        }
    }
}

/// Copies the slices together if they fit, and says how long they are.
fn join(slices: &[IoSlice<'_>], into: &mut [u8]) -> Option<usize> {
    let length = slices.iter().map(|slice| slice.len()).sum();
    let mut rest = into.get_mut(..length)?;
    for slice in slices {
        let (part, behind) = rest.split_at_mut(slice.len());
        part.copy_from_slice(slice);
        rest = behind;
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_joined_where_they_fit() {
        let mut into = [0; 6];
        let check = |parts: &[&str], into: &mut [u8]| {
            let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part.as_bytes())).collect();
            join(&slices, into).map(|length| String::from_utf8_lossy(&into[..length]).into_owned())
        };
        assert_eq!(check(&[], &mut into).as_deref(), Some(""));
        assert_eq!(check(&["ab", "", "cdef"], &mut into).as_deref(), Some("abcdef"));
        assert_eq!(check(&["abc", "defg"], &mut into), None);
    }
}
