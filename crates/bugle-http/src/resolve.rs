//! From a name to addresses.

use std::fmt;
use std::io;
use std::net::IpAddr;

use bugle_core::BoxFuture;

/// Looks up the addresses of a host. The default is [`SystemResolver`]; give
/// [`crate::HttpTransportBuilder::resolver`] another one to use a DNS client of your own, or to
/// script lookups in a test.
///
/// It is asked for names only, never for addresses written as such. What it answers is checked by
/// the destination guard, so it need not filter.
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// The addresses of this host, the preferred first. The attempt's deadline drops the future.
    ///
    /// # Errors
    /// The lookup's failure; its text becomes part of the attempt's message.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver, `getaddrinfo`, on tokio's blocking threads. It caches nothing
/// itself.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}
