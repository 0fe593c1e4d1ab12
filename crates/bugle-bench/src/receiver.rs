//! The receiver, as seen from the sending side: a process, and the requests to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::child;

/// The path that begins to record the time that events are on their way.
pub(crate) const RECORD: &str = "/record";

/// The path that ends the recording and answers its result.
pub(crate) const RECORDED: &str = "/recorded";

/// The addresses that the receiver listens on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    /// The certificate that a client must trust, PEM.
    pub(crate) certificate: String,
}

/// The time that events were on their way, from the call of `emit` to the receiver.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recorded {
    pub(crate) events: u64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// A receiver in a process of its own, which ends with this.
#[derive(Debug)]
pub(crate) struct Receiver {
    process: Child,
    /// Closed at the end, by which the process learns of it.
    input: Option<ChildStdin>,
    pub(crate) addresses: Addresses,
}

impl Receiver {
    /// Starts it, and waits until it listens.
    pub(crate) fn start() -> Result<Self> {
        let mut process = child::spawn(&["receiver"])?;
        let input = process.stdin.take();
        let output = process.stdout.take().context("the receiver has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let addresses = serde_json::from_str(&line).context("the receiver did not start")?;
        Ok(Self { process, input, addresses })
    }

    /// Begins to record the time that events are on their way.
    pub(crate) fn record(&self) -> Result<()> {
        self.ask(RECORD).map(drop)
    }

    /// Ends the recording, and answers its result.
    pub(crate) fn recorded(&self) -> Result<Recorded> {
        let answer = self.ask(RECORDED)?;
        let recorded: Option<Recorded> = serde_json::from_str(&answer)?;
        recorded.context("the receiver recorded nothing")
    }

    fn ask(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.addresses.plain)?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: receiver\r\n\r\n")?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let Some((head, body)) = answer.split_once("\r\n\r\n") else {
            bail!("the receiver answered {answer:?}");
        };
        if !head.starts_with("HTTP/1.1 20") {
            bail!("the receiver answered {head:?}");
        }
        Ok(body.to_owned())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.input.take());
        // It ends by itself now; nobody is left to be told that it did not.
        let _ = self.process.wait();
    }
}
