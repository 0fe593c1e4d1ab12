//! HTTP/2, by hyper: correct except for silence and resets.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::ledger::{Exchange, OpenConnection, Received};
use super::reply::{Body, FILLER, FaultKind, Reply, Stage};
use super::state::ReceiverState;
use super::wire::Wire;

/// The error code of a stream's reset.
#[derive(Debug)]
struct Failure(h2::Error);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self(h2::Reason::INTERNAL_ERROR.into())
    }
}

/// The first bytes of every client.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves one connection until one side ends it.
pub(crate) async fn serve(
    shared: Arc<ReceiverState>,
    connection: &OpenConnection,
    wire: Wire,
) -> io::Result<()> {
    let peer = wire.tcp().peer_addr()?;
    let number = connection.number;
    let limit = shared.requests_per_connection.unwrap_or(u64::MAX);
    let served = AtomicU64::new(0);
    let enough = Arc::new(Notify::new());
    let service = service_fn(|request: Request<Incoming>| {
        if served.fetch_add(1, Ordering::Relaxed) + 1 >= limit {
            enough.notify_one();
        }
        let shared = Arc::clone(&shared);
        async move {
            let (parts, body) = request.into_parts();
            let planned = shared.script.next();
            let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let (received, exchange) = shared.book.record(Received {
                number: 0,
                at: Instant::now(),
                timestamp: Timestamp::now(),
                connection: number,
                peer,
                version: Version::HTTP_2,
                method: parts.method.to_string(),
                path: parts.uri.path_and_query().map_or_else(String::new, ToString::to_string),
                headers: parts.headers,
                body,
                complete: true,
            });
            let reply = planned.unwrap_or_else(|| shared.script.choose(&received));
            if reply.fault.as_ref().is_some_and(|fault| matches!(fault.kind, FaultKind::Refuse)) {
                return Err(Failure(h2::Reason::REFUSED_STREAM.into()));
            }
            answer(shared, reply, exchange).await.map_err(Failure::from)
        }
    });
    let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(shared.streams_per_connection)
        .serve_connection(TokioIo::new(wire), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = enough.notified() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    ended.map_err(io::Error::other)
}

/// Answers one request. An error resets the stream, and leaves the connection as it is.
async fn answer(
    shared: Arc<ReceiverState>,
    reply: Reply,
    mut exchange: Exchange,
) -> io::Result<Response<Streamed>> {
    let in_body = reply.fault_at(Stage::InResponseBody).is_some();
    if in_body {
        exchange.misbehaved();
    } else if let Some(fault) = &reply.fault {
        exchange.misbehaved();
        if matches!(fault.kind, FaultKind::Hang) {
            return std::future::pending().await;
        }
        return Err(io::Error::other("reset by the test's script"));
    }
    shared.before_answer(&reply).await;
    let mut response =
        Response::builder().status(StatusCode::from_u16(reply.status).map_err(io::Error::other)?);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let length = if reply.has_length() { reply.body.length() } else { 0 };
    let left = if in_body { length / 2 } else { length };
    let mut body = Streamed { shared, reply, left, exchange: Some(exchange), sleep: None };
    if left == 0 && !in_body {
        body.end();
    }
    response.body(body).map_err(io::Error::other)
}

/// The time after which the connection has written the bytes that it was given.
const WRITTEN: Duration = Duration::from_millis(20);

/// A reply's body while it is sent.
struct Streamed {
    shared: Arc<ReceiverState>,
    reply: Reply,
    left: u64,
    /// The sender may abandon the exchange until the last byte is taken.
    exchange: Option<Exchange>,
    /// The pause before the next piece.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Streamed {
    fn end(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.answered();
        }
    }
}

impl HttpBody for Streamed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.left == 0 {
            let Some(fault) = this.reply.fault_at(Stage::InResponseBody) else {
                return Poll::Ready(None);
            };
            if matches!(fault, FaultKind::Hang) {
                return Poll::Pending;
            }
            // A reset overtakes bytes that are not written yet.
            let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITTEN)));
            std::task::ready!(sleep.as_mut().poll(context));
            return Poll::Ready(Some(Err(io::Error::other("reset by the test's script"))));
        }
        if let Some(sleep) = &mut this.sleep {
            std::task::ready!(sleep.as_mut().poll(context));
        }
        let most = this.reply.body_pace.map_or(FILLER.len(), |pace| pace.bytes);
        let most = most.min(usize::try_from(this.left).unwrap_or(usize::MAX));
        let piece = match &mut this.reply.body {
            Body::Bytes(bytes) => bytes.split_to(most.min(bytes.len())),
            Body::Filler(_) => Bytes::from_static(&FILLER[..most.min(FILLER.len())]),
        };
        this.left -= piece.len() as u64;
        this.shared.book.body_bytes(piece.len());
        this.sleep = this.reply.body_pace.map(|pace| Box::pin(tokio::time::sleep(pace.every)));
        if this.left == 0 && this.reply.fault_at(Stage::InResponseBody).is_none() {
            this.end();
        }
        if this.left == 0 && this.reply.fault.is_some() {
            this.sleep = None;
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.reply.fault.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.reply.fault.is_some() { SizeHint::new() } else { SizeHint::with_exact(self.left) }
    }
}
