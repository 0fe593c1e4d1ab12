//! Connects to the first of several addresses that answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::failure::{DialError, describe_io};
use crate::shortage::Shortage;

/// The time that one address has for itself before the next one is tried beside it, as RFC 8305
/// recommends.
const HEAD_START: Duration = Duration::from_millis(250);

/// The failures of all addresses that were tried.
#[derive(Debug)]
pub(crate) struct ConnectErrors(Vec<(SocketAddr, io::Error)>);

impl ConnectErrors {
    /// The shortage that explains the failures. With a shortage of the whole machine nobody knows
    /// whether the receiver can be reached. A shortage for a single address does not count when
    /// another address shows that the receiver can't be reached.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
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

/// Connects to the address that answers first. The addresses are tried one after the other,
/// alternating between the two families, each with a short head start on the next. It fails when
/// all have failed.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
) -> Result<(TcpStream, SocketAddr), ConnectErrors> {
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

/// The addresses, alternating between the families, the first address's first; in order within
/// each.
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
