//! A sender that is as plain as possible.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The time within which an expected thing must happen.
pub const SOON: Duration = Duration::from_secs(20);

/// A sender on one connection.
pub struct Sender<S = TcpStream> {
    pub stream: S,
    buffer: BytesMut,
}

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Sender {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap()
    }

    pub async fn try_connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(TcpStream::connect(address).await?))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Sender<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    /// Sends a request and reads the response.
    pub async fn post(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        self.send(path, body).await?;
        self.answer().await
    }

    /// Sends a request.
    pub async fn send(&mut self, path: &str, body: &str) -> io::Result<()> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nx-webhooks-event: a.b\r\nwebhook-id: 7\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).await
    }

    /// Reads a response, with or without a content-length.
    pub async fn answer(&mut self) -> io::Result<Answer> {
        let (mut answer, length) = loop {
            let mut slots = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut slots);
            let parsed = response
                .parse(&self.buffer)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            if let httparse::Status::Complete(length) = parsed {
                let headers = response.headers.iter();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let headers: Vec<_> = headers.map(|h| (h.name.to_owned(), text(h.value))).collect();
                break (
                    Answer { status: response.code.unwrap(), headers, body: Vec::new() },
                    length,
                );
            }
            self.more().await?;
        };
        drop(self.buffer.split_to(length));
        let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
        while self.buffer.len() < length {
            self.more().await?;
        }
        answer.body = self.buffer.split_to(length).to_vec();
        Ok(answer)
    }

    /// Sends a request to a receiver that may reset the connection meanwhile, and reads until the
    /// connection ends. A socket reports a reset once, to a write or to a read.
    pub async fn send_to_the_end(&mut self, path: &str, body: &str) -> (Vec<u8>, io::Result<()>) {
        let sent = self.send(path, body).await;
        let (bytes, ended) = self.rest().await;
        (bytes, sent.and(ended))
    }

    /// Reads until the connection ends, and says in which way it ended.
    pub async fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        let ended = loop {
            match self.more().await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        (self.buffer.split().to_vec(), ended)
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// The kind of an error.
pub fn kind<T>(result: &io::Result<T>) -> Option<io::ErrorKind> {
    result.as_ref().err().map(io::Error::kind)
}
