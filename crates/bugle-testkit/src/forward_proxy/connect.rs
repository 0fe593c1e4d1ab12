//! HTTP's CONNECT (RFC 9110, section 9.3.6).

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Credentials, Refusal, Shared};
use crate::receiver::{Head, read_head};

/// Reads what the sender asks for, and answers it. `None` when it is refused.
pub(super) async fn ask(sender: &mut TcpStream, shared: &Shared) -> io::Result<Option<TcpStream>> {
    let Some(head) = read_head(sender, &mut BytesMut::new()).await? else { return Ok(None) };
    let dialled = if head.method != "CONNECT" {
        Err(Refusal::Denied)
    } else if !shared.admits(credentials(&head).as_ref()) {
        Err(Refusal::Unauthorized)
    } else {
        shared.dial(&head.path).await
    };
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

fn credentials(head: &Head) -> Option<Credentials> {
    let header = head.headers.get("proxy-authorization")?.to_str().ok()?;
    let (scheme, encoded) = header.split_once(' ')?;
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    let shown = Credentials { user: user.to_owned(), password: password.to_owned() };
    scheme.eq_ignore_ascii_case("basic").then_some(shown)
}
