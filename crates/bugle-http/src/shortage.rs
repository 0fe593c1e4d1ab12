//! Shortages of this machine, which are no receiver's fault.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use bugle_core::{Advice, AttemptCode, Failure};
use rustix::io::Errno;

use crate::causes::joined;

/// The number of descriptors that must be free for the system resolver's answer to be trusted. A
/// lookup has one or two open at a time, and others go on beside it.
const LOOKUP: usize = 8;

/// An attempt failed because this machine was short of something. The receiver heard nothing of it,
/// so the attempt does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shortage {
    of: Of,
    /// The cause as the system words it; may be empty.
    cause: String,
}

/// A resource of this machine that may run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// The descriptors of this process.
    Descriptors,
    /// The descriptors of all processes together.
    MachineDescriptors,
    /// Memory, or buffers for sockets.
    Memory,
    /// Local ports to connect from.
    Ports,
    /// The network: no route leads anywhere.
    Network,
    /// A resolver that answers.
    Resolver,
    /// Slots under the transport's cap on open connections.
    Places,
    /// A proxy that accepts us.
    Proxy,
}

impl Shortage {
    pub(crate) fn new(of: Of, cause: impl Into<String>) -> Self {
        Self { of, cause: cause.into() }
    }

    /// The shortage that this error reports, in whatever operation.
    pub(crate) fn of_system(error: &io::Error) -> Option<Self> {
        let of = match Errno::from_io_error(error)? {
            Errno::MFILE => Of::Descriptors,
            Errno::NFILE => Of::MachineDescriptors,
            Errno::NOMEM | Errno::NOBUFS => Of::Memory,
            _ => return None,
        };
        Some(Self::new(of, joined(error)))
    }

    /// The shortage for which this address could not be connected to.
    ///
    /// Two errors have two meanings. `EADDRNOTAVAIL` means that local ports ran out, or that this
    /// machine has no address in the receiver's family. `ENETUNREACH` means that no route leads to
    /// the receiver, or that the machine has no network. A datagram socket, which finds its route
    /// and its own address when it is connected, tells them apart without sending a packet.
    pub(crate) fn of_connecting(address: SocketAddr, error: &io::Error) -> Option<Self> {
        if let Some(shortage) = Self::of_system(error) {
            return Some(shortage);
        }
        let of = match Errno::from_io_error(error)? {
            Errno::ADDRNOTAVAIL | Errno::AGAIN if has_route(address) => Of::Ports,
            Errno::NETDOWN => Of::Network,
            Errno::NETUNREACH if !has_network() => Of::Network,
            _ => return None,
        };
        Some(Self::new(of, joined(error)))
    }

    /// The shortage for which a lookup got no answer. `None` for a name that is known not to exist,
    /// or not to have an address.
    pub(crate) fn of_lookup(error: &io::Error) -> Option<Self> {
        use io::ErrorKind as Kind;
        if let Some(shortage) = Self::of_system(error) {
            return Some(shortage);
        }
        // Without descriptors to read its files and to ask servers with, the system's resolver says
        // that the name does not exist.
        let some: io::Result<Vec<UdpSocket>> =
            (0..LOOKUP).map(|_| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))).collect();
        if let Err(error) = some
            && let Some(shortage) = Self::of_system(&error)
        {
            return Some(shortage);
        }
        let silent = matches!(
            error.kind(),
            Kind::WouldBlock
                | Kind::TimedOut
                | Kind::ConnectionRefused
                | Kind::ConnectionReset
                | Kind::NetworkDown
                | Kind::NetworkUnreachable
                | Kind::HostUnreachable
        );
        silent.then(|| Self::new(Of::Resolver, joined(error)))
    }

    /// True when closing a connection of ours may help.
    pub(crate) fn is_eased_by_closing(&self) -> bool {
        matches!(self.of, Of::Descriptors | Of::MachineDescriptors | Of::Memory | Of::Ports)
    }

    /// True when it affects all addresses alike, so that it tells nothing about the one tried.
    pub(crate) fn is_of_the_machine(&self) -> bool {
        !matches!(self.of, Of::Ports | Of::Network)
    }
}

impl From<Shortage> for Failure {
    fn from(shortage: Shortage) -> Self {
        Self::new(AttemptCode::Shortage, shortage.to_string()).advising(Advice::Uncounted)
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.of {
            Of::Descriptors => {
                "this process has no file descriptor left: raise its limit (ulimit -n), or lower \
                 max_connections"
            }
            Of::MachineDescriptors => "this machine has no file descriptor left",
            Of::Memory => "this machine has no memory left for a socket",
            Of::Ports => "this machine has no local port left to connect from",
            Of::Network => "this machine has no network: no route leads to the receiver",
            Of::Resolver => "no resolver answers",
            Of::Places => "no place came free under the cap on open connections",
            Of::Proxy => "the proxy lets nothing through",
        })?;
        if self.cause.is_empty() { Ok(()) } else { write!(f, ": {}", self.cause) }
    }
}

/// True when the system has a route to this address, and an address of its own to connect from.
fn has_route(address: SocketAddr) -> bool {
    probe(address).is_ok()
}

/// True when a route leads out of this machine, in either family. The addresses are those of public
/// resolvers; nothing is sent to them.
fn has_network() -> bool {
    let public = [
        SocketAddr::from((Ipv4Addr::new(9, 9, 9, 9), 53)),
        SocketAddr::from((Ipv6Addr::new(0x2620, 0xfe, 0, 0, 0, 0, 0, 0xfe), 53)),
    ];
    public.into_iter().any(has_route)
}

/// Connects a datagram socket, which sends nothing.
fn probe(address: SocketAddr) -> io::Result<()> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any)?.connect(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(error: Errno) -> io::Error {
        io::Error::from_raw_os_error(error.raw_os_error())
    }

    #[test]
    fn what_is_ours_is_told_from_what_is_the_receivers() {
        let here = SocketAddr::from(([127, 0, 0, 1], 9));
        for (error, expected) in [
            (Errno::MFILE, Some(Of::Descriptors)),
            (Errno::NFILE, Some(Of::MachineDescriptors)),
            (Errno::NOBUFS, Some(Of::Memory)),
            (Errno::NOMEM, Some(Of::Memory)),
            // There is a route to this address, so ports have run out.
            (Errno::ADDRNOTAVAIL, Some(Of::Ports)),
            (Errno::NETDOWN, Some(Of::Network)),
            (Errno::CONNREFUSED, None),
            (Errno::CONNRESET, None),
            (Errno::HOSTUNREACH, None),
            (Errno::TIMEDOUT, None),
            (Errno::ACCESS, None),
        ] {
            let found = Shortage::of_connecting(here, &os(error)).map(|shortage| shortage.of);
            assert_eq!(found, expected, "{error:?}");
        }
        // Nobody has an address there, so the receiver's family is missing.
        let nowhere = SocketAddr::from((Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 9));
        if !has_route(nowhere) {
            assert_eq!(Shortage::of_connecting(nowhere, &os(Errno::ADDRNOTAVAIL)), None);
        }
    }

    #[test]
    fn a_name_that_does_not_exist_is_told_from_a_resolver_that_does_not_answer() {
        use io::ErrorKind as Kind;
        for (kind, expected) in [
            (Kind::NotFound, None),
            (Kind::InvalidInput, None),
            (Kind::Other, None),
            (Kind::TimedOut, Some(Of::Resolver)),
            (Kind::WouldBlock, Some(Of::Resolver)),
            (Kind::ConnectionRefused, Some(Of::Resolver)),
            (Kind::NetworkUnreachable, Some(Of::Resolver)),
        ] {
            let found = Shortage::of_lookup(&kind.into()).map(|shortage| shortage.of);
            assert_eq!(found, expected, "{kind:?}");
        }
        let found = Shortage::of_lookup(&os(Errno::MFILE)).map(|shortage| shortage.of);
        assert_eq!(found, Some(Of::Descriptors));
    }

    #[test]
    fn a_shortage_is_no_attempt() {
        let failure = Failure::from(Shortage::new(Of::Ports, "why"));
        assert_eq!((failure.code, failure.advice), (AttemptCode::Shortage, Advice::Uncounted));
        assert!(failure.message.ends_with("to connect from: why"), "{}", failure.message);
    }
}
