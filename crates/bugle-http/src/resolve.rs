//! Resolves names to addresses.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bugle_core::BoxFuture;
use dns_lookup::{AddrInfoHints, LookupErrorKind, SockType};
use futures_util::FutureExt;
use futures_util::future::Shared;
use parking_lot::Mutex;
use rustix::io::Errno;

/// Looks up the addresses of a host. The default is [`SystemResolver`]; give
/// [`crate::HttpTransportBuilder::resolver`] another one to use a DNS client of your own, or to
/// script lookups in a test.
///
/// It is called for names only, never for addresses written as such. The destination guard checks
/// the addresses that it returns, so it need not filter.
pub trait Resolve: fmt::Debug + Send + Sync + 'static {
    /// Finds the addresses of this host, the preferred first. The attempt's deadline drops the
    /// future.
    ///
    /// # Errors
    /// The lookup's failure. Its text becomes part of the attempt's message, and its kind decides
    /// whether the attempt counts. A name that does not exist, or has no address, is
    /// [`io::ErrorKind::NotFound`], which counts, as does any other kind except those of a resolver
    /// that doesn't answer: `TimedOut`, `WouldBlock`, `ConnectionRefused`, `ConnectionReset`,
    /// `NetworkDown`, `NetworkUnreachable`, `HostUnreachable`.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The operating system's resolver, `getaddrinfo`, on tokio's blocking threads.
///
/// Attempts that look up the same name at the same time share one lookup, so a name that is slow to
/// resolve holds one thread, however many emitters deliver there. Results are not cached: only the
/// system knows for how long they are valid.
#[derive(Default)]
pub struct SystemResolver {
    lookups: Lookups,
}

impl SystemResolver {
    /// Makes a resolver that shares its lookups with no other.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let name = host.to_owned();
        Box::pin(self.lookups.share(host, async move {
            tokio::task::spawn_blocking(move || look_up(&name)).await.map_err(io::Error::other)?
        }))
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemResolver")
    }
}

/// Asks the system, as the standard library does, but keeps the error's code: the standard
/// library's error doesn't tell a name that does not exist from a server that doesn't answer.
fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    let hints = AddrInfoHints { socktype: SockType::Stream.into(), ..AddrInfoHints::default() };
    match dns_lookup::getaddrinfo(Some(name), None, Some(hints)) {
        Ok(found) => found.map(|info| info.map(|info| info.sockaddr.ip())).collect(),
        Err(error) => {
            let kind = match error.kind() {
                LookupErrorKind::Again => io::ErrorKind::TimedOut,
                LookupErrorKind::Memory => return Err(Errno::NOMEM.into()),
                LookupErrorKind::NoName | LookupErrorKind::NoData => io::ErrorKind::NotFound,
                // The system's own error is kept.
                _ => return Err(error.into()),
            };
            Err(io::Error::new(kind, io::Error::from(error)))
        }
    }
}

/// The result of a lookup, shared: an [`io::Error`] can't be cloned.
type LookupResult = Result<Vec<IpAddr>, Arc<io::Error>>;
type Lookup = Shared<BoxFuture<'static, LookupResult>>;

/// The lookups under way, by name.
#[derive(Default)]
struct Lookups {
    by_name: Mutex<HashMap<String, Lookup>>,
}

impl Lookups {
    /// Joins the lookup of this name that is under way, or begins one.
    async fn share(
        &self,
        host: &str,
        begin: impl Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    ) -> io::Result<Vec<IpAddr>> {
        let lookup = {
            let mut by_name = self.by_name.lock();
            match by_name.get(host).filter(|lookup| lookup.peek().is_none()) {
                Some(lookup) => lookup.clone(),
                None => {
                    let lookup = begin.map(|found| found.map_err(Arc::new)).boxed().shared();
                    by_name.insert(host.to_owned(), lookup.clone());
                    lookup
                }
            }
        };
        let waiting = Waiter { lookups: self, host, lookup };
        waiting.lookup.clone().await.map_err(|error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }
}

/// A caller that waits for a lookup. The last one removes it from the list, also when it gives up.
struct Waiter<'a> {
    lookups: &'a Lookups,
    host: &'a str,
    lookup: Lookup,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut by_name = self.lookups.by_name.lock();
        let is_last = self.lookup.strong_count().is_none_or(|count| count <= 2);
        let is_listed = by_name.get(self.host).is_some_and(|lookup| lookup.ptr_eq(&self.lookup));
        if is_last && is_listed {
            by_name.remove(self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_name_is_looked_up_once_at_a_time() {
        let lookups = Arc::new(Lookups::default());
        let begun = Arc::new(AtomicUsize::new(0));
        let answer = Arc::new(Semaphore::new(0));
        let ask = |host: &'static str| {
            let (lookups, begun, answer) = (lookups.clone(), begun.clone(), answer.clone());
            async move {
                let lookup = async move {
                    begun.fetch_add(1, Ordering::Relaxed);
                    answer.acquire().await.unwrap().forget();
                    Ok(vec![IpAddr::from([192, 0, 2, 1])])
                };
                lookups.share(host, lookup).await
            }
        };
        let waiting: Vec<_> = (0..10).map(|_| tokio::spawn(ask("a.test"))).collect();
        let other = tokio::spawn(ask("b.test"));
        tokio::task::yield_now().await;
        assert_eq!(begun.load(Ordering::Relaxed), 2);
        // A caller that gives up doesn't end the others' lookup.
        waiting[0].abort();
        answer.add_permits(2);
        for waiting in waiting.into_iter().skip(1) {
            assert_eq!(waiting.await.unwrap().unwrap().len(), 1);
        }
        assert!(other.await.unwrap().is_ok());
        // A finished lookup is not remembered.
        assert!(lookups.by_name.lock().is_empty());
        answer.add_permits(1);
        assert!(ask("a.test").await.is_ok());
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let resolver = SystemResolver::new();
        let found = resolver.resolve("localhost").await.unwrap();
        assert!(found.iter().all(IpAddr::is_loopback) && !found.is_empty());
        // An impossible name: no server is asked for it.
        let error = resolver.resolve(&"x".repeat(300)).await.unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    }
}
