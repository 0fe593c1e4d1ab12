//! Asking a proxy for a way to the receiver.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bugle_core::{ConfigError, Proxy};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Host;

use crate::failure::describe_io;

/// The longest answer of a proxy to CONNECT: 8 KiB.
const MAX_ANSWER: usize = 8 * 1024;

/// A proxy, as the dial needs it. It is told addresses only, never names: the receiver's name is
/// resolved here, so that the destination guard sees what is connected to.
pub(crate) struct ProxyRoute {
    pub(crate) host: Host<String>,
    pub(crate) port: u16,
    protocol: Protocol,
    /// User and password. Never print it.
    credentials: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Connect,
    Socks5,
}

/// Why a proxy made no way.
#[derive(Debug)]
pub(crate) enum ProxyError {
    Io(io::Error),
    /// It refused, or answered something that is not its protocol.
    Refused(String),
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "the proxy failed: {}", describe_io(error)),
            Self::Refused(why) => f.write_str(why),
        }
    }
}

fn refused(why: impl Into<String>) -> ProxyError {
    ProxyError::Refused(why.into())
}

impl ProxyRoute {
    pub(crate) fn new(proxy: &Proxy) -> Result<Self, ConfigError> {
        let wrong = |message: &str| ConfigError::new("proxy", message);
        let url = proxy.url();
        let (protocol, default_port) = match url.scheme() {
            "http" => (Protocol::Connect, 80),
            "socks5" => (Protocol::Socks5, 1080),
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
        if protocol == Protocol::Connect && user.contains(&b':') {
            return Err(wrong("an HTTP proxy takes no user with a colon"));
        }
        Ok(Self {
            host,
            port: url.port().unwrap_or(default_port),
            protocol,
            credentials: given.then_some((user, password)),
        })
    }

    /// Asks the proxy, over a connection to it, to connect to this address.
    pub(crate) async fn ask<S>(&self, stream: &mut S, address: SocketAddr) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.protocol {
            Protocol::Connect => self.ask_connect(stream, address).await,
            Protocol::Socks5 => self.ask_socks5(stream, address).await,
        }
    }

    /// HTTP CONNECT (RFC 9110, 9.3.6).
    async fn ask_connect<S>(&self, stream: &mut S, address: SocketAddr) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut question = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n");
        if let Some((user, password)) = &self.credentials {
            let pair = [user.as_slice(), b":", password.as_slice()].concat();
            question.push_str(&format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(pair)));
        }
        question.push_str("\r\n");
        stream.write_all(question.as_bytes()).await?;
        let mut answer = Vec::with_capacity(256);
        // Byte by byte at the end of the head would be many reads, more at once may read into the
        // tunnel: but nobody speaks there before we do, so more than a head is an error.
        while !answer.ends_with(b"\r\n\r\n") {
            let body_follows = find(&answer, b"\r\n\r\n");
            if body_follows || answer.len() >= MAX_ANSWER {
                break;
            }
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(refused("the proxy closed the connection without an answer"));
            }
        }
        let status = status_of(&answer)
            .ok_or_else(|| refused("the proxy's answer to CONNECT is not HTTP"))?;
        match status {
            200..=299 if answer.ends_with(b"\r\n\r\n") && answer.len() <= MAX_ANSWER => Ok(()),
            200..=299 => Err(refused("the proxy said more than it should before the tunnel")),
            407 => Err(refused(
                "the proxy asks for a user and password, or refuses those it was given (407)",
            )),
            status => Err(refused(format!("the proxy refused to connect: status {status}"))),
        }
    }

    /// SOCKS5 (RFC 1928), with user and password (RFC 1929) where they are given.
    async fn ask_socks5<S>(&self, stream: &mut S, address: SocketAddr) -> Result<(), ProxyError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        const NO_AUTHENTICATION: u8 = 0;
        const USER_AND_PASSWORD: u8 = 2;
        let method = if self.credentials.is_some() { USER_AND_PASSWORD } else { NO_AUTHENTICATION };
        stream.write_all(&[5, 1, method]).await?;
        let chosen: [u8; 2] = read(stream).await?;
        if chosen[0] != 5 {
            return Err(refused("the proxy doesn't speak SOCKS5"));
        }
        if chosen[1] != method {
            return Err(refused(match &self.credentials {
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
            stream.write_all(&login).await?;
            let [_version, status] = read(stream).await?;
            if status != 0 {
                return Err(refused("the proxy refuses the user and password"));
            }
        }
        let mut question = vec![5, 1, 0];
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
        question.extend_from_slice(&address.port().to_be_bytes());
        stream.write_all(&question).await?;
        let [version, reply, _reserved, kind] = read(stream).await?;
        if version != 5 {
            return Err(refused("the proxy doesn't speak SOCKS5"));
        }
        if reply != 0 {
            return Err(refused(format!("the proxy refused to connect: {}", socks_reply(reply))));
        }
        // The address that it connected from, which says nothing to us.
        let bound = match kind {
            1 => 4,
            4 => 16,
            3 => usize::from(read::<_, 1>(stream).await?[0]),
            _ => return Err(refused("the proxy's answer is not SOCKS5")),
        };
        let mut rest = vec![0; bound + 2];
        stream.read_exact(&mut rest).await?;
        Ok(())
    }
}

async fn read<S: AsyncRead + Unpin, const N: usize>(stream: &mut S) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn find(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The status of `HTTP/1.x NNN …`.
fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
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
