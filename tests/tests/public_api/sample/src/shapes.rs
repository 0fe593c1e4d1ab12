use super::Hidden;

/// A shape.
#[derive(Debug, Clone)]
#[serde(transparent)]
#[non_exhaustive]
pub struct Square<'a> {
    /// The width.
    pub side: &'a str,
    secret: u8,
}

pub struct Pair(pub u8, u8);

pub enum Choice {
    /// The first.
    One,
    Two { inside: u8 },
}

pub trait Shape {
    type Unit;
    fn area(&self) -> Self::Unit;
    fn doubled(&self) -> u32 {
        2
    }
}

impl<'a> Square<'a> {
    pub const CORNERS: u8 = 4;

    #[must_use]
    #[inline]
    pub fn grow(mut self, by: u8) -> Self {
        self.secret += by;
        self
    }

    pub(crate) fn shrink(&mut self) {}

    fn private(&self) {}
}

impl Shape for Square<'_> {
    type Unit = u32;
    fn area(&self) -> u32 {
        1
    }
}

impl From<Pair> for Square<'static> {
    fn from(_: Pair) -> Self {
        unreachable!()
    }
}

impl Shape for Hidden {
    type Unit = ();
    fn area(&self) {}
}

impl<T: Shape> Shape for &T {
    type Unit = T::Unit;
    fn area(&self) -> T::Unit {
        (*self).area()
    }
}

impl Shape for u8 {
    type Unit = u8;
    fn area(&self) -> u8 {
        *self
    }
}
