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

use crate::failure::{Broken, Step, describe_hyper, find};
use crate::http1::head::MAX_HEAD;
use crate::response::{Answered, Body, Head, Reading};
use crate::stream::Stream;

/// How many streams there are until the receiver has said how many it takes: with more, a burst on
/// a new connection would be refused, or held back after its deadline has begun.
const UNSETTLED: usize = 1;
/// How often to look whether it has, which hyper tells nobody, and for how long.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOOK_FOR: Duration = Duration::from_secs(1);

/// How much of a response's body may be on its way unasked.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same, over all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// An open HTTP/2 connection. Tasks of its own drive it; they end when it is dropped.
pub(crate) struct Multiplex {
    sender: http2::SendRequest<Full<Bytes>>,
    /// Knows how many streams the receiver takes at once. `None` once it has ended.
    wire: Arc<Mutex<Option<Wire>>>,
    pub(crate) address: SocketAddr,
    /// When a delivery last ended.
    used: Mutex<Instant>,
    /// Whether anything was read since the last request was handed over.
    heard: Arc<AtomicBool>,
    /// How many requests have a stream.
    streams: AtomicUsize,
    /// Tells those that wait for one that there is one.
    freed: Notify,
    /// Cancelled when no further request should be sent here.
    retired: CancellationToken,
    _tasks: DropGuard,
}

type Wire = http2::Connection<TokioIo<InspectReader<Stream, Listen>>, Full<Bytes>, Tasks>;
/// Is shown what is read.
type Listen = Box<dyn FnMut(&[u8]) + Send + Sync>;

/// How long a request may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// When it is over, unless it had to wait for a stream: then so much later.
    pub(crate) deadline: Instant,
    /// How long to wait for a stream.
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

    /// Has requests that wait for a stream here come back unsent.
    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }

    pub(crate) fn idle_for(&self) -> Duration {
        self.used.lock().elapsed()
    }

    /// A delivery has ended.
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
        Ok(Answered::new(head, kept.into_kept(), !whole, reading, instants))
    }

    /// Waits until there is a stream for the request. How many there may be at once is for the
    /// receiver to say, so this is no part of the deadline, unless it takes none at all.
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

    /// How many requests may have a stream at once.
    fn most_streams(&self) -> usize {
        // Once it has ended, the request comes back unsent.
        self.wire.lock().as_ref().map_or(usize::MAX, Wire::current_max_send_streams)
    }

    fn late(&self) -> Broken {
        let heard = self.heard.load(Ordering::Relaxed);
        Broken::Late(if heard { Step::Respond } else { Step::FirstByte })
    }

    /// Why a request brought no response.
    fn broken<T>(&self, mut error: TrySendError<T>) -> Broken {
        let unsent = error.take_message().is_some();
        let error = error.into_error();
        let words = describe_hyper(&error);
        let cause = find::<h2::Error>(&error).filter(|cause| cause.is_remote());
        // These promise that the request was not processed: RFC 9113, 8.7. An error that names the
        // receiver's GOAWAY comes on streams above its last one alone; those below it go on.
        let left_out = cause.is_some_and(h2::Error::is_go_away);
        let refused = cause.is_some_and(|cause| {
            cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM)
        });
        // A request that hyper held back is dropped with its connection, which hyper takes for a
        // fault of ours.
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

/// A request has a stream.
struct Taken<'a>(&'a Multiplex);

impl<'a> Taken<'a> {
    /// Takes one if there are fewer than so many.
    fn try_take(multiplex: &'a Multiplex, most: usize) -> Option<Self> {
        let more = |taken| (taken < most).then_some(taken + 1);
        let order = Ordering::Relaxed;
        let before = multiplex.streams.fetch_update(order, order, more).ok()?;
        if before + 1 < most {
            // There may be more than there were when this one began to wait.
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

/// Does the connection's I/O. Its error reaches every delivery in flight; here it says nothing new.
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

/// Reads a body, and says whether it was whole and within its limit. The response's status has
/// settled the delivery: a stream that breaks off now is no failure.
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
