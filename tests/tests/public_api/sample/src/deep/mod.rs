pub(crate) mod inner;

pub use inner::Passed;
