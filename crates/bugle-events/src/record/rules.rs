//! What is asked of a field.

/// What is asked of a field beside its type.
///
/// A type has rules of its own: a [`Urn`](crate::Urn) that is there is a valid one, and so on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Rules {
    pub(crate) required: bool,
    pub(crate) omit_empty: bool,
    pub(crate) min_items: usize,
}

impl Rules {
    /// Nothing is asked, and the field is always written.
    pub const PLAIN: Self = Self { required: false, omit_empty: false, min_items: 0 };
    /// The field must be there, and must not be empty.
    pub const REQUIRED: Self = Self { required: true, ..Self::PLAIN };
    /// Nothing is asked, and the field is left out when it is empty.
    pub const OPTIONAL: Self = Self { omit_empty: true, ..Self::PLAIN };

    /// The list or map has at least this many items.
    pub const fn min_items(self, items: usize) -> Self {
        Self { min_items: items, ..self }
    }
}
