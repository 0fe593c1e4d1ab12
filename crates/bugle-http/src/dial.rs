//! From a URL to an open connection: resolve, guard, connect, and TLS on top.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bugle_core::{ConfigError, DestinationPolicy, EmitterConfig, HttpVersion};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use url::Host;

use crate::failure::{DialError, Progress, Step, describe_io, joined};
use crate::proxy::ProxyRoute;
use crate::resolve::Resolve;
use crate::shortage::Shortage;
use crate::slots::{Slot, Slots};
use crate::stream::{Socket, Stream};
use crate::tls::TlsSettings;

/// How long one address has for itself before the next one is tried beside it, as RFC 8305
/// recommends.
const HEAD_START: Duration = Duration::from_millis(250);

/// Where an emitter's connections go, worked out once.
pub(crate) struct Route {
    host: Host<String>,
    port: u16,
    tls: Option<Tls>,
    proxy: Option<ProxyRoute>,
    /// Whether HTTP/2 is spoken without having been agreed on.
    prior_knowledge: bool,
    /// Whether nothing but HTTP/2 will do.
    only_http2: bool,
}

struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// An open connection to the receiver.
pub(crate) struct Dialed {
    pub(crate) stream: Stream,
    pub(crate) address: SocketAddr,
    pub(crate) http2: bool,
}

impl Route {
    pub(crate) fn new(config: &EmitterConfig, settings: &TlsSettings) -> Result<Self, ConfigError> {
        let url = &config.url;
        let host = url.host().ok_or_else(|| ConfigError::new("url", "a receiver has a host"))?;
        let tls = match url.scheme() {
            "https" => Some(Tls { config: settings.config(config)?, name: server_name(&host)? }),
            _ => None,
        };
        let only_http2 = config.http_version == HttpVersion::Http2;
        Ok(Self {
            host: host.to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            prior_knowledge: only_http2 && tls.is_none(),
            only_http2,
            tls,
            proxy: config.proxy.as_ref().map(ProxyRoute::new).transpose()?,
        })
    }

    /// Whether a connection may turn out to speak HTTP/2.
    pub(crate) fn may_multiplex(&self, config: &EmitterConfig) -> bool {
        match config.http_version {
            HttpVersion::Http2 => true,
            HttpVersion::Auto => self.tls.is_some() && config.order.window() > 1,
            _ => false,
        }
    }

    /// Makes a connection in this place. How far it has come stands in `progress`, also when it is
    /// dropped. When descriptors, ports or memory are short, idle connections make way, whosever
    /// they are, as long as there are any.
    pub(crate) async fn dial(
        &self,
        resolver: &dyn Resolve,
        slots: &Slots,
        slot: Slot,
        policy: &DestinationPolicy,
        progress: &mut Progress,
    ) -> Result<Dialed, DialError> {
        loop {
            match self.open(resolver, policy, progress).await {
                Ok((socket, address, http2)) => {
                    return Ok(Dialed { stream: Stream::new(socket, slot), address, http2 });
                }
                Err(DialError::Short(shortage))
                    if shortage.is_eased_by_closing() && slots.give_up_one() =>
                {
                    // A shared connection is closed by its own task.
                    yield_now().await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn open(
        &self,
        resolver: &dyn Resolve,
        policy: &DestinationPolicy,
        progress: &mut Progress,
    ) -> Result<(Socket, SocketAddr, bool), DialError> {
        progress.enter(Step::Resolve);
        let allowed = self.allowed_addresses(resolver, policy).await?;

        let (socket, address) = match &self.proxy {
            None => {
                progress.enter(Step::Connect);
                connect(&allowed).await?
            }
            Some(proxy) => connect_through(proxy, resolver, &allowed, progress).await?,
        };
        progress.connected_to = Some(address);

        let Some(tls) = &self.tls else {
            return Ok((Socket::Plain(socket), address, self.prior_knowledge));
        };
        progress.enter(Step::Tls);
        let socket = TlsConnector::from(Arc::clone(&tls.config))
            .connect(tls.name.clone(), socket)
            .await
            .map_err(|error| DialError::Failed(describe_tls(&error)))?;
        let http2 = socket.get_ref().1.alpn_protocol() == Some(b"h2");
        if self.only_http2 && !http2 {
            let why = "the receiver doesn't speak HTTP/2: set http_version to Auto or Http1";
            return Err(DialError::Failed(why.to_owned()));
        }
        Ok((Socket::Tls(Box::new(socket)), address, http2))
    }

    /// The receiver's addresses that may be connected to; at least one.
    async fn allowed_addresses(
        &self,
        resolver: &dyn Resolve,
        policy: &DestinationPolicy,
    ) -> Result<Vec<SocketAddr>, DialError> {
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in addresses(&self.host, resolver).await? {
            match policy.check(address) {
                Ok(()) => allowed.push(SocketAddr::new(address, self.port)),
                Err(blocked) => refused = refused.or(Some(blocked)),
            }
        }
        match refused {
            Some(blocked) if allowed.is_empty() => {
                Err(DialError::Blocked { host: self.host.to_string(), blocked })
            }
            _ => Ok(allowed),
        }
    }
}

fn server_name(host: &Host<&str>) -> Result<ServerName<'static>, ConfigError> {
    match host {
        Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::V4(*address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::V6(*address).into())),
        // A name's final dot is for the resolver; certificates don't have it.
        Host::Domain(name) => {
            ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| {
                ConfigError::new("url", format!("{name:?} is not a name that TLS can ask for"))
            })
        }
    }
}

/// The addresses of a host, each once; at least one.
async fn addresses(host: &Host<String>, resolver: &dyn Resolve) -> Result<Vec<IpAddr>, DialError> {
    let name = match host {
        Host::Ipv4(address) => return Ok(vec![(*address).into()]),
        Host::Ipv6(address) => return Ok(vec![(*address).into()]),
        Host::Domain(name) => name,
    };
    let found =
        resolver.resolve(name).await.map_err(|error| match Shortage::of_lookup(&error) {
            Some(shortage) => DialError::Short(shortage),
            None => {
                DialError::Failed(format!("the name {name} can't be resolved: {}", joined(&error)))
            }
        })?;
    if found.is_empty() {
        return Err(DialError::Failed(format!("the name {name} has no address")));
    }
    let mut unique: Vec<IpAddr> = Vec::with_capacity(found.len());
    for address in found {
        if !unique.contains(&address) {
            unique.push(address);
        }
    }
    Ok(unique)
}

/// Connects to the receiver's address through a proxy, whose own address isn't guarded.
async fn connect_through(
    proxy: &ProxyRoute,
    resolver: &dyn Resolve,
    allowed: &[SocketAddr],
    progress: &mut Progress,
) -> Result<(TcpStream, SocketAddr), DialError> {
    progress.enter(Step::ReachProxy);
    let mut reasons = Vec::new();
    let at_proxy: Vec<_> = addresses(&proxy.host, resolver)
        .await?
        .into_iter()
        .map(|address| SocketAddr::new(address, proxy.port))
        .collect();
    for address in allowed {
        progress.enter(Step::ReachProxy);
        let (mut socket, _) = connect(&at_proxy)
            .await
            .map_err(|error| DialError::Failed(format!("the proxy can't be reached: {error}")))?;
        progress.enter(Step::Proxy);
        match proxy.ask(&mut socket, *address).await {
            Ok(()) => return Ok((socket, *address)),
            Err(error) => reasons.push(format!("{address}: {error}")),
        }
    }
    Err(DialError::Failed(reasons.join("; ")))
}

/// Why no address could be connected to.
#[derive(Debug)]
struct ConnectErrors(Vec<(SocketAddr, io::Error)>);

impl ConnectErrors {
    /// The shortage to which it comes down. One of the machine's leaves open whether the receiver
    /// can be reached. One of a single address does not, when another address says that it can't.
    fn shortage(&self) -> Option<Shortage> {
        let found: Vec<_> = self
            .0
            .iter()
            .map(|(address, error)| Shortage::of_connecting(*address, error))
            .collect();
        let all = found.iter().all(Option::is_some);
        found.into_iter().flatten().find(|shortage| all || shortage.is_of_the_machine())
    }
}

impl From<ConnectErrors> for DialError {
    fn from(errors: ConnectErrors) -> Self {
        match errors.shortage() {
            Some(shortage) => Self::Short(shortage),
            None => Self::Failed(errors.to_string()),
        }
    }
}

impl std::fmt::Display for ConnectErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (address, error)) in self.0.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}connecting to {address}: {}", describe_io(error))?;
        }
        Ok(())
    }
}

/// Connects to whichever address answers first. They are tried in turn, the two families by
/// turns, each with a short head start on the next; all of them are tried before it fails.
async fn connect(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), ConnectErrors> {
    let mut untried = by_turns(addresses).into_iter();
    let mut trying = FuturesUnordered::new();
    let mut errors = Vec::new();
    loop {
        if let Some(address) = untried.next() {
            trying.push(async move { (address, open(address).await) });
        }
        let tried = if untried.len() == 0 {
            trying.next().await
        } else {
            match timeout(HEAD_START, trying.next()).await {
                Ok(tried) => tried,
                Err(_) => continue,
            }
        };
        match tried {
            Some((address, Ok(socket))) => return Ok((socket, address)),
            Some((address, Err(error))) => errors.push((address, error)),
            None => return Err(ConnectErrors(errors)),
        }
    }
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// The families by turns, beginning with the first address's, in order within each.
fn by_turns(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_ipv4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (first, second): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().copied().partition(|address| address.is_ipv4() == first_is_ipv4);
    let mut second = second.into_iter();
    let mut turns = Vec::with_capacity(addresses.len());
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns
}

/// A failed handshake, in words.
fn describe_tls(error: &io::Error) -> String {
    match error.get_ref() {
        Some(inner) => format!("the TLS handshake failed: {}", joined(inner)),
        None => format!("the TLS handshake failed: {}", describe_io(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let v4 = |last| SocketAddr::from(([10, 0, 0, last], 80));
        let v6 = |last| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, last], 80));
        let table: [(&[SocketAddr], &[SocketAddr]); 4] = [
            (&[], &[]),
            (&[v4(1), v4(2)], &[v4(1), v4(2)]),
            (&[v6(1), v6(2), v6(3), v4(1)], &[v6(1), v4(1), v6(2), v6(3)]),
            (&[v4(1), v6(1), v6(2), v6(3)], &[v4(1), v6(1), v6(2), v6(3)]),
        ];
        for (given, expected) in table {
            assert_eq!(by_turns(given), expected);
        }
    }
}
