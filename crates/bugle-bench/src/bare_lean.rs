//! The least that an exchange over HTTP/1.1 can be: a head that was laid out once, one vectored
//! write, and an answer that is read into a buffer which stays, and parsed with httparse. No state,
//! no limits, no deadline: it shows what hyper's client costs, and what is left to be reached.

use std::io::{IoSlice, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::ceiling::{Connection, Stream};
use crate::payload::BYTES;

/// A stream, the head of its requests, and the bytes that were read of an answer.
pub(crate) struct BareLean {
    stream: Stream,
    head: Vec<u8>,
    buffer: BytesMut,
}

impl Connection for BareLean {
    async fn on(stream: Stream, address: SocketAddr) -> Result<Self> {
        let mut head = Vec::new();
        write!(
            head,
            "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {BYTES}\r\n\r\n"
        )?;
        Ok(Self { stream, head, buffer: BytesMut::with_capacity(4096) })
    }

    async fn send(&mut self, payload: Bytes) -> Result<()> {
        let Self { stream, head, buffer } = self;
        match stream {
            Stream::Plain(stream) => exchange(stream, head, &payload, buffer).await,
            Stream::Tls(stream) => exchange(stream, head, &payload, buffer).await,
        }
    }
}

async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    head: &[u8],
    payload: &[u8],
    buffer: &mut BytesMut,
) -> Result<()> {
    let mut all = Buf::chain(head, payload);
    while all.has_remaining() {
        let mut parts = [IoSlice::new(&[]); 2];
        let count = all.chunks_vectored(&mut parts);
        let written = stream.write_vectored(&parts[..count]).await?;
        ensure!(written > 0, "the connection takes no more");
        all.advance(written);
    }
    stream.flush().await?;
    loop {
        ensure!(stream.read_buf(buffer).await? > 0, "the connection was closed");
        if let Some((status, length)) = answer(buffer)? {
            ensure!(status == 204, "{status}");
            ensure!(length == buffer.len(), "there is more than one answer");
            // Its space stays.
            buffer.clear();
            return Ok(());
        }
    }
}

/// An answer's status and length; `None` when it isn't there in full. A 204 has no body.
fn answer(buffer: &[u8]) -> Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(length) = response.parse(buffer)? else { return Ok(None) };
    Ok(Some((response.code.context("an answer has a status")?, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_when_it_is_there_in_full() {
        let whole = b"HTTP/1.1 204 No Content\r\nserver: x\r\n\r\n";
        for end in 0..whole.len() {
            assert!(answer(&whole[..end]).unwrap().is_none(), "{end}");
        }
        assert_eq!(answer(whole).unwrap(), Some((204, whole.len())));
        assert!(answer(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn a_request_may_take_several_writes_and_an_answer_several_reads() {
        // Either way holds five bytes.
        let (mut near, mut far) = tokio::io::duplex(5);
        let receiver = async {
            let mut request = [0; 14];
            far.read_exact(&mut request).await.unwrap();
            far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            request
        };
        let mut buffer = BytesMut::with_capacity(4096);
        let sender = exchange(&mut near, b"HEAD\r\n\r\n", b"payload", &mut buffer);
        let (sent, request) = tokio::join!(sender, receiver);
        sent.unwrap();
        assert_eq!(&request, b"HEAD\r\n\r\npayload"[..14].as_ref());
        assert!(buffer.is_empty());
    }
}
