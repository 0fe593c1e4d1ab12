//! What can be a field of a record.

use std::collections::BTreeMap;
use std::fmt::Debug;

use garde::error::{Path, PathComponentKind};
use garde::{Report, error::Error};
use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What can be a field of a record: strings, numbers, booleans, [`Json`](crate::Json), other
/// records, and options, lists and maps of these.
///
/// A type of your own joins them with the default of every method, or with those that it has an
/// answer to.
pub trait Field:
    Debug + Clone + Default + PartialEq + Serialize + DeserializeOwned + JsonSchema
{
    /// Whether it says nothing: an empty string, a zero, `false`, an empty list, nothing.
    ///
    /// An empty field is left out when it is optional, and fails when it is required.
    fn is_blank(&self) -> bool;

    /// How many items there are, in a list or a map; `None` in what is neither.
    fn items(&self) -> Option<usize> {
        None
    }

    /// Whether an empty value that was given, as `{}` or `[]`, is there, in the sense of
    /// "required". An empty string is not.
    fn is_there_when_empty(&self) -> bool {
        false
    }

    /// Reports what is wrong with the value itself.
    fn check(&self, _path: &mut dyn FnMut() -> Path, _report: &mut Report) {}

    /// The schema of a field that must not be empty, from the schema of any.
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
