//! A port that is taken, with or without a listener.

use std::io;
use std::net::{IpAddr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

/// A port that stays ours for as long as this lives, with or without a listener: a second socket is
/// bound to it and never listens, so no other process gets the port.
#[derive(Debug)]
pub(crate) struct Port {
    address: SocketAddr,
    _holder: Socket,
}

impl Port {
    /// Takes a free port of this address.
    pub(crate) fn take(address: IpAddr) -> io::Result<Self> {
        let holder = bind(SocketAddr::new(address, 0))?;
        let address = holder.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { address, _holder: holder })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens on the port. Before that, and after the listener is dropped, connections are
    /// refused.
    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        let socket = bind(self.address)?;
        socket.listen(1024)?;
        TcpListener::from_std(socket.into())
    }
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    #[cfg(unix)]
    {
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(true)?;
    }
    #[cfg(windows)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
