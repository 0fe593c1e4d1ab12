//! A bare connection of hyper's: the ceiling that Bugle's figures are a share of.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::ceiling::{Connection, Stream};

/// A connection of hyper's, and the headers of its requests.
pub(crate) struct BareHyper {
    connection: SendRequest<Full<Bytes>>,
    host: HeaderValue,
    json: HeaderValue,
    path: Uri,
}

impl Connection for BareHyper {
    async fn on(stream: Stream, address: SocketAddr) -> Result<Self> {
        let connection = match stream {
            Stream::Plain(stream) => handshake(stream).await?,
            Stream::Tls(stream) => handshake(*stream).await?,
        };
        Ok(Self {
            connection,
            host: HeaderValue::try_from(address.to_string())?,
            json: HeaderValue::from_static("application/json"),
            path: Uri::from_static("/"),
        })
    }

    async fn send(&mut self, payload: Bytes) -> Result<()> {
        let mut request = Request::post(self.path.clone()).body(Full::new(payload))?;
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, self.json.clone());
        self.connection.ready().await?;
        let response = self.connection.send_request(request).await?;
        ensure!(response.status() == StatusCode::NO_CONTENT, "{}", response.status());
        response.into_body().collect().await?;
        Ok(())
    }
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; an error is the sender's too.
    tokio::spawn(connection);
    Ok(sender)
}
