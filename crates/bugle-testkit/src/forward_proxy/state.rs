//! The settings of a proxy, and the record of its connections.

use std::net::SocketAddr;

use parking_lot::Mutex;
use tokio::net::TcpStream;

/// The settings of a proxy, and the record of its connections.
#[derive(Debug)]
pub(super) struct ProxyState {
    pub(super) kind: ProxyKind,
    pub(super) credentials: Option<Credentials>,
    /// The address of every connection, in place of the one that was asked for.
    pub(super) instead: Option<SocketAddr>,
    pub(super) denies: bool,
    pub(super) record: Mutex<Record>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ProxyKind {
    Connect,
    Socks5,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) targets: Vec<String>,
    pub(super) unauthorized: u64,
}

/// A refusal of a sender's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Unauthorized,
    Denied,
    Unreachable,
}

impl ProxyState {
    pub(super) fn new(kind: ProxyKind) -> Self {
        let record = Mutex::default();
        Self { kind, credentials: None, instead: None, denies: false, record }
    }

    pub(super) fn admits(&self, shown: Option<&Credentials>) -> bool {
        let welcome = self.credentials.is_none() || shown == self.credentials.as_ref();
        if !welcome {
            self.record.lock().unauthorized += 1;
        }
        welcome
    }

    pub(super) async fn dial(&self, target: &str) -> Result<TcpStream, Refusal> {
        self.record.lock().targets.push(target.to_owned());
        if self.denies {
            return Err(Refusal::Denied);
        }
        let dialled = match self.instead {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect(target).await,
        };
        dialled.map_err(|_| Refusal::Unreachable)
    }
}
