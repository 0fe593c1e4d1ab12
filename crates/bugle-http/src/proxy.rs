//! Asks a proxy for a tunnel to the receiver.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bugle_core::{ConfigError, Proxy};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Host;

use crate::failure::describe_io;

/// The longest answer of a proxy to CONNECT: 8 KiB.
const MAX_ANSWER: usize = 8 * 1024;

/// The greatest number of interim answers before it.
const MAX_INTERIM: usize = 16;

/// A proxy that connections go through. Unless it resolves names itself, it is given addresses
/// only: the receiver's name is resolved here, so that the destination guard sees the address.
pub(crate) struct ProxyRoute {
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
    pub(crate) resolves_names: bool,
    protocol: Protocol,
    /// User and password. Never print it.
    credentials: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http,
    Socks5,
}

/// The target that a proxy is asked for. As text it is an authority: host and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    Address(SocketAddr),
    Name(&'a str, u16),
}

impl Target<'_> {
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(..) => None,
        }
    }
}

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A proxy made no tunnel.
#[derive(Debug)]
pub(crate) enum ProxyError {
    /// The proxy refuses everybody, or us, whoever the receiver is.
    Unusable(String),
    /// The proxy made no tunnel to this receiver.
    Refused(String),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unusable(why) | Self::Refused(why)) = self;
        f.write_str(why)
    }
}

fn unusable(why: impl Into<String>) -> ProxyError {
    ProxyError::Unusable(why.into())
}

fn refused(why: impl Into<String>) -> ProxyError {
    ProxyError::Refused(why.into())
}

/// The connection to the proxy broke off before the receiver was named.
fn broke_off(error: io::Error) -> ProxyError {
    unusable(format!("the proxy failed: {}", describe_io(&error)))
}

/// The connection to the proxy broke off after the receiver was named.
fn gave_up(error: io::Error) -> ProxyError {
    refused(format!("the proxy failed: {}", describe_io(&error)))
}

/// The error for a missing or wrong user and password.
pub(crate) const UNAUTHORIZED: &str =
    "it asks for a user and password, or refuses those it was given (407)";

impl ProxyRoute {
    pub(crate) fn new(proxy: &Proxy) -> Result<Self, ConfigError> {
        let wrong = |message: &str| ConfigError::new("proxy", message);
        let url = proxy.url();
        let (protocol, default_port) = match url.scheme() {
            "http" => (Protocol::Http, 80),
            "socks5" | "socks5h" => (Protocol::Socks5, 1080),
            _ => return Err(wrong("a proxy is http://host:port or socks5://host:port")),
        };
        let host = match url.host() {
            // The url crate reads hosts of schemes that it doesn't know as opaque text.
            Some(Host::Domain(name)) => match name.parse() {
                Ok(address) => Host::Ipv4(address),
                Err(_) => Host::Domain(name.to_owned()),
            },
            Some(host) => host.to_owned(),
            None => return Err(wrong("a proxy has a host")),
        };
        let decode = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
        let user = decode(url.username());
        let password = decode(url.password().unwrap_or_default());
        let given = !user.is_empty() || !password.is_empty();
        if protocol == Protocol::Socks5 && (user.len() > 255 || password.len() > 255) {
            return Err(wrong("SOCKS5 takes users and passwords of at most 255 bytes"));
        }
        if protocol == Protocol::Http && user.contains(&b':') {
            return Err(wrong("an HTTP proxy takes no user with a colon"));
        }
        Ok(Self {
            host,
            port: url.port().unwrap_or(default_port),
            resolves_names: proxy.resolves_names(),
            protocol,
            credentials: given.then_some((user, password)),
        })
    }

    /// True when the proxy forwards requests themselves, where no TLS hides them, rather than
    /// making a tunnel.
    pub(crate) fn forwards(&self) -> bool {
        self.protocol == Protocol::Http
    }

    /// The value of the header `Proxy-Authorization`. Never print it.
    pub(crate) fn authorization(&self) -> Option<String> {
        let (user, password) = self.credentials.as_ref()?;
        let pair = [user.as_slice(), b":", password.as_slice()].concat();
        Some(format!("Basic {}", STANDARD.encode(pair)))
    }

    /// Asks the proxy, over a connection to it, for a tunnel to this target.
    pub(crate) async fn ask(
        &self,
        stream: &mut TcpStream,
        target: Target<'_>,
    ) -> Result<(), ProxyError> {
        match self.protocol {
            Protocol::Http => self.ask_connect(stream, target).await,
            Protocol::Socks5 => self.ask_socks5(stream, target).await,
        }
    }

    /// Asks by HTTP CONNECT (RFC 9110, 9.3.6).
    async fn ask_connect(
        &self,
        stream: &mut TcpStream,
        target: Target<'_>,
    ) -> Result<(), ProxyError> {
        let mut question = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some(authorization) = self.authorization() {
            question.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
        }
        question.push_str("\r\n");
        stream.write_all(question.as_bytes()).await.map_err(gave_up)?;
        for _ in 0..=MAX_INTERIM {
            let head = read_head(stream).await?;
            let status = status_of(&head)
                .ok_or_else(|| unusable("the proxy's answer to CONNECT is not HTTP"))?;
            return match status {
                100..=199 => continue,
                200..=299 => Ok(()),
                407 => Err(unusable(UNAUTHORIZED)),
                405 | 501 => Err(unusable(format!("it knows no CONNECT (status {status})"))),
                status => Err(refused(format!("the proxy refused to connect: status {status}"))),
            };
        }
        Err(unusable("the proxy's answer to CONNECT never comes to an end"))
    }

    /// Asks by SOCKS5 (RFC 1928), with user and password (RFC 1929) where they are configured.
    async fn ask_socks5(
        &self,
        stream: &mut TcpStream,
        target: Target<'_>,
    ) -> Result<(), ProxyError> {
        const NO_AUTHENTICATION: u8 = 0;
        const USER_AND_PASSWORD: u8 = 2;
        let method = if self.credentials.is_some() { USER_AND_PASSWORD } else { NO_AUTHENTICATION };
        stream.write_all(&[5, 1, method]).await.map_err(broke_off)?;
        let chosen: [u8; 2] = read(stream).await.map_err(broke_off)?;
        if chosen[0] != 5 {
            return Err(unusable("the proxy doesn't speak SOCKS5"));
        }
        if chosen[1] != method {
            return Err(unusable(match &self.credentials {
                Some(_) => "the proxy takes no user and password",
                None => "the proxy asks for a user and password",
            }));
        }
        if let Some((user, password)) = &self.credentials {
            let mut login = vec![1];
            for part in [user, password] {
                login.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
                login.extend_from_slice(part);
            }
            stream.write_all(&login).await.map_err(broke_off)?;
            let [_version, status] = read(stream).await.map_err(broke_off)?;
            if status != 0 {
                return Err(unusable("the proxy refuses the user and password"));
            }
        }
        stream.write_all(&socks_question(target)).await.map_err(gave_up)?;
        let [version, reply, _reserved, kind] = read(stream).await.map_err(gave_up)?;
        if version != 5 {
            return Err(unusable("the proxy doesn't speak SOCKS5"));
        }
        if reply == 7 {
            return Err(unusable(socks_reply(reply)));
        }
        if reply != 0 {
            return Err(refused(format!("the proxy refused to connect: {}", socks_reply(reply))));
        }
        // The address that the proxy connected from, which is not needed.
        let bound = match kind {
            1 => 4,
            4 => 16,
            3 => usize::from(read::<_, 1>(stream).await.map_err(gave_up)?[0]),
            _ => return Err(unusable("the proxy's answer is not SOCKS5")),
        };
        let mut rest = vec![0; bound + 2];
        stream.read_exact(&mut rest).await.map_err(gave_up)?;
        Ok(())
    }
}

/// Writes a SOCKS5 request to connect.
fn socks_question(target: Target<'_>) -> Vec<u8> {
    let mut question = vec![5, 1, 0];
    let port = match target {
        Target::Address(address) => {
            match address.ip() {
                IpAddr::V4(address) => {
                    question.push(1);
                    question.extend_from_slice(&address.octets());
                }
                IpAddr::V6(address) => {
                    question.push(4);
                    question.extend_from_slice(&address.octets());
                }
            }
            address.port()
        }
        Target::Name(name, port) => {
            // A name of the DNS has 253 bytes at most.
            let name = &name.as_bytes()[..name.len().min(255)];
            question.extend_from_slice(&[3, u8::try_from(name.len()).unwrap_or(u8::MAX)]);
            question.extend_from_slice(name);
            port
        }
    };
    question.extend_from_slice(&port.to_be_bytes());
    question
}

/// Reads one head, and no byte behind it: the receiver may speak first.
async fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>, ProxyError> {
    let mut head = Vec::with_capacity(256);
    while head.len() < MAX_ANSWER {
        let mut piece = [0; 1024];
        let seen = stream.peek(&mut piece).await.map_err(gave_up)?;
        if seen == 0 {
            return Err(refused("the proxy closed the connection without an answer"));
        }
        let before = head.len();
        head.extend_from_slice(&piece[..seen]);
        let end = end_of_head(&head);
        head.truncate(end.unwrap_or(head.len()));
        let taken = head.len() - before;
        stream.read_exact(&mut piece[..taken]).await.map_err(gave_up)?;
        if end.is_some() {
            return Ok(head);
        }
    }
    Err(unusable("the proxy's answer to CONNECT is too long"))
}

/// The end of the empty line that ends a head. Lines may end without a carriage return.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let newline = from + bytes.get(from..)?.iter().position(|byte| *byte == b'\n')?;
        match bytes.get(newline + 1..)? {
            [b'\n', ..] => return Some(newline + 2),
            [b'\r', b'\n', ..] => return Some(newline + 3),
            _ => from = newline + 1,
        }
    }
}

async fn read<S: AsyncRead + Unpin, const N: usize>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// The status in `HTTP/1.x NNN …`.
fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next().filter(|status| status.len() == 3)?.parse().ok()
}

fn socks_reply(reply: u8) -> String {
    let text = match reply {
        1 => "it failed",
        2 => "its rules don't allow it",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the connection was refused",
        6 => "it took too long",
        7 => "it knows no CONNECT",
        8 => "it knows no such kind of address",
        other => return format!("reply {other}"),
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_with_an_empty_line() {
        for (bytes, expected) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n"[..], Some(19)),
            (b"HTTP/1.1 200 OK\n\n", Some(17)),
            (b"HTTP/1.1 200 OK\r\nvia: x\n\r\nmore", Some(26)),
            (b"HTTP/1.1 200 OK\r\n\r", None),
            (b"HTTP/1.1 200 OK\r\n", None),
            (b"", None),
        ] {
            assert_eq!(end_of_head(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_status_is_read_from_its_line() {
        for (head, expected) in [
            (&b"HTTP/1.1 200 OK\r\n\r\n"[..], Some(200)),
            (b"HTTP/1.0 407\n\n", Some(407)),
            (b"220 mail.example.com\r\n\r\n", None),
            (b"HTTP/1.1 2000 OK\r\n\r\n", None),
        ] {
            assert_eq!(status_of(head), expected);
        }
    }
}
