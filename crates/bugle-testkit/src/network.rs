//! A network that can be made to fail.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;

use crate::server::Server;

/// A stretch of network between a sender and a receiver, whose conditions a test can change at any
/// time. It forwards TCP connections, and looks at no byte of them, so TLS passes through it too.
///
/// ```
/// use std::time::Duration;
/// use bugle_testkit::{Conditions, FaultyNetwork, Receiver, Way};
///
/// let receiver = Receiver::start()?;
/// let network = FaultyNetwork::to(receiver.address())?;
/// let url = format!("http://{}/hooks", network.address()); // deliver to this
/// network.set(Way::ToSender, Conditions::good().delay(Duration::from_millis(200)));
/// network.set(Way::ToReceiver, Conditions::good().stalled());
/// network.heal();
/// # let _ = url;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct FaultyNetwork {
    server: Server,
    shared: Arc<NetworkState>,
}

/// The direction in which bytes flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Requests.
    ToReceiver,
    /// Responses.
    ToSender,
}

/// The quality of the network in one direction. [`Conditions::good`] is the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Conditions {
    stalled: bool,
    delay: Duration,
    bytes_per_second: Option<u64>,
    corrupt_every: Option<u64>,
    cut_after: Option<u64>,
}

impl Conditions {
    /// Forwards all bytes, at once.
    pub fn good() -> Self {
        Self::default()
    }

    /// Forwards nothing until the conditions change. Connections stay open.
    pub fn stalled(mut self) -> Self {
        self.stalled = true;
        self
    }

    /// Holds each piece of data this long before it is forwarded. Default: not at all.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Forwards at most this many bytes a second on each connection, at least 1. Default: no limit.
    pub fn throttle(mut self, bytes_per_second: u64) -> Self {
        self.bytes_per_second = Some(bytes_per_second.max(1));
        self
    }

    /// Inverts every byte whose number on its connection is a multiple of this, at least 1. The
    /// first byte has number 1.
    pub fn corrupt_every(mut self, bytes: u64) -> Self {
        self.corrupt_every = Some(bytes.max(1));
        self
    }

    /// Resets a connection, both ways, when it has forwarded this many bytes this way.
    pub fn cut_after(mut self, bytes: u64) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    /// The number of bytes to read at once.
    fn piece(&self) -> usize {
        const MOST: usize = 16 * 1024;
        // Fifty pieces a second look like a slow flow, not like bursts.
        let paced = self.bytes_per_second.map(|rate| (rate / 50).max(1));
        paced.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(MOST).min(MOST)
    }

    /// The time that the network takes for this many bytes.
    fn busy(&self, bytes: usize) -> Duration {
        let seconds = self.bytes_per_second.map_or(0.0, |rate| bytes as f64 / rate as f64);
        Duration::from_secs_f64(seconds)
    }
}

#[derive(Debug)]
struct NetworkState {
    receiver: SocketAddr,
    to_receiver: Direction,
    to_sender: Direction,
    /// Counts up to reset all connections.
    cuts: watch::Sender<u64>,
    connections: Mutex<u64>,
}

/// One direction of the network.
#[derive(Debug)]
struct Direction {
    conditions: watch::Sender<Conditions>,
    forwarded: watch::Sender<u64>,
}

impl Direction {
    fn new() -> Self {
        Self { conditions: watch::Sender::default(), forwarded: watch::Sender::default() }
    }
}

impl FaultyNetwork {
    /// A good network that leads to this address, from [`FaultyNetwork::address`].
    ///
    /// # Errors
    /// An [`io::Error`] when the machine has no port or no thread to give.
    pub fn to(receiver: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(NetworkState {
            receiver,
            to_receiver: Direction::new(),
            to_sender: Direction::new(),
            cuts: watch::Sender::default(),
            connections: Mutex::default(),
        });
        let server = Server::on(Ipv4Addr::LOCALHOST.into())?;
        let serving = Arc::clone(&shared);
        server.listen(move |tcp| forward(tcp, Arc::clone(&serving)))?;
        Ok(Self { server, shared })
    }

    /// The address for senders to connect to.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Changes the conditions one way, also of the connections that are open.
    pub fn set(&self, way: Way, conditions: Conditions) {
        let _ = self.direction(way).conditions.send_replace(conditions);
    }

    /// Makes the conditions good again both ways.
    pub fn heal(&self) {
        self.set(Way::ToReceiver, Conditions::good());
        self.set(Way::ToSender, Conditions::good());
    }

    /// Resets every connection that is open, once.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// The number of connections that were made.
    pub fn connections(&self) -> u64 {
        *self.shared.connections.lock()
    }

    /// The number of bytes that were forwarded one way.
    pub fn forwarded(&self, way: Way) -> u64 {
        *self.direction(way).forwarded.borrow()
    }

    fn direction(&self, way: Way) -> &Direction {
        match way {
            Way::ToReceiver => &self.shared.to_receiver,
            Way::ToSender => &self.shared.to_sender,
        }
    }
}

/// Forwards one connection until it ends both ways, or is cut.
async fn forward(mut sender: TcpStream, shared: Arc<NetworkState>) {
    *shared.connections.lock() += 1;
    let mut cuts = shared.cuts.subscribe();
    let Ok(mut receiver) = TcpStream::connect(shared.receiver).await else {
        let _ = sender.set_zero_linger();
        return;
    };
    let _ = receiver.set_nodelay(true);
    let cut = {
        let (mut from_sender, mut to_sender) = sender.split();
        let (mut from_receiver, mut to_receiver) = receiver.split();
        let both = async {
            tokio::try_join!(
                pass(&shared.to_receiver, &mut from_sender, &mut to_receiver),
                pass(&shared.to_sender, &mut from_receiver, &mut to_sender),
            )
        };
        tokio::select! {
            ended = both => ended.is_err(),
            _ = cuts.changed() => true,
        }
    };
    if cut {
        let _ = sender.set_zero_linger();
        let _ = receiver.set_zero_linger();
    }
}

/// Forwards one way until the end. An error says that the connection was cut.
async fn pass(
    direction: &Direction,
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
) -> io::Result<()> {
    let mut conditions = direction.conditions.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0_u64;
    loop {
        let most = conditions.borrow_and_update().piece();
        let read = from.read(&mut buffer[..most]).await?;
        let now = *conditions
            .wait_for(|conditions| !conditions.stalled)
            .await
            .map_err(io::Error::other)?;
        if read == 0 {
            return to.shutdown().await;
        }
        let cut = now.cut_after.map(|limit| limit.saturating_sub(passed));
        let whole = cut.is_none_or(|left| read as u64 <= left);
        let length = if whole { read } else { cut.map_or(0, |left| left as usize) };
        let piece = &mut buffer[..length];
        if let Some(every) = now.corrupt_every {
            for (number, byte) in (passed + 1..).zip(piece.iter_mut()) {
                if number % every == 0 {
                    *byte = !*byte;
                }
            }
        }
        tokio::time::sleep(now.delay + now.busy(length)).await;
        to.write_all(piece).await?;
        passed += length as u64;
        direction.forwarded.send_modify(|forwarded| *forwarded += length as u64);
        if !whole || now.cut_after == Some(passed) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
    }
}
