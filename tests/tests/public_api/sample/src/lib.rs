//! A crate that tests the extractor of the public API; it is never compiled.

mod deep;
pub mod open;
mod shapes;

pub use deep::Passed as PassedOn;
pub use deep::inner::{self, Found};
pub use elsewhere::Thing as Renamed;
pub use shapes::*;

pub(crate) struct Hidden;

#[doc(hidden)]
pub fn also_hidden() {}

#[macro_export]
macro_rules! handy {
    () => {};
}
