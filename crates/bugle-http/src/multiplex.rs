//! One HTTP/2 connection, shared by the deliveries of an emitter with a window.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use bugle_core::SpokenVersion;
use bytes::Bytes;
use http::{Request, response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::{TrySendError, http2};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::io::InspectReader;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::causes::find;
use crate::failure::{Broken, Step, describe_hyper};
use crate::http1::head::MAX_HEAD;
use crate::response::{Answered, Body, Head, Reading};
use crate::stream::Stream;

/// The number of streams until the receiver has announced its limit: with more, a burst on a new
/// connection would be refused, or held back after its deadline has begun.
const UNSETTLED: usize = 1;
/// The interval at which to check for the announcement, which hyper does not report.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The longest wait for the announcement.
const LOOK_FOR: Duration = Duration::from_secs(1);

/// The bytes of a response's body that may be sent without having been asked for.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same limit over all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// An open HTTP/2 connection. Tasks of its own drive it, and end when it is dropped.
pub(crate) struct Multiplex {
    sender: http2::SendRequest<Full<Bytes>>,
    /// Knows the number of streams that the receiver allows at once. `None` once it has ended.
    wire: Arc<Mutex<Option<Wire>>>,
    pub(crate) address: SocketAddr,
    /// The end of the last delivery.
    used: Mutex<Instant>,
    /// True when anything was read since the last request was handed over.
    heard: Arc<AtomicBool>,
    /// The number of requests that have a stream.
    streams: AtomicUsize,
    /// Wakes a request that waits for a stream when one is free.
    freed: Notify,
    /// Is cancelled when no further request should be sent here.
    retired: CancellationToken,
    _tasks: DropGuard,
}

type Wire = http2::Connection<TokioIo<InspectReader<Stream, Listen>>, Full<Bytes>, Tasks>;
/// Receives the bytes that are read.
type Listen = Box<dyn FnMut(&[u8]) + Send + Sync>;

/// The time that a request may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// The deadline, which moves by the time of a wait for a stream.
    pub(crate) deadline: Instant,
    /// The longest wait for a stream.
    pub(crate) patience: Duration,
}

impl Multiplex {
    pub(crate) async fn start(stream: Stream, address: SocketAddr) -> hyper::Result<Arc<Self>> {
        let token = CancellationToken::new();
        let heard = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&heard);
        let listen: Listen = Box::new(move |bytes: &[u8]| {
            if !bytes.is_empty() {
                mark.store(true, Ordering::Relaxed);
            }
        });
        let (sender, wire) = http2::Builder::new(Tasks(token.clone()))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD as u32)
            .initial_max_send_streams(UNSETTLED)
            .handshake(TokioIo::new(InspectReader::new(stream, listen)))
            .await?;
        let wire = Arc::new(Mutex::new(Some(wire)));
        hyper::rt::Executor::execute(&Tasks(token.clone()), drive(Arc::clone(&wire)));
        Ok(Arc::new(Self {
            sender,
            wire,
            address,
            used: Mutex::new(Instant::now()),
            heard,
            streams: AtomicUsize::new(0),
            freed: Notify::new(),
            retired: CancellationToken::new(),
            _tasks: token.drop_guard(),
        }))
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Returns the requests that wait for a stream here, unsent.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }

    pub(crate) fn idle_for(&self) -> Duration {
        self.used.lock().elapsed()
    }

    /// Records that a delivery has ended.
    pub(crate) fn touch(&self) {
        *self.used.lock() = Instant::now();
    }

    /// Sends the request and reads the response.
    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        reading: Reading,
        allowance: Allowance,
    ) -> Result<Answered, Broken> {
        let asked = Instant::now();
        let _taken = self.take_stream(allowance).await?;
        let deadline = allowance.deadline + asked.elapsed();
        self.heard.store(false, Ordering::Relaxed);
        let response = self.sender.clone().try_send_request(request);
        let response = timeout_at(deadline, response).await.map_err(|_| self.late())?;
        let response = response.map_err(|error| self.broken(error))?;
        let at = Instant::now();
        let (head, mut body) = response.into_parts();
        let announced = body.size_hint().lower();
        let mut kept = Body::new(reading, head.status, announced);
        let head = described(&head, reading);
        if body.is_end_stream() {
            return Ok(Answered::new(head, Vec::new(), false, reading, [at; 2]));
        }
        let whole = timeout_at(deadline, read(&mut body, &mut kept)).await.unwrap_or(false);
        let instants = [at, Instant::now()];
        Ok(Answered::new(head, kept.take_kept(), !whole, reading, instants))
    }

    /// Waits for a stream. The receiver sets the number of streams, so the wait is not part of the
    /// deadline, unless the receiver allows none at all.
    async fn take_stream(&self, allowance: Allowance) -> Result<Taken<'_>, Broken> {
        let begun = Instant::now();
        let crowded_at = begun + allowance.patience;
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            let most = self.most_streams();
            if let Some(taken) = Taken::try_take(self, most) {
                return Ok(taken);
            }
            let until = if most == 0 { allowance.deadline } else { crowded_at };
            tokio::select! {
                biased;
                () = self.retired.cancelled() => {
                    return Err(Broken::Unsent("the connection was given up".into()));
                }
                () = freed => {}
                () = sleep_until(until) => {
                    return Err(if most == 0 { self.late() } else { Broken::Crowded });
                }
                () = sleep(LOOK_EVERY), if most == UNSETTLED && begun.elapsed() < LOOK_FOR => {}
            }
        }
    }

    /// The number of requests that may have a stream at once.
    fn most_streams(&self) -> usize {
        // Once the connection has ended, the request is returned unsent.
        self.wire.lock().as_ref().map_or(usize::MAX, Wire::current_max_send_streams)
    }

    fn late(&self) -> Broken {
        let heard = self.heard.load(Ordering::Relaxed);
        Broken::Late(if heard { Step::Respond } else { Step::FirstByte })
    }

    /// The reason for which a request brought no response.
    fn broken<T>(&self, mut error: TrySendError<T>) -> Broken {
        let unsent = error.take_message().is_some();
        let error = error.into_error();
        let words = describe_hyper(&error);
        let cause = find::<h2::Error>(&error).filter(|cause| cause.is_remote());
        // These promise that the request was not processed: RFC 9113, 8.7. Only streams above the
        // last one of a GOAWAY get an error that names it; those below it go on.
        let left_out = cause.is_some_and(h2::Error::is_go_away);
        let refused = cause.is_some_and(|cause| {
            cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM)
        });
        // A request that hyper held back is dropped with its connection, and hyper reports that as
        // an error of its user.
        if unsent || left_out || error.is_user() {
            Broken::Unsent(words)
        } else if refused {
            Broken::Refused(words)
        } else if !self.heard.load(Ordering::Relaxed) {
            Broken::Silent(words)
        } else {
            Broken::Connection(words)
        }
    }
}

/// A stream that a request has taken.
struct Taken<'a>(&'a Multiplex);

impl<'a> Taken<'a> {
    /// Takes a stream if fewer than this many are taken.
    fn try_take(multiplex: &'a Multiplex, most: usize) -> Option<Self> {
        let more = |taken| (taken < most).then_some(taken + 1);
        let order = Ordering::Relaxed;
        let before = multiplex.streams.fetch_update(order, order, more).ok()?;
        if before + 1 < most {
            // More streams may be free than when this one began to wait.
            multiplex.freed.notify_one();
        }
        Some(Self(multiplex))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
        self.0.freed.notify_one();
    }
}

/// Does the connection's I/O. Its error reaches every delivery in flight, so it is ignored here.
async fn drive(wire: Arc<Mutex<Option<Wire>>>) {
    poll_fn(|context| {
        let mut wire = wire.lock();
        let polled = wire.as_mut().map_or(Poll::Ready(Ok(())), |wire| Pin::new(wire).poll(context));
        if polled.is_ready() {
            *wire = None;
        }
        polled.map(drop)
    })
    .await;
}

/// Reads a body; false when it was broken off or over its limit. The response's status has settled
/// the delivery, so a stream that breaks off now is no failure.
async fn read(body: &mut Incoming, kept: &mut Body) -> bool {
    if kept.is_unwanted() {
        return false;
    }
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) if frame.data_ref().is_none_or(|data| kept.take(data)) => {}
            _ => return false,
        }
    }
    true
}

fn described(head: &response::Parts, reading: Reading) -> Head {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let all = head.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let headers = if reading.keeps(head.status) { all.collect() } else { Vec::new() };
    Head { status: head.status, version: SpokenVersion::Http2, headers }
}

/// Runs hyper's tasks until the connection is dropped.
#[derive(Clone)]
struct Tasks(CancellationToken);

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let token = self.0.clone();
        tokio::spawn(async move { token.run_until_cancelled(future).await });
    }
}
