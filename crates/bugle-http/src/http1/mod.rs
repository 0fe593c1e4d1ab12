//! HTTP/1.1 as we speak it: what a request is made of, and which answers are taken.
//!
//! Everything here is a pure function or a state machine over bytes; the socket is
//! [`crate::exchange`]'s. `request` writes a request's head, `head` reads an answer's, `body` finds
//! where an answer's body ends, and `answer` puts the last two together. What is taken and what is
//! refused is written where users look for it, at the crate's root.

pub(crate) mod answer;
pub(crate) mod body;
pub(crate) mod head;
pub(crate) mod request;

#[cfg(test)]
mod tests;
