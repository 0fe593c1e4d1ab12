//! The tests of Bugle.
