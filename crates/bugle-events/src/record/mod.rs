//! Records: objects that are read leniently, checked as a whole, and written back as they came.

mod as_read;
mod field;
mod macros;
mod rules;
mod schema;
mod serial;

use garde::Report;
use garde::error::Path;

pub use as_read::AsRead;
pub use field::Field;
pub(crate) use field::problem;
pub use rules::Rules;
pub use schema::{FieldSchema, record_schema};
pub use serial::{deserialize, read_field, serialize, write_field};

use as_read::Seen;

/// An object of named fields, which keeps those that it does not know. The macros
/// [`record!`](crate::record) and [`event!`](crate::event) make them.
pub trait Record: Default {
    /// The event type's name, which its objects carry in the field `type`; none in other records.
    const TYPE: Option<&'static str>;
    /// The number of its fields in JSON.
    const FIELDS: usize;

    #[doc(hidden)]
    fn as_read(&self) -> &AsRead;
    #[doc(hidden)]
    fn as_read_mut(&mut self) -> &mut AsRead;
    /// Reads the field of this name; `false` when there is none.
    #[doc(hidden)]
    fn read<'de, A: serde::de::MapAccess<'de>>(
        &mut self,
        name: &str,
        map: &mut A,
    ) -> Result<bool, A::Error>;
    #[doc(hidden)]
    fn write<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error>;
}

/// Reports both fields, unless one of them is given and the other is not.
#[doc(hidden)]
pub fn check_exactly_one<A: Field, B: Field>(
    (name, value): (&'static str, &A),
    (other_name, other): (&'static str, &B),
    parent: &mut dyn FnMut() -> Path,
    report: &mut Report,
) {
    if value.is_blank() != other.is_blank() {
        return;
    }
    for (name, other) in [(name, other_name), (other_name, name)] {
        let words = format!("is mutually exclusive with '{other}'");
        problem(&mut || parent().join(name), &words, report);
    }
}

/// Checks a field against its rules, then what is in it.
#[doc(hidden)]
pub fn check_field<T: Field>(
    value: &T,
    as_read: &AsRead,
    (index, name, rules): (usize, &'static str, Rules),
    parent: &mut dyn FnMut() -> Path,
    report: &mut Report,
) {
    let mut path = || parent().join(name);
    let given = !matches!(as_read.seen(index), Seen::Absent | Seen::Null);
    if value.is_blank() && !(given && value.is_there_when_empty()) {
        if rules.required {
            problem(&mut path, "is required", report);
        }
        return;
    }
    if value.items().is_some_and(|items| items < rules.min_items) {
        let words = format!("must have a minimum of {} items", rules.min_items);
        return problem(&mut path, &words, report);
    }
    value.check(&mut path, report);
}
