//! The types that a record's field may have.

use std::collections::BTreeMap;
use std::fmt::Debug;

use garde::error::{Path, PathComponentKind};
use garde::{Report, error::Error};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A type that a record's field may have: strings, numbers, booleans, [`Json`](crate::Json), other
/// records, and options, lists and maps of these.
///
/// Implement it for a type of your own; each method but the first has a default.
pub trait Field:
    Debug + Clone + Default + PartialEq + Serialize + DeserializeOwned + JsonSchema
{
    /// True when the value is empty: an empty string, a zero, `false`, an empty list, `None`.
    ///
    /// An empty field is left out when it is optional, and fails when it is required.
    fn is_blank(&self) -> bool;

    /// The number of items in a list or a map; `None` in any other type.
    fn items(&self) -> Option<usize> {
        None
    }

    /// True when an empty value that was given, as `{}` or `[]`, satisfies "required". An empty
    /// string does not.
    fn is_there_when_empty(&self) -> bool {
        false
    }

    /// Reports the rules that the value itself breaks.
    fn check(&self, _path: &mut dyn FnMut() -> Path, _report: &mut Report) {}

    /// Changes the schema of any such field into that of one that must not be empty.
    fn require(_schema: &mut Schema) {}
}

macro_rules! scalar {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn is_blank(&self) -> bool {
                *self == <$type>::default()
            }
        }
    )*};
}

scalar!(bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);

impl Field for String {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }

    fn require(schema: &mut Schema) {
        schema.insert("minLength".to_owned(), 1.into());
    }
}

impl<T: Field> Field for Option<T> {
    fn is_blank(&self) -> bool {
        self.is_none()
    }

    fn check(&self, path: &mut dyn FnMut() -> Path, report: &mut Report) {
        if let Some(value) = self {
            value.check(path, report);
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }

    fn items(&self) -> Option<usize> {
        Some(self.len())
    }

    fn is_there_when_empty(&self) -> bool {
        true
    }

    fn check(&self, path: &mut dyn FnMut() -> Path, report: &mut Report) {
        check_each(self.iter().enumerate(), path, report);
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }

    fn items(&self) -> Option<usize> {
        Some(self.len())
    }

    fn is_there_when_empty(&self) -> bool {
        true
    }

    fn check(&self, path: &mut dyn FnMut() -> Path, report: &mut Report) {
        check_each(self.iter().map(|(key, value)| (key.as_str(), value)), path, report);
    }
}

fn check_each<'a, T: Field + 'a, K: PathComponentKind + Clone>(
    items: impl Iterator<Item = (K, &'a T)>,
    path: &mut dyn FnMut() -> Path,
    report: &mut Report,
) {
    for (key, item) in items {
        item.check(&mut || path().join(key.clone()), report);
    }
}

/// Reports a problem with the value at this path.
pub(crate) fn problem(path: &mut dyn FnMut() -> Path, words: &str, report: &mut Report) {
    report.append(path(), Error::new(words));
}
