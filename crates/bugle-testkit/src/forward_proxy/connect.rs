//! HTTP's CONNECT (RFC 9110, section 9.3.6), and requests with a whole URL (RFC 9112, 3.2.2), one
//! on each connection.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::state::{Credentials, ProxyState, Refusal};
use crate::receiver::{Head, read_head};

/// Reads the sender's request, and answers it. `None` when it is refused.
pub(super) async fn ask(
    sender: &mut TcpStream,
    shared: &ProxyState,
) -> io::Result<Option<TcpStream>> {
    let mut unread = BytesMut::new();
    let Some(head) = read_head(sender, &mut unread).await? else { return Ok(None) };
    let url = head.path.strip_prefix("http://").filter(|_| head.method != "CONNECT");
    let mut dialled = if head.method != "CONNECT" && url.is_none() {
        Err(Refusal::Denied)
    } else if !shared.admits(credentials(&head).as_ref()) {
        Err(Refusal::Unauthorized)
    } else {
        let authority = url.map_or(&*head.path, |url| url.split('/').next().unwrap_or(url));
        let port = if url.is_some() && !authority.contains(':') { ":80" } else { "" };
        shared.dial(&format!("{authority}{port}")).await
    };
    if let (Some(url), Ok(target)) = (url, &mut dialled) {
        target.write_all(&passed_on(&head, url)).await?;
        target.write_all(&unread).await?;
        return Ok(dialled.ok());
    }
    let answer: &[u8] = match dialled {
        Ok(_) => b"HTTP/1.1 200 Connection Established\r\n\r\n",
        Err(Refusal::Unauthorized) => {
            b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\
              content-length: 0\r\nconnection: close\r\n\r\n"
        }
        Err(Refusal::Denied) => {
            b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        }
        Err(Refusal::Unreachable) => {
            b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        }
    };
    sender.write_all(answer).await?;
    Ok(dialled.ok())
}

/// The request as the receiver gets it.
fn passed_on(head: &Head, url: &str) -> Vec<u8> {
    let path = url.find('/').map_or("/", |at| &url[at..]);
    let mut bytes = format!("{} {path} HTTP/1.1\r\n", head.method).into_bytes();
    for (name, value) in &head.headers {
        if !matches!(name.as_str(), "proxy-authorization" | "connection") {
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
    }
    bytes.extend_from_slice(b"via: 1.1 test\r\nconnection: close\r\n\r\n");
    bytes
}

fn credentials(head: &Head) -> Option<Credentials> {
    let header = head.headers.get("proxy-authorization")?.to_str().ok()?;
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let shown = Credentials { user: user.to_owned(), password: password.to_owned() };
    scheme.eq_ignore_ascii_case("basic").then_some(shown)
}
