//! The memory of a record about the JSON that it was read from, so that it is written back equal.

use std::collections::BTreeMap;

use crate::Json;

/// The form of an empty field in the JSON that its record was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The record was not read, or the field was not empty.
    Unknown,
    Absent,
    Null,
    Empty,
}

/// The memory of a record about the JSON that it was read from: the form of its empty fields, and
/// the fields that its type does not know.
#[derive(Debug, Clone, Default)]
pub struct AsRead {
    /// One bit for each field, at the field's position.
    absent: u64,
    null: u64,
    empty: u64,
    extra: BTreeMap<String, Json>,
}

/// Compares the unknown fields alone: records that say the same are equal, whatever form their
/// empty fields had.
impl PartialEq for AsRead {
    fn eq(&self, other: &Self) -> bool {
        self.extra == other.extra
    }
}

impl AsRead {
    /// Begins a record that is about to be read: no field has been seen.
    pub(crate) fn reading(fields: usize) -> Self {
        let absent = if fields < 64 { (1 << fields) - 1 } else { u64::MAX };
        Self { absent, ..Self::default() }
    }

    pub(crate) fn saw(&mut self, field: usize, how: Seen) {
        let bit = 1_u64.checked_shl(u32::try_from(field).unwrap_or(u32::MAX)).unwrap_or_default();
        for (seen, mask) in [
            (Seen::Absent, &mut self.absent),
            (Seen::Null, &mut self.null),
            (Seen::Empty, &mut self.empty),
        ] {
            *mask = if seen == how { *mask | bit } else { *mask & !bit };
        }
    }

    pub(crate) fn seen(&self, field: usize) -> Seen {
        let has = |mask: u64| {
            mask.checked_shr(u32::try_from(field).unwrap_or(u32::MAX))
                .is_some_and(|mask| mask & 1 == 1)
        };
        if has(self.absent) {
            Seen::Absent
        } else if has(self.null) {
            Seen::Null
        } else if has(self.empty) {
            Seen::Empty
        } else {
            Seen::Unknown
        }
    }

    /// The fields that the type does not know.
    pub fn extra(&self) -> &BTreeMap<String, Json> {
        &self.extra
    }

    /// The fields that the type does not know, to be changed.
    pub fn extra_mut(&mut self) -> &mut BTreeMap<String, Json> {
        &mut self.extra
    }
}
