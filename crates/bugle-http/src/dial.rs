//! Turns a URL into an open connection: resolve, guard, connect, and TLS on top.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bugle_core::{ConfigError, DestinationPolicy, EmitterConfig, HttpVersion};
use parking_lot::Mutex;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio_rustls::TlsConnector;
use url::Host;

use crate::causes::joined;
use crate::connect::connect;
use crate::failure::{DialError, Progress, Step, describe_io};
use crate::proxy::{ProxyError, ProxyRoute, Target};
use crate::resolve::Resolve;
use crate::shortage::{Of, Shortage};
use crate::slots::{Slot, Slots};
use crate::stream::{Socket, Stream};
use crate::tls::TlsSettings;

/// The target of an emitter's connections, computed once.
pub(crate) struct Route {
    host: Host<String>,
    port: u16,
    tls: Option<Tls>,
    proxy: Option<ProxyRoute>,
    /// True when HTTP/2 is spoken without having been negotiated.
    prior_knowledge: bool,
    /// True when only HTTP/2 is acceptable.
    only_http2: bool,
    /// The address that failed last: the next dial tries another one first.
    shunned: Mutex<Option<SocketAddr>>,
}

struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// An open connection to the receiver, or to a proxy that takes requests to it.
pub(crate) struct Dialed {
    pub(crate) stream: Stream,
    pub(crate) address: SocketAddr,
    pub(crate) http2: bool,
    /// The additions to requests that a proxy forwards; none on any other connection.
    pub(crate) forwarded: Option<Forwarded>,
}

/// The additions to a request that a proxy forwards.
pub(crate) struct Forwarded {
    /// Host and port of the request's target, which is a whole URL.
    pub(crate) authority: String,
    /// The header `Proxy-Authorization`.
    pub(crate) authorization: Option<String>,
    /// The number of the target's addresses.
    pub(crate) addresses: usize,
}

/// A socket, and the address it is connected to.
struct Opened {
    socket: Socket,
    address: SocketAddr,
    http2: bool,
    forwarded: Option<Forwarded>,
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
            shunned: Mutex::default(),
        })
    }

    /// True when a connection may turn out to speak HTTP/2.
    pub(crate) fn may_multiplex(&self, config: &EmitterConfig) -> bool {
        match config.http_version {
            HttpVersion::Http2 => true,
            HttpVersion::Auto => self.tls.is_some() && config.order.window() > 1,
            _ => false,
        }
    }

    /// Makes a connection in this slot. `progress` has the steps that it has taken, also when it is
    /// dropped. When descriptors, ports or memory are short, idle connections of any emitter are
    /// closed, until none is left.
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
                Ok(Opened { socket, address, http2, forwarded }) => {
                    let stream = Stream::new(socket, slot);
                    return Ok(Dialed { stream, address, http2, forwarded });
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

    /// True when the proxy forwards the requests themselves: there is a proxy, and neither TLS nor
    /// HTTP/2, which need a tunnel.
    pub(crate) fn is_forwarded(&self) -> bool {
        let forwards = self.proxy.as_ref().is_some_and(ProxyRoute::forwards);
        forwards && self.tls.is_none() && !self.prior_knowledge
    }

    /// Remembers that this address failed: the next dial tries another one first.
    pub(crate) fn shun(&self, address: SocketAddr) {
        *self.shunned.lock() = Some(address);
    }

    async fn open(
        &self,
        resolver: &dyn Resolve,
        policy: &DestinationPolicy,
        progress: &mut Progress,
    ) -> Result<Opened, DialError> {
        let (socket, address) = match &self.proxy {
            None => {
                progress.enter(Step::Resolve);
                let allowed = self.allowed_addresses(resolver, policy).await?;
                progress.enter(Step::Connect);
                connect(&allowed).await?
            }
            Some(proxy) => {
                let targets = self.targets(proxy, resolver, policy, progress).await?;
                progress.enter(Step::ReachProxy);
                let at_proxy = proxy_addresses(proxy, resolver).await?;
                if self.is_forwarded() {
                    let (socket, near) = connect_to_proxy(&at_proxy).await?;
                    let Some(target) = targets.first() else {
                        return Err(DialError::Failed("there is no address".to_owned()));
                    };
                    let address = target.address().unwrap_or(near);
                    progress.connected_to = Some(address);
                    let forwarded = Some(Forwarded {
                        authority: self.authority(*target),
                        authorization: proxy.authorization(),
                        addresses: targets.len(),
                    });
                    let socket = Socket::Plain(socket);
                    return Ok(Opened { socket, address, http2: false, forwarded });
                }
                self.tunnel(proxy, &at_proxy, &targets, progress).await?
            }
        };
        progress.connected_to = Some(address);

        let Some(tls) = &self.tls else {
            let (socket, http2) = (Socket::Plain(socket), self.prior_knowledge);
            return Ok(Opened { socket, address, http2, forwarded: None });
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
        Ok(Opened { socket: Socket::Tls(Box::new(socket)), address, http2, forwarded: None })
    }

    /// The targets that the proxy may be asked for; at least one.
    async fn targets(
        &self,
        proxy: &ProxyRoute,
        resolver: &dyn Resolve,
        policy: &DestinationPolicy,
        progress: &mut Progress,
    ) -> Result<Vec<Target<'_>>, DialError> {
        if let (Host::Domain(name), true) = (&self.host, proxy.resolves_names) {
            if is_localhost(name) {
                let local = Ipv4Addr::LOCALHOST.into();
                let blocked = |blocked| DialError::Blocked { host: name.clone(), blocked };
                policy.check(local).map_err(blocked)?;
            }
            return Ok(vec![Target::Name(name, self.port)]);
        }
        progress.enter(Step::Resolve);
        let allowed = self.allowed_addresses(resolver, policy).await?;
        Ok(allowed.into_iter().map(Target::Address).collect())
    }

    /// The authority of a target in a URL, without the scheme's default port.
    fn authority(&self, target: Target<'_>) -> String {
        match target {
            Target::Address(address) if self.port == 80 => match address.ip() {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            },
            Target::Name(name, 80) => name.to_owned(),
            target => target.to_string(),
        }
    }

    /// Makes the proxy open a tunnel to the first target that it can reach.
    async fn tunnel(
        &self,
        proxy: &ProxyRoute,
        at_proxy: &[SocketAddr],
        targets: &[Target<'_>],
        progress: &mut Progress,
    ) -> Result<(TcpStream, SocketAddr), DialError> {
        let mut reasons = Vec::new();
        for target in targets {
            progress.enter(Step::ReachProxy);
            let (mut socket, near) = connect_to_proxy(at_proxy).await?;
            progress.enter(Step::Proxy);
            // If the deadline passes meanwhile, the next dial tries another target first.
            if let Some(address) = target.address() {
                self.shun(address);
            }
            match proxy.ask(&mut socket, *target).await {
                Ok(()) => {
                    *self.shunned.lock() = None;
                    return Ok((socket, target.address().unwrap_or(near)));
                }
                Err(ProxyError::Unusable(why)) => {
                    *self.shunned.lock() = None;
                    return Err(Shortage::new(Of::Proxy, why).into());
                }
                Err(ProxyError::Refused(why)) => reasons.push(format!("{target}: {why}")),
            }
        }
        Err(DialError::Failed(reasons.join("; ")))
    }

    /// The receiver's addresses that the guard allows; at least one.
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
            _ => {
                let shunned = *self.shunned.lock();
                if let Some(at) = allowed.iter().position(|address| Some(*address) == shunned) {
                    allowed.rotate_left(at + 1);
                }
                Ok(allowed)
            }
        }
    }
}

/// True for a name that RFC 6761, 6.3, reserves for this machine, whoever resolves it.
fn is_localhost(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn server_name(host: &Host<&str>) -> Result<ServerName<'static>, ConfigError> {
    match host {
        Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::V4(*address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::V6(*address).into())),
        // Only the resolver takes a name's final dot; certificates don't have it.
        Host::Domain(name) => {
            ServerName::try_from(name.trim_end_matches('.').to_owned()).map_err(|_| {
                ConfigError::new("url", format!("{name:?} is not a name that TLS can ask for"))
            })
        }
    }
}

/// The addresses of a host, without repetitions; at least one.
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

/// The proxy's own addresses, which the guard doesn't check; at least one.
async fn proxy_addresses(
    proxy: &ProxyRoute,
    resolver: &dyn Resolve,
) -> Result<Vec<SocketAddr>, DialError> {
    match addresses(&proxy.host, resolver).await {
        Ok(found) => Ok(found.into_iter().map(|it| SocketAddr::new(it, proxy.port)).collect()),
        Err(DialError::Failed(why)) => Err(Shortage::new(Of::Proxy, why).into()),
        Err(other) => Err(other),
    }
}

async fn connect_to_proxy(at_proxy: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), DialError> {
    connect(at_proxy).await.map_err(|errors| {
        let why = || Shortage::new(Of::Proxy, format!("the proxy can't be reached: {errors}"));
        errors.shortage().unwrap_or_else(why).into()
    })
}

/// Describes a failed handshake in words.
fn describe_tls(error: &io::Error) -> String {
    match error.get_ref() {
        Some(inner) => format!("the TLS handshake failed: {}", joined(inner)),
        None => format!("the TLS handshake failed: {}", describe_io(error)),
    }
}
