//! Reads and writes records.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserializer, Serializer};

use super::as_read::{AsRead, Seen};
use super::{Field, Record, Rules};
use crate::borrowed::Text;

/// Reads a record: missing fields are empty, unknown fields are kept.
#[doc(hidden)]
pub fn deserialize<'de, R: Record, D: Deserializer<'de>>(deserializer: D) -> Result<R, D::Error> {
    struct Fields<R>(PhantomData<R>);

    impl<'de, R: Record> Visitor<'de> for Fields<R> {
        type Value = R;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<R, A::Error> {
            let mut record = R::default();
            *record.as_read_mut() = AsRead::reading(R::FIELDS);
            while let Some(Text(name)) = map.next_key()? {
                if let Some(expected) = R::TYPE
                    && name == "type"
                {
                    let Text(found) = map.next_value()?;
                    if found != expected {
                        return Err(A::Error::custom(format_args!(
                            "the event's type is '{found}', and '{expected}' is read"
                        )));
                    }
                } else if !record.read(&name, &mut map)? {
                    let value = map.next_value()?;
                    record.as_read_mut().extra_mut().insert(name.into_owned(), value);
                }
            }
            Ok(record)
        }
    }

    deserializer.deserialize_map(Fields(PhantomData))
}

/// Reads the value of one field.
#[doc(hidden)]
pub fn read_field<'de, T: Field, A: MapAccess<'de>>(
    field: &mut T,
    as_read: &mut AsRead,
    index: usize,
    map: &mut A,
) -> Result<bool, A::Error> {
    let seen = match map.next_value::<Option<T>>()? {
        None => {
            *field = T::default();
            Seen::Null
        }
        Some(value) => {
            *field = value;
            if field.is_blank() { Seen::Empty } else { Seen::Unknown }
        }
    };
    as_read.saw(index, seen);
    Ok(true)
}

/// Writes a record.
#[doc(hidden)]
pub fn serialize<R: Record, S: Serializer>(record: &R, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    if let Some(name) = R::TYPE {
        map.serialize_entry("type", name)?;
    }
    record.write(&mut map)?;
    for (name, value) in record.as_read().extra() {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

/// Writes one field: an empty one in the form in which it was read, or as its rules say.
#[doc(hidden)]
pub fn write_field<T: Field, M: SerializeMap>(
    field: &T,
    as_read: &AsRead,
    (index, name, rules): (usize, &'static str, Rules),
    map: &mut M,
) -> Result<(), M::Error> {
    if !field.is_blank() {
        return map.serialize_entry(name, field);
    }
    match as_read.seen(index) {
        Seen::Absent => Ok(()),
        Seen::Null => map.serialize_entry(name, &()),
        Seen::Unknown if rules.omit_empty => Ok(()),
        Seen::Unknown | Seen::Empty => map.serialize_entry(name, field),
    }
}
