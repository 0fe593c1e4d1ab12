//! One HTTP/1.1 connection, driven by the delivery that uses it.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, response};
use http_body::Body;
use http_body_util::Full;
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::failure::{Broken, Step, describe_hyper};
use crate::request::Draft;
use crate::response::{Answered, BodyEnd, Reading};
use crate::stream::{Marks, Stream};

/// The longest head of a response that is taken: 64 KiB. Longer ones are a failed delivery.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// A request that follows the last one on its connection this soon is one of many.
///
/// Its task then goes to the end of the queue of those that can run, before it writes. Where many
/// emitters are busy, their responses are so read in one go and their next requests written in
/// another, and receivers are woken once for many requests instead of once for each, which costs
/// both sides less.
const BACK_TO_BACK: Duration = Duration::from_micros(100);

/// An open HTTP/1.1 connection.
///
/// hyper splits a connection into a handle to send requests and a future that does the I/O. The
/// future usually gets a task of its own, and two task switches for each request. Here the
/// delivery polls it: one task does everything, and while no delivery is in flight nobody polls.
/// What the receiver does meanwhile (as a rule: it closes) is found out by polling once before
/// the next request.
pub(crate) struct Connection {
    /// Hands requests to `wire`.
    sender: http1::SendRequest<Full<Bytes>>,
    /// Does the I/O. `None` once it has ended: hyper hands a request that it never began to send
    /// back when this is dropped, not before.
    wire: Option<Wire>,
    /// Whether a body was left unread, so that no further response can be found.
    spoiled: bool,
    /// Whether anything of the current request was written, and of its answer read.
    marks: Arc<Marks>,
    deadline: Deadline,
    idle_since: Instant,
    /// Whether the next request follows the last one at once.
    one_of_many: bool,
    pub(crate) address: SocketAddr,
    /// The last request's head, from which the next one's is made.
    draft: Option<Draft>,
}

impl Connection {
    pub(crate) async fn start(
        stream: Stream,
        address: SocketAddr,
        deadline: Instant,
    ) -> hyper::Result<Box<Self>> {
        let marks = stream.marks();
        let (sender, wire) =
            http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
        Ok(Box::new(Self {
            sender,
            wire: Some(wire),
            spoiled: false,
            marks,
            deadline: Deadline::new(deadline),
            idle_since: Instant::now(),
            one_of_many: false,
            address,
            draft: None,
        }))
    }

    pub(crate) fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// Whether another request can be sent after so long without one, as far as can be known
    /// without waiting.
    pub(crate) fn is_ready(&mut self, idle_for: Duration) -> bool {
        self.one_of_many = idle_for < BACK_TO_BACK;
        if self.one_of_many { self.can_follow() } else { self.look() }
    }

    /// Looks at the socket without waiting.
    ///
    /// The waker here is empty on purpose. All progress comes from polling `wire`, which the
    /// delivery does with its own waker as soon as it waits; a real one would only have the task
    /// woken by itself when it hands the request over.
    fn look(&mut self) -> bool {
        drive(&mut self.wire, &mut Context::from_waker(Waker::noop()));
        self.can_follow()
    }

    /// Whether the connection is at the start of a request, as far as was seen.
    fn can_follow(&self) -> bool {
        self.wire.is_some() && !self.spoiled && self.sender.is_ready()
    }

    /// Whether to keep the connection for the next delivery.
    pub(crate) fn rest(&mut self, now: Instant) -> bool {
        self.idle_since = now;
        self.can_follow() || (!self.spoiled && self.look())
    }

    /// Sends a request and reads the response. The request is written into what the connection
    /// keeps for it.
    pub(crate) async fn exchange(
        &mut self,
        request: impl FnOnce(&mut Option<Draft>) -> Request<Full<Bytes>>,
        reading: Reading,
        deadline: Instant,
    ) -> Result<Answered, Broken> {
        self.deadline.set(deadline);
        self.marks.clear();
        let response = self.respond(request).await?;
        let at = Instant::now();
        let (head, body) = response.into_parts();
        if body.is_end_stream() {
            return Ok(Answered::new(head, reading, at));
        }
        // A box of its own keeps small what deliveries without a response body are made of.
        Ok(Box::pin(self.read(head, body, reading, at)).await)
    }

    async fn respond(
        &mut self,
        request: impl FnOnce(&mut Option<Draft>) -> Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Broken> {
        // Unconstrained: polled with an empty waker, so tokio must not make it yield.
        let mut response =
            pin!(unconstrained(self.sender.try_send_request(request(&mut self.draft))));
        let mut step_aside = std::mem::take(&mut self.one_of_many);
        poll_fn(|context| {
            if std::mem::take(&mut step_aside) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            drive(&mut self.wire, context);
            match response.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(response)) => Poll::Ready(Ok(response)),
                Poll::Ready(Err(mut error)) => {
                    let marks = &self.marks;
                    let broken = if error.take_message().is_some()
                        || !marks.written.load(Ordering::Relaxed)
                    {
                        Broken::Unsent
                    } else if !marks.heard.load(Ordering::Relaxed) {
                        Broken::Silent
                    } else {
                        Broken::Connection
                    };
                    let words = describe_hyper(error.error());
                    Poll::Ready(Err(broken(words)))
                }
                Poll::Pending => {
                    self.deadline.poll(context).map(|()| Err(Broken::Late(Step::Respond)))
                }
            }
        })
        .await
    }

    async fn read(
        &mut self,
        head: response::Parts,
        mut body: Incoming,
        reading: Reading,
        at: Instant,
    ) -> Answered {
        let mut reader = reading.start(&head, &body);
        let end = poll_fn(|context| match reader.poll(|| self.poll_frame(&mut body, context)) {
            Poll::Pending => self.deadline.poll(context).map(|()| BodyEnd::late()),
            end => end,
        })
        .await;
        self.spoiled = !end.is_complete();
        Answered::with_body(head, reader, end, at)
    }

    fn poll_frame(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let quiet = &mut Context::from_waker(Waker::noop());
        if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(quiet) {
            return Poll::Ready(frame);
        }
        drive(&mut self.wire, context);
        Pin::new(body).poll_frame(quiet)
    }
}

type Wire = http1::Connection<TokioIo<Stream>, Full<Bytes>>;

/// Lets a connection do what it can. When it ends, why it did is told to the request in flight;
/// with none in flight nobody asks.
fn drive(wire: &mut Option<Wire>, context: &mut Context<'_>) {
    if let Some(open) = wire
        && Pin::new(open).poll(context).is_ready()
    {
        *wire = None;
    }
}
