//! The receiver's side of the ledger.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bugle_testkit::{Received, Receiver, Reply};

use crate::cast::{FLAKY, Id};

/// The time within which the last bytes of a dead process must arrive.
const DEADLINE: Duration = Duration::from_secs(60);

/// The path of the test's own request, which shows that no other is on its way any more.
const LAST: &str = "/last";

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) emitter: String,
    /// The life of the service that sent it.
    pub(crate) life: u32,
    /// The connection that it came by, counted over all receivers, and its number on that
    /// connection.
    pub(crate) connection: u64,
    pub(crate) number: u64,
    pub(crate) id: Id,
    /// True when it was answered with success.
    pub(crate) accepted: bool,
}

/// Everything that arrived, at one receiver after the other.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    written: Arc<Mutex<Written>>,
    receivers: u64,
}

#[derive(Debug, Default)]
struct Written {
    arrivals: Vec<Arrival>,
    /// The life that the service is in.
    life: u32,
    refused_once: HashSet<Id>,
}

impl Arrivals {
    /// Starts a receiver whose requests are recorded here.
    pub(crate) fn receiver(&mut self) -> Receiver {
        self.receivers += 1;
        let (receivers, written) = (self.receivers, Arc::clone(&self.written));
        let reply = move |request: &Received| {
            if request.path == LAST {
                return Reply::status(204);
            }
            let mut arrival = read(request);
            arrival.connection += receivers << 32;
            arrival.number += receivers << 32;
            let mut written = written.lock().unwrap();
            arrival.life = written.life;
            arrival.accepted = arrival.emitter != FLAKY || written.flaky_accepts(arrival.id);
            let status = if arrival.accepted { 204 } else { 500 };
            written.arrivals.push(arrival);
            Reply::status(status)
        };
        Receiver::builder().choose(reply).start().unwrap()
    }

    /// Counts what arrives from now on to this life. Everything that the life before has sent must
    /// have arrived: see [`Arrivals::close`].
    pub(crate) fn begin(&self, life: u32) {
        self.written.lock().unwrap().life = life;
    }

    /// Waits until everything that was sent to a receiver has arrived. A receiver accepts
    /// connections in the order in which they were made. Once it has accepted one of ours, it has
    /// accepted all those of a process that has ended.
    pub(crate) fn close(&self, receiver: &Receiver) {
        let mut last = TcpStream::connect(receiver.address()).unwrap();
        last.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(last, "POST {LAST} HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
        last.read_to_end(&mut Vec::new()).unwrap();
        drop(last);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let done = receiver.wait_until(DEADLINE, |ledger| ledger.connections_open() == 0);
        runtime.block_on(done).unwrap();
    }

    /// All arrivals of an emitter, in the order in which they were sent, as far as that is known:
    /// an emitter's lives follow one another, and so do the connections of one that delivers in
    /// strict order.
    pub(crate) fn of(&self, emitter: &str, by_connection: bool) -> Vec<Arrival> {
        let written = self.written.lock().unwrap();
        let own = written.arrivals.iter().filter(|arrival| arrival.emitter == emitter);
        let mut own: Vec<Arrival> = own.cloned().collect();
        own.sort_by_key(|it| (it.life, if by_connection { it.connection } else { 0 }, it.number));
        own
    }

    pub(crate) fn count(&self) -> usize {
        self.written.lock().unwrap().arrivals.len()
    }
}

impl Written {
    fn flaky_accepts(&mut self, id: Id) -> bool {
        !(id.is_poison() || id.is_difficult() && self.refused_once.insert(id))
    }
}

fn read(request: &Received) -> Arrival {
    assert!(request.complete, "a request is delivered as a whole");
    let id: Id = request.request_id().unwrap().parse().unwrap();
    let payload: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(payload["id"], id.to_string(), "an event is delivered with its own payload");
    Arrival {
        emitter: request.path.trim_start_matches('/').to_owned(),
        life: 0,
        connection: request.connection,
        number: request.number as u64,
        id,
        accepted: false,
    }
}
