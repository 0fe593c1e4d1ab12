//! Deliveries over real sockets: the requests that a receiver gets, and the outcomes of its
//! answers.
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
