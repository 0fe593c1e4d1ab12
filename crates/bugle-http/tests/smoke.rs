//! A first round trip over a real socket.
#![allow(clippy::unwrap_used)]
