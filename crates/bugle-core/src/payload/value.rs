//! The serializer of values.

use std::fmt::Display;

use serde::ser::{Serialize, Serializer};

use super::container::{Fields, List, Map};
use super::encoder::{Encoder, non_finite};
use super::error::{EncodeFailure, Result};

/// The names by which `serde_json` asks its serializers to pass a text on as it is: a `RawValue`,
/// and a `Number` where the feature `arbitrary_precision` is on.
const VERBATIM: [&str; 2] = ["$serde_json::private::RawValue", "$serde_json::private::Number"];

/// The methods for numbers, which are all the same to us.
macro_rules! numbers {
    ($($method:ident $type:ty),*) => {
        $(
            #[inline]
            fn $method(self, value: $type) -> Result<()> {
                self.number(value)
            }
        )*
    };
}
pub(super) use numbers;

impl<'a> Serializer for &'a mut Encoder {
    type Ok = ();
    type Error = EncodeFailure;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = Map<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Fields<'a>;

    numbers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
        serialize_i128 i128, serialize_u128 u128
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<()> {
        self.literal(if value { "true" } else { "false" })
    }

    fn serialize_f32(self, value: f32) -> Result<()> {
        match non_finite(value.into()) {
            Some(name) => self.string(name),
            // As an f32: its shortest digits are fewer than those of the f64 next to it.
            None => self.number(value),
        }
    }

    fn serialize_f64(self, value: f64) -> Result<()> {
        match non_finite(value) {
            Some(name) => self.string(name),
            None => self.number(value),
        }
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.string(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        self.string(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.bytes(value)
    }

    fn serialize_none(self) -> Result<()> {
        self.literal("null")
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.see_through(|encoder| value.serialize(encoder))
    }

    fn serialize_unit(self) -> Result<()> {
        self.literal("null")
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.literal("null")
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<()> {
        self.string(variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        self.see_through(|encoder| value.serialize(encoder))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.open_variant(name, variant)?;
        self.value(value)?;
        self.close("}")
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<List<'a>> {
        self.open(b'[')?;
        Ok(List::new(self, "]"))
    }

    fn serialize_tuple(self, len: usize) -> Result<List<'a>> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<List<'a>> {
        self.serialize_seq(Some(len))
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<List<'a>> {
        self.open_variant(name, variant)?;
        self.open(b'[')?;
        Ok(List::new(self, "]}"))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Map<'a>> {
        self.open_object(|| "a map".to_owned())?;
        Ok(Map::new(self))
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Fields<'a>> {
        if VERBATIM.contains(&name) {
            return Ok(Fields::new(self, ""));
        }
        self.open_object(|| format!("the struct `{name}`"))?;
        Ok(Fields::new(self, "}"))
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Fields<'a>> {
        self.open_variant(name, variant)?;
        self.open(b'{')?;
        Ok(Fields::new(self, "}}"))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        self.display(value)
    }
}
