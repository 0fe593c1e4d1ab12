//! SOCKS5 (RFC 1928), with its user names and passwords (RFC 1929).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::state::{Credentials, ProxyState, Refusal};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NO_ACCEPTABLE_METHOD: u8 = 0xff;

/// Reads the sender's request, and answers it. `None` when it is refused.
pub(super) async fn ask(
    sender: &mut TcpStream,
    shared: &ProxyState,
) -> io::Result<Option<TcpStream>> {
    if !authenticate(sender, shared).await? {
        return Ok(None);
    }
    let target = read_target(sender).await?;
    let dialled = shared.dial(&target).await;
    let code = match dialled {
        Ok(_) => 0,
        Err(Refusal::Unauthorized | Refusal::Denied) => 2,
        Err(Refusal::Unreachable) => 4,
    };
    // The proxy's own address, which no sender needs: all zeros.
    sender.write_all(&[VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(dialled.ok())
}

async fn authenticate(sender: &mut TcpStream, shared: &ProxyState) -> io::Result<bool> {
    expect(sender, VERSION).await?;
    let count = usize::from(sender.read_u8().await?);
    let mut methods = vec![0; count];
    sender.read_exact(&mut methods).await?;

    if shared.credentials.is_none() && methods.contains(&NO_AUTHENTICATION) {
        sender.write_all(&[VERSION, NO_AUTHENTICATION]).await?;
        return Ok(true);
    }
    if !methods.contains(&USER_AND_PASSWORD) {
        shared.admits(None);
        sender.write_all(&[VERSION, NO_ACCEPTABLE_METHOD]).await?;
        return Ok(false);
    }
    sender.write_all(&[VERSION, USER_AND_PASSWORD]).await?;
    expect(sender, 1).await?;
    let user = read_text(sender).await?;
    let password = read_text(sender).await?;
    let welcome = shared.admits(Some(&Credentials { user, password }));
    sender.write_all(&[1, u8::from(!welcome)]).await?;
    Ok(welcome)
}

/// Reads a request to connect, and returns its target as `host:port`.
async fn read_target(sender: &mut TcpStream) -> io::Result<String> {
    expect(sender, VERSION).await?;
    expect(sender, 1).await?;
    expect(sender, 0).await?;
    match sender.read_u8().await? {
        1 => {
            let mut octets = [0; 4];
            sender.read_exact(&mut octets).await?;
            let port = sender.read_u16().await?;
            Ok(SocketAddr::new(Ipv4Addr::from(octets).into(), port).to_string())
        }
        3 => {
            let host = read_text(sender).await?;
            let port = sender.read_u16().await?;
            Ok(format!("{host}:{port}"))
        }
        4 => {
            let mut octets = [0; 16];
            sender.read_exact(&mut octets).await?;
            let port = sender.read_u16().await?;
            Ok(SocketAddr::new(Ipv6Addr::from(octets).into(), port).to_string())
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

async fn read_text(sender: &mut TcpStream) -> io::Result<String> {
    let length = usize::from(sender.read_u8().await?);
    let mut text = vec![0; length];
    sender.read_exact(&mut text).await?;
    String::from_utf8(text).map_err(io::Error::other)
}

async fn expect(sender: &mut TcpStream, byte: u8) -> io::Result<()> {
    if sender.read_u8().await? == byte {
        return Ok(());
    }
    Err(io::ErrorKind::InvalidData.into())
}
