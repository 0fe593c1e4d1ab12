//! One HTTP/2 connection, shared by the deliveries of an emitter with a window.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bugle_core::SpokenVersion;
use bytes::Bytes;
use http::{Request, response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::failure::{Broken, Step, describe_hyper};
use crate::http1::head::MAX_HEAD;
use crate::response::{Answered, Body, Head, Reading};
use crate::stream::Stream;

/// How much of a response's body may be on its way unasked.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same, over all streams of a connection.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// An open HTTP/2 connection. Tasks of its own drive it; they end when it is dropped.
pub(crate) struct Multiplex {
    sender: http2::SendRequest<Full<Bytes>>,
    pub(crate) address: SocketAddr,
    /// When a delivery last ended.
    used: Mutex<Instant>,
    _tasks: DropGuard,
}

impl Multiplex {
    pub(crate) async fn start(stream: Stream, address: SocketAddr) -> hyper::Result<Arc<Self>> {
        let token = CancellationToken::new();
        let (sender, wire) = http2::Builder::new(Tasks(token.clone()))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD as u32)
            .handshake(TokioIo::new(stream))
            .await?;
        hyper::rt::Executor::execute(&Tasks(token.clone()), async move {
            // Its error reaches every delivery in flight; here it says nothing new.
            let _ = wire.await;
        });
        let used = Mutex::new(Instant::now());
        Ok(Arc::new(Self { sender, address, used, _tasks: token.drop_guard() }))
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
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
        deadline: Instant,
    ) -> Result<Answered, Broken> {
        let response = self.sender.clone().try_send_request(request);
        let response = match timeout_at(deadline, response).await {
            Err(_) => return Err(Broken::Late(Step::Respond)),
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => {
                let unsent = error.take_message().is_some();
                let words = describe_hyper(error.error());
                return Err(if unsent { Broken::Unsent(words) } else { Broken::Connection(words) });
            }
        };
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
