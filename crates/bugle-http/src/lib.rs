//! Webhook delivery over hyper and rustls, for Bugle.
//!
//! [`HttpTransport`] implements the ports [`bugle_core::Transport`] and [`bugle_core::Session`].
//! One attempt goes through these rooms, in this order:
//!
//! 1. `session`: takes a kept-alive connection of this emitter, or asks for a new one;
//! 2. `slots`: grants it a place under the cap on open connections;
//! 3. `dial`: resolves the name, asks the destination guard about every address, connects;
//!    through `proxy` where there is one, with `tls` where the URL is https;
//! 4. `request`: fills in the headers from a template that was made once;
//! 5. `connection` (HTTP/1.1) or `multiplex` (HTTP/2): sends it and waits for the response;
//! 6. `response`: reads a bounded part of the body and says what came of it.
//!
//! One deadline stands over all of it. A failed delivery is an [`bugle_core::Outcome`], never an
//! `Err`.
//!
//! It does not follow redirects, decompress, keep cookies or cache names: a webhook needs none of
//! it.

mod connection;
mod deadline;
mod dial;
mod failure;
mod kept;
mod multiplex;
mod proxy;
mod request;
mod resolve;
mod response;
mod session;
mod slots;
mod stream;
mod tls;
mod transport;

pub use resolve::{Resolve, SystemResolver};
pub use slots::ConnectionStats;
pub use transport::{HttpTransport, HttpTransportBuilder};
