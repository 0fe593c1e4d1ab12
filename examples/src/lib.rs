//! The examples of Bugle.
