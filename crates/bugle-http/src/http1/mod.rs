//! HTTP/1.1 as Bugle speaks it: the form of its requests, and the answers that it accepts.
//!
//! Everything here is a pure function or a state machine over bytes; [`crate::exchange`] has the
//! socket. `request` writes a request's head, `head` reads an answer's, `body` finds the end of an
//! answer's body, and `answer` joins the last two. The documentation of the crate lists for users
//! which answers are accepted and which refused.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod head;
pub(crate) mod request;

#[cfg(test)]
mod tests;
