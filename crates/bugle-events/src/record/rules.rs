//! The rules of a field.

/// The rules of a field, beside those of its type.
///
/// A type has rules of its own: a [`Urn`](crate::Urn) that is present must be a valid one, and so
/// on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Rules {
    pub(crate) required: bool,
    pub(crate) omit_empty: bool,
    pub(crate) min_items: usize,
}

impl Rules {
    /// Demands nothing, and always writes the field.
    pub const PLAIN: Self = Self { required: false, omit_empty: false, min_items: 0 };
    /// Demands that the field is present and not empty.
    pub const REQUIRED: Self = Self { required: true, ..Self::PLAIN };
    /// Demands nothing, and leaves the field out when it is empty.
    pub const OPTIONAL: Self = Self { omit_empty: true, ..Self::PLAIN };

    /// Demands at least this many items in the list or map.
    pub const fn min_items(self, items: usize) -> Self {
        Self { min_items: items, ..self }
    }
}
