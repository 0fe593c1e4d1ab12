//! Deliveries over real sockets: what the receiver gets, and what comes of what it does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod connections;
mod deadlines;
mod destinations;
mod faults;
mod floods;
mod frames;
mod heads;
mod http2;
mod outcomes;
mod proxies;
mod requests;
mod settled;
mod support;
mod tls;
mod uncounted;
