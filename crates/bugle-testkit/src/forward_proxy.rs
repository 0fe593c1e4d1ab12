//! Proxies for senders that have to use one.

mod connect;
mod socks5;
mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bugle_core::{ConfigError, Proxy};
use tokio::net::TcpStream;

use crate::server::Server;
use state::{Credentials, ProxyKind, ProxyState};

/// A proxy on loopback that does as a sender asks, and records it.
///
/// ```
/// use bugle_testkit::{ForwardProxy, Receiver};
///
/// let receiver = Receiver::start()?;
/// let proxy = ForwardProxy::socks5().credentials("user", "secret").start()?;
/// let config = receiver.emitter_config("/hooks")?.proxy(proxy.proxy()?);
/// // … deliver something …
/// assert!(proxy.targets().is_empty());
/// # let _ = config;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ForwardProxy {
    server: Server,
    shared: Arc<ProxyState>,
}

/// Builds a [`ForwardProxy`].
#[derive(Debug)]
#[must_use]
pub struct ForwardProxyBuilder {
    shared: ProxyState,
}

impl ForwardProxyBuilder {
    /// Serves only senders with these credentials. Default: everybody.
    pub fn credentials(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        let (user, password) = (user.into(), password.into());
        self.shared.credentials = Some(Credentials { user, password });
        self
    }

    /// Connects to this address whatever it is asked for, so that a test can ask for public
    /// addresses. Default: the address that was asked for.
    pub fn leading_to(mut self, address: SocketAddr) -> Self {
        self.shared.instead = Some(address);
        self
    }

    /// Refuses every connection: 403, or SOCKS' "not allowed". Default: no.
    pub fn denying(mut self) -> Self {
        self.shared.denies = true;
        self
    }

    /// Starts listening.
    ///
    /// # Errors
    /// An [`io::Error`] when the machine has no port or no thread to give.
    pub fn start(self) -> io::Result<ForwardProxy> {
        let shared = Arc::new(self.shared);
        let server = Server::on(Ipv4Addr::LOCALHOST.into())?;
        let serving = Arc::clone(&shared);
        server.listen(move |tcp| {
            let shared = Arc::clone(&serving);
            // The sender notices by itself when its connection fails.
            async move {
                let _ = serve(tcp, &shared).await;
            }
        })?;
        Ok(ForwardProxy { server, shared })
    }
}

impl ForwardProxy {
    /// A proxy that takes HTTP's CONNECT, and requests for a whole URL.
    pub fn http() -> ForwardProxyBuilder {
        Self::of(ProxyKind::Connect)
    }

    /// A SOCKS5 proxy.
    pub fn socks5() -> ForwardProxyBuilder {
        Self::of(ProxyKind::Socks5)
    }

    fn of(kind: ProxyKind) -> ForwardProxyBuilder {
        ForwardProxyBuilder { shared: ProxyState::new(kind) }
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its URL, with its credentials.
    pub fn url(&self) -> String {
        let scheme = match self.shared.kind {
            ProxyKind::Connect => "http",
            ProxyKind::Socks5 => "socks5",
        };
        let credentials = match &self.shared.credentials {
            Some(Credentials { user, password }) => format!("{user}:{password}@"),
            None => String::new(),
        };
        format!("{scheme}://{credentials}{}", self.address())
    }

    /// The setting of an emitter that goes through it.
    ///
    /// # Errors
    /// [`ConfigError`] when the credentials can't be part of a URL as they are.
    pub fn proxy(&self) -> Result<Proxy, ConfigError> {
        Proxy::new(&self.url())
    }

    /// The targets that served senders asked for, as `host:port`, in order.
    pub fn targets(&self) -> Vec<String> {
        self.shared.record.lock().targets.clone()
    }

    /// The number of senders without credentials, or with wrong ones.
    pub fn unauthorized(&self) -> u64 {
        self.shared.record.lock().unauthorized
    }
}

async fn serve(mut sender: TcpStream, shared: &ProxyState) -> io::Result<()> {
    let asked = match shared.kind {
        ProxyKind::Connect => connect::ask(&mut sender, shared).await?,
        ProxyKind::Socks5 => socks5::ask(&mut sender, shared).await?,
    };
    if let Some(mut target) = asked {
        let _ = target.set_nodelay(true);
        tokio::io::copy_bidirectional(&mut sender, &mut target).await?;
    }
    Ok(())
}
