//! One HTTP/1.1 connection, driven by the delivery that uses it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use crate::deadline::Deadline;
use crate::exchange::Exchange;
use crate::failure::Broken;
use crate::http1::request::{Draft, Request};
use crate::response::{Answered, Reading};
use crate::stream::Stream;

/// The time within which a request follows the last one on its connection when it is one of many.
///
/// The task of such a request goes to the end of the queue of those that can run, before it writes.
/// Where many emitters are busy, their responses are thus read in one go and their next requests
/// written in another, and receivers are woken once for many requests instead of once for each,
/// which costs both sides less.
const BACK_TO_BACK: Duration = Duration::from_micros(100);

/// An open HTTP/1.1 connection.
///
/// The delivery that uses it drives it: one task does everything, and no task watches it while no
/// delivery is in flight. A change that the receiver makes meanwhile (usually it closes) is found
/// by a check before the next request.
pub(crate) struct Connection {
    stream: Stream,
    /// True when no request may follow on it.
    over: bool,
    deadline: Deadline,
    idle_since: Instant,
    /// True when the next request follows the last one at once.
    one_of_many: bool,
    pub(crate) address: SocketAddr,
    /// The part that its requests share.
    draft: Draft,
}

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        address: SocketAddr,
        draft: Draft,
        deadline: Instant,
    ) -> Box<Self> {
        Box::new(Self {
            stream,
            over: false,
            deadline: Deadline::new(deadline),
            idle_since: Instant::now(),
            one_of_many: false,
            address,
            draft,
        })
    }

    pub(crate) fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// True when another request can be sent after this idle time, as far as can be known without
    /// waiting.
    pub(crate) fn is_ready(&mut self, idle_for: Duration) -> bool {
        self.one_of_many = idle_for < BACK_TO_BACK;
        // One of many checks when its turn has come.
        !self.over && (self.one_of_many || self.is_quiet(&mut Context::from_waker(Waker::noop())))
    }

    /// Ends a delivery; true when the connection can be kept for the next one.
    pub(crate) fn rest(&mut self, now: Instant) -> bool {
        self.idle_since = now;
        !self.over
    }

    /// True when the receiver has neither closed the idle connection nor sent anything unasked.
    fn is_quiet(&mut self, context: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        Pin::new(&mut self.stream).poll_read(context, &mut buffer).is_pending()
    }

    /// Sends a request and reads the response.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<'_>,
        reading: Reading,
        deadline: Instant,
    ) -> Result<Answered, Broken> {
        self.deadline.set(deadline);
        let mut exchange = Exchange::new(&request.event.payload, reading);
        let mut step_aside = std::mem::take(&mut self.one_of_many);
        let look = step_aside;
        let mut begun = false;
        // An exchange that ends early leaves the connection in doubt.
        self.over = true;
        poll_fn(|context| {
            if std::mem::take(&mut step_aside) {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if !std::mem::replace(&mut begun, true) {
                if look && !self.is_quiet(context) {
                    let why = "the receiver closed the connection while it was idle";
                    return Poll::Ready(Err(Broken::Unsent(why.into())));
                }
                let head = self.draft.head(&request);
                let sent = exchange.begin(&mut self.stream, &head, context);
                // The look has the task woken by the answer: reading now would find nothing.
                if look && sent {
                    return self.deadline.poll(context).map(|()| exchange.late());
                }
            }
            match exchange.poll(&mut self.stream, context) {
                Poll::Pending => self.deadline.poll(context).map(|()| exchange.late()),
                over => over,
            }
        })
        .await?;
        let (answered, reusable) = exchange.finish()?;
        self.over = !reusable;
        Ok(answered)
    }
}
