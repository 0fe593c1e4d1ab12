//! Listens on a port that is its own.

mod port;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::background;
use port::Port;

/// A port, and the task that listens on it.
#[derive(Debug)]
pub(crate) struct Server {
    port: Port,
    listening: Mutex<Option<Listening>>,
}

/// A task that accepts connections, and the way to end it.
#[derive(Debug)]
struct Listening {
    /// Is dropped to make the task close the port and all connections.
    _stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Takes a free port of this address, and does not listen on it yet.
    pub(crate) fn on(address: IpAddr) -> io::Result<Self> {
        Ok(Self { port: Port::take(address)?, listening: Mutex::new(None) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Listens, and serves each connection in a task. Does nothing while it listens.
    pub(crate) fn listen<S, F>(&self, serve: S) -> io::Result<()>
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let mut listening = self.listening.lock();
        if listening.is_none() {
            let runtime = background::handle()?;
            let _entered = runtime.enter();
            let listener = self.port.listen()?;
            let (stop, stopped) = oneshot::channel();
            let task = runtime.spawn(accept(listener, serve, stopped));
            *listening = Some(Listening { _stop: stop, task });
        }
        Ok(())
    }

    /// Closes the port and every connection. When this returns, connections are refused.
    pub(crate) async fn go_down(&self) {
        let listening = self.listening.lock().take();
        if let Some(Listening { _stop: stop, task }) = listening {
            drop(stop);
            // The task can only have ended.
            let _ = task.await;
        }
    }
}

async fn accept<S, F>(listener: TcpListener, serve: S, mut stopped: oneshot::Receiver<()>)
where
    S: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Nothing is ever sent: the sender is dropped.
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    // Small writes of a test must not wait for one another.
                    let _ = tcp.set_nodelay(true);
                    connections.spawn(serve(tcp));
                }
                // Perhaps no file descriptor is left: they come back when connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}
