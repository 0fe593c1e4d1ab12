//! The serializer of keys.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{Error as _, Impossible, Serializer};

use super::container::list;
use super::encoder::{Encoder, non_finite};
use super::error::{EncodeFailure, PayloadError, Result};
use super::value::numbers;

/// Writes a key as a JSON string, whatever its type.
pub(super) struct KeyEncoder<'a>(pub(super) &'a mut Encoder);

impl KeyEncoder<'_> {
    fn number<T: Serialize>(self, number: T) -> Result<()> {
        self.0.literal("\"")?;
        self.0.number(number)?;
        self.0.literal("\"")
    }

    fn float<T: Serialize>(self, float: T, wide: f64) -> Result<()> {
        match non_finite(wide) {
            Some(name) => self.0.string(name),
            None => self.number(float),
        }
    }

    fn see_through<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.0.see_through(|encoder| value.serialize(KeyEncoder(encoder)))
    }
}

fn unsupported<T>(found: impl Into<String>) -> Result<T> {
    Err(PayloadError::UnsupportedKey { found: found.into() }.into())
}

fn unsupported_variant<T>(name: &str, variant: &str) -> Result<T> {
    unsupported(format!("the variant `{name}::{variant}`"))
}

impl<'a> Serializer for KeyEncoder<'a> {
    type Ok = ();
    type Error = EncodeFailure;
    type SerializeSeq = KeyList<'a>;
    type SerializeTuple = KeyList<'a>;
    type SerializeTupleStruct = KeyList<'a>;
    type SerializeTupleVariant = Impossible<(), EncodeFailure>;
    type SerializeMap = Impossible<(), EncodeFailure>;
    type SerializeStruct = Impossible<(), EncodeFailure>;
    type SerializeStructVariant = Impossible<(), EncodeFailure>;

    numbers! {
        serialize_bool bool,
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
        serialize_i128 i128, serialize_u128 u128
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        self.float(value, value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        self.float(value, value)
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.0.string(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        self.0.string(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.0.bytes(value)
    }

    fn serialize_none(self) -> Result<()> {
        self.0.string("null")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.see_through(value)
    }

    fn serialize_unit(self) -> Result<()> {
        unsupported("the unit value `()`")
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<()> {
        unsupported(format!("the unit struct `{name}`"))
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<()> {
        self.0.string(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        self.see_through(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        _value: &T,
    ) -> Result<()> {
        unsupported_variant(name, variant)
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<KeyList<'a>> {
        let mut text = self.0.for_key();
        text.open(b'[')?;
        Ok(KeyList { encoder: self.0, text, first: true })
    }

    fn serialize_tuple(self, len: usize) -> Result<KeyList<'a>> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<KeyList<'a>> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        unsupported_variant(name, variant)
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap> {
        unsupported("a map")
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Self::SerializeStruct> {
        unsupported(format!("the struct `{name}`"))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self::SerializeStructVariant> {
        unsupported_variant(name, variant)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        self.0.display(value)
    }
}

/// An open list that is a key. Its text is written apart first, because as a key it is a string,
/// and the strings in it are escaped twice.
pub(super) struct KeyList<'a> {
    encoder: &'a mut Encoder,
    text: Encoder,
    /// True while no element has been written.
    first: bool,
}

impl KeyList<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.text.element(&mut self.first, value)
    }

    fn close(mut self) -> Result<()> {
        self.text.close("]")?;
        let text = self.text.finish()?;
        self.encoder.string(std::str::from_utf8(&text).map_err(EncodeFailure::custom)?)
    }
}

list! {
    KeyList: SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field
}
