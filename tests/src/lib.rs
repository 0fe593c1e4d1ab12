//! The tests of Bugle as a whole stand in this package's `tests/`; there is nothing here.
