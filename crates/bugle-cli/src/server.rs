//! A small HTTP server, for `listen` and for the receivers of `demo`.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::sent::{EmptyBody, Leaving, Telling};

/// The largest body that is taken, in bytes: 64 MiB.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// The time that open connections get to end once the server is asked to stop.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// A request that was read to its end.
pub(crate) struct Arrived {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The time at which its end came.
    pub(crate) at: Timestamp,
}

impl Arrived {
    /// A header's value; `None` where there is none, or it is no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The server's answer to a request.
pub(crate) enum Answer {
    /// A response with this status.
    Status(StatusCode),
    /// No answer, ever: the connection stays open.
    Hang,
    /// No answer: the connection is cut.
    Cut,
}

/// Decides how requests are answered.
pub(crate) trait Answering: Send + Sync + 'static {
    /// A claim that is held from the decision on until the answer has left.
    type Claim: Send + 'static;

    /// Decides how one request is answered. Its future is dropped where the sender is gone
    /// meanwhile.
    fn answer(&self, arrived: &Arrived) -> impl Future<Output = (Answer, Self::Claim)> + Send;

    /// Hears that the answer has left in full, or that there is to be none. Where the sender is
    /// gone before, the claim alone is dropped.
    fn answered(&self, arrived: &Arrived, answer: &Answer, claim: Self::Claim);
}

/// Listens on an address; of a name's addresses, on the first that can be listened on.
pub(crate) async fn bind(address: impl ToSocketAddrs) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves until told to stop, then ends open connections, each with a last answer where one is due.
///
/// With `reset`, a connection that is cut ends in a TCP reset.
pub(crate) async fn serve(
    listener: TcpListener,
    answering: Arc<impl Answering>,
    reset: bool,
    stop: watch::Receiver<bool>,
) {
    let mut asked_to_stop = stop.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut asked_to_stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => {
                    let _ = tcp.set_nodelay(true);
                    if reset {
                        let _ = tcp.set_zero_linger();
                    }
                    connections.spawn(connection(tcp, Arc::clone(&answering), stop.clone()));
                }
                // No more file descriptors, say: they come back when connections end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LAST_ANSWERS, ended).await;
    connections.shutdown().await;
}

async fn connection(
    tcp: TcpStream,
    answering: Arc<impl Answering>,
    mut stop: watch::Receiver<bool>,
) {
    let (cut, cut_asked) = watch::channel(false);
    let cut = Arc::new(cut);
    let (tcp, leaving) = Telling::new(tcp);
    let service = service_fn(|request| {
        let (answering, cut, leaving) = (Arc::clone(&answering), Arc::clone(&cut), leaving.clone());
        async move { Ok::<_, Infallible>(respond(request, answering, &cut, &leaving).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let mut serving = pin!(builder.serve_connection(TokioIo::new(tcp), service));
    let mut cut_asked = cut_asked;
    tokio::select! {
        // A connection's error is for its sender to notice.
        _ = serving.as_mut() => return,
        () = told(&mut cut_asked) => return,
        () = told(&mut stop) => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = serving => {}
        () = told(&mut cut_asked) => {}
    }
}

/// Waits until the flag is raised, or nobody is left to raise it.
async fn told(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|raised| *raised).await;
}

async fn respond<A: Answering>(
    request: Request<Incoming>,
    answering: Arc<A>,
    cut: &watch::Sender<bool>,
    leaving: &Leaving,
) -> Response<EmptyBody> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MOST_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return empty(StatusCode::PAYLOAD_TOO_LARGE, leaving.body(|| {})),
    };
    let (method, uri, headers) = (head.method, head.uri, head.headers);
    let arrived = Arrived { method, uri, headers, body, at: Timestamp::now() };
    let (answer, claim) = answering.answer(&arrived).await;
    if let Answer::Status(status) = answer {
        let answered = move || answering.answered(&arrived, &answer, claim);
        return empty(status, leaving.body(answered));
    }
    answering.answered(&arrived, &answer, claim);
    if let Answer::Cut = answer {
        cut.send_replace(true);
    }
    std::future::pending().await
}

fn empty(status: StatusCode, body: EmptyBody) -> Response<EmptyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
