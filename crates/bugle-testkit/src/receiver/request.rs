//! Reads an HTTP/1.1 request.

use std::io;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The head of a request.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
}

impl Head {
    fn names(&self, header: &str, token: &str) -> bool {
        self.headers.get_all(header).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
            })
        })
    }

    pub(crate) fn expects_continue(&self) -> bool {
        self.names("expect", "100-continue")
    }

    pub(crate) fn wants_close(&self) -> bool {
        self.names("connection", "close")
    }
}

/// Reads a head. `None` when the sender closes the connection instead.
pub(crate) async fn read_head(
    wire: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<Option<Head>> {
    loop {
        if !buffer.is_empty()
            && let Some((head, length)) = parse(buffer)?
        {
            drop(buffer.split_to(length));
            return Ok(Some(head));
        }
        if wire.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(cut_off()) };
        }
    }
}

fn parse(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut slots = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut slots);
    let httparse::Status::Complete(length) = request.parse(bytes).map_err(malformed)? else {
        return Ok(None);
    };
    let mut headers = HeaderMap::new();
    for header in request.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(malformed)?;
        headers.append(name, HeaderValue::from_bytes(header.value).map_err(malformed)?);
    }
    let method = request.method.unwrap_or_default().to_owned();
    let path = request.path.unwrap_or_default().to_owned();
    Ok(Some((Head { method, path, headers }, length)))
}

/// Reads the body that the head announces.
pub(crate) async fn read_body(
    wire: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    head: &Head,
) -> io::Result<Bytes> {
    if head.names("transfer-encoding", "chunked") {
        return read_chunks(wire, buffer).await;
    }
    let Some(length) = head.headers.get("content-length") else { return Ok(Bytes::new()) };
    let length = length.to_str().map_err(malformed)?.parse().map_err(malformed)?;
    fill(wire, buffer, length).await?;
    Ok(buffer.split_to(length).freeze())
}

async fn read_chunks(
    wire: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let (line, size) = loop {
            match httparse::parse_chunk_size(buffer) {
                Ok(httparse::Status::Complete(found)) => break found,
                Ok(httparse::Status::Partial) => fill(wire, buffer, buffer.len() + 1).await?,
                Err(_) => return Err(malformed("a chunk without a size")),
            }
        };
        drop(buffer.split_to(line));
        let size = usize::try_from(size).map_err(malformed)?;
        if size == 0 {
            // A webhook has no trailers: only the empty line behind them is read.
            fill(wire, buffer, 2).await?;
            drop(buffer.split_to(2));
            return Ok(body.freeze());
        }
        fill(wire, buffer, size + 2).await?;
        body.extend_from_slice(&buffer.split_to(size));
        drop(buffer.split_to(2));
    }
}

/// Reads until the buffer has at least this many bytes.
async fn fill(
    wire: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    length: usize,
) -> io::Result<()> {
    while buffer.len() < length {
        if wire.read_buf(buffer).await? == 0 {
            return Err(cut_off());
        }
    }
    Ok(())
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the request was cut off")
}

fn malformed(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
