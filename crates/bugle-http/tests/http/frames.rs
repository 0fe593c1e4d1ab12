//! HTTP/2, frame by frame, to speak it as some servers do and no library can.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::raw_receiver;

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;
/// `:status: 204`, from HPACK's static table.
const STATUS_204: &[u8] = &[0x89];

/// A receiver that takes this many requests on each connection, as nginx does with
/// `keepalive_requests`: behind the last one it sends a GOAWAY that names it, and ignores
/// everything after.
pub(crate) struct Frames {
    pub(crate) address: SocketAddr,
    answered: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
}

impl Frames {
    pub(crate) async fn goes_away_after(limit: usize) -> Self {
        let answered = Arc::<AtomicUsize>::default();
        let connections = Arc::<AtomicUsize>::default();
        let counts = (Arc::clone(&answered), Arc::clone(&connections));
        let address = raw_receiver(move |tcp| {
            counts.1.fetch_add(1, Ordering::SeqCst);
            serve(tcp, limit, Arc::clone(&counts.0))
        })
        .await;
        Self { address, answered, connections }
    }

    /// The number of requests that were answered, over all connections.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }

    /// The number of connections that were made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut tcp: TcpStream, limit: usize, answered: Arc<AtomicUsize>) -> io::Result<()> {
    tcp.read_exact(&mut [0; PREFACE]).await?;
    tcp.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut taken = 0;
    let mut last = 0;
    loop {
        let (kind, flags, stream, _) = read(&mut tcp).await?;
        match kind {
            SETTINGS if flags & ACK == 0 => tcp.write_all(&frame(SETTINGS, ACK, 0, &[])).await?,
            HEADERS if taken < limit => {
                (taken, last) = (taken + 1, stream);
            }
            // Requests behind the last one are ignored.
            HEADERS if taken == limit => {
                taken += 1;
                let farewell = [last.to_be_bytes(), 0_u32.to_be_bytes()].concat();
                tcp.write_all(&frame(GOAWAY, 0, 0, &farewell)).await?;
            }
            DATA if stream <= last && flags & END_STREAM != 0 => {
                answered.fetch_add(1, Ordering::SeqCst);
                let flags = END_STREAM | END_HEADERS;
                tcp.write_all(&frame(HEADERS, flags, stream, STATUS_204)).await?;
            }
            _ => {}
        }
    }
}

async fn read(tcp: &mut TcpStream) -> io::Result<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    tcp.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, d, e, f, g] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    tcp.read_exact(&mut payload).await?;
    Ok((kind, flags, u32::from_be_bytes([d, e, f, g]), payload))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}
