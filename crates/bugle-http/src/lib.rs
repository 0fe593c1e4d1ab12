//! Webhook delivery over hyper and rustls, for Bugle.
//!
//! [`HttpTransport`] implements the ports [`bugle_core::Transport`] and [`bugle_core::Session`].
//! One attempt passes through these modules, in this order:
//!
//! 1. `session`: takes a kept-alive connection of this emitter, or asks for a new one;
//! 2. `slots`: grants it a slot under the cap on open connections (`shortage` names the other
//!    things that this machine may be short of);
//! 3. `dial`: resolves the name, asks the destination guard about every address, and connects;
//!    through `proxy` where there is one, and with `tls` where the URL is https (`forwarded`
//!    recognizes the answers that a forwarding proxy gives in the receiver's place);
//! 4. `request`: fills in the headers from a template that was made once;
//! 5. `connection` (HTTP/1.1, which `http1` specifies) or `multiplex` (HTTP/2): sends it and reads
//!    the response, with a bounded part of its body;
//! 6. `response`: turns the response into an outcome.
//!
//! One deadline covers all of it except the wait for a slot or a stream. A failed delivery is an
//! [`bugle_core::Outcome`], never an `Err`.
//!
//! An attempt counts once the receiver may have processed it, or is itself unreachable. Anything
//! else spends none of an event's attempts:
//!
//! - A request that was surely not processed is made again at once, four times at most: one that a
//!   kept connection could not take, and one on an HTTP/2 stream that was refused or lies above the
//!   last one of a GOAWAY. A receiver that takes none of them counts as unreachable.
//! - A kept connection that brings no byte of an answer was usually dead before. The emitter closes
//!   all its kept connections, and makes the request once more at once, on a new connection and
//!   with a new deadline. The receiver may see it twice, under one id, as at-least-once allows.
//! - The wait for a slot under the cap on connections, or for a stream, has a bound of its own,
//!   [`HttpTransportBuilder::max_wait`]. A delivery that waits in vain has made no attempt.
//! - A shortage of this machine is no attempt either: descriptors, memory, local ports, no network
//!   at all, no resolver that answers, a proxy that can't be used. Idle connections are closed
//!   first, where that may help. A name that doesn't exist, a host without a route to it, a refused
//!   connection, and a proxy's report about the receiver do count.
//!
//! [`ConnectionStats`] counts each of these cases, and so does the attempt's
//! [`bugle_core::Exchange`].
//!
//! # Accepted answers
//!
//! **The head decides.** A status from 200 to 299 settles a delivery, whatever follows it: a body
//! that is short, breaks off or never ends, a missing last chunk, or TLS that ends without
//! close_notify. The body is read for the record, within its limit and the rest of the deadline,
//! and [`body_cut`](bugle_core::Exchange::body_cut) says that it was not read whole. When the
//! answer comes before all of the request is sent, the rest is still sent.
//!
//! Over HTTP/1.1, heads are accepted where a widespread client (curl, node, Python's http.client)
//! accepts them, even if the standard forbids them:
//!
//! - lines that end in LF alone, and empty lines before the status line;
//! - several spaces around the status, a missing reason, a reason that is not ASCII;
//! - headers that are folded over several lines (they become one line), spaces before the colon,
//!   and lines that are no header at all, which are ignored;
//! - any number of headers, within 64 KiB for the whole head;
//! - interim answers (100, 102, 103, …), up to 16;
//! - lengths that contradict one another or are no numbers, also together with chunks, and chunks
//!   in an answer of HTTP/1.0: the status counts, and the connection ends.
//!
//! A head is refused, as a failed attempt with the code `badConnection`, in these cases:
//!
//! | head | reason |
//! | --- | --- |
//! | no `HTTP/1.0` or `HTTP/1.1`, or no status from 100 to 999 | it is another protocol |
//! | a NUL or a lone CR; any control character in the reason | the end of the line is disputed |
//! | a head of more than 64 KiB, however it comes | it must have a bound |
//! | a 17th interim answer | a receiver could go on for ever |
//! | an end of the connection before the head's end | the status may have been cut |
//!
//! 101 is an answer like any other that is not 2xx: a webhook asks for no other protocol.
//!
//! **A doubtful connection is not reused.** It ends after an answer that was not read whole, whose
//! end is the connection's, whose lengths contradict one another or stand beside chunks, that has
//! unexpected bytes behind it, that says so (`connection: close`), or that came in HTTP/1.0 without
//! `keep-alive`.
//!
//! # Out of scope
//!
//! It does not follow redirects, decompress, keep cookies or cache names: a webhook needs none of
//! these.

mod accept_any;
mod attempt;
mod causes;
mod connect;
mod connection;
mod deadline;
mod dial;
mod exchange;
mod failure;
mod forwarded;
mod http1;
mod kept;
mod multiplex;
mod proxy;
mod request;
mod resolve;
mod response;
mod session;
mod shared;
mod shortage;
mod slots;
mod stream;
mod tls;
mod transport;
mod ways;

pub use resolve::{Resolve, SystemResolver};
pub use slots::ConnectionStats;
pub use transport::{HttpTransport, HttpTransportBuilder};

/// Serves the workspace's other crates. It is no part of the API, and may change with any version.
#[doc(hidden)]
pub mod __private {
    pub use crate::accept_any::AcceptAny;
}
