//! A service of somebody who read the README and nothing else: it depends on `bugle`, `tokio` and
//! `serde` alone, and can name every type of the public API. The programs of the README and of the
//! examples' pages are compiled here as they are printed.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}

mod boot;
mod records;

pub use boot::{boot, our_network};
pub use records::{newest, read_all};
