//! Lists and objects that are being written.

use serde::ser::{Serialize, SerializeMap};

use super::encoder::Encoder;
use super::error::{EncodeFailure, PayloadError, Result};

/// An open list.
pub(super) struct List<'a> {
    encoder: &'a mut Encoder,
    /// True while no element has been written.
    first: bool,
    /// The text that ends it: its bracket, and the one of the variant around it.
    closing: &'static str,
}

/// The four traits of lists are one to us.
macro_rules! list {
    ($type:ident: $($trait:ident $method:ident),*) => {
        $(
            impl serde::ser::$trait for $type<'_> {
                type Ok = ();
                type Error = $crate::payload::error::EncodeFailure;

                #[inline]
                fn $method<T: serde::Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                    self.element(value)
                }

                #[inline]
                fn end(self) -> Result<()> {
                    self.close()
                }
            }
        )*
    };
}
pub(super) use list;

impl<'a> List<'a> {
    pub(super) fn new(encoder: &'a mut Encoder, closing: &'static str) -> Self {
        Self { encoder, first: true, closing }
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.encoder.element(&mut self.first, value)
    }

    #[inline]
    fn close(self) -> Result<()> {
        self.encoder.close(self.closing)
    }
}

list! {
    List: SerializeSeq serialize_element, SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field, SerializeTupleVariant serialize_field
}

/// An open object whose keys are known only now.
pub(super) struct Map<'a> {
    encoder: &'a mut Encoder,
    /// The index of its first key among the encoder's.
    first_key: usize,
}

impl<'a> Map<'a> {
    pub(super) fn new(encoder: &'a mut Encoder) -> Self {
        let first_key = encoder.key_count();
        Self { encoder, first_key }
    }
}

impl SerializeMap for Map<'_> {
    type Ok = ();
    type Error = EncodeFailure;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.encoder.key(self.first_key, key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.encoder.literal(":")?;
        self.encoder.value(value)
    }

    fn end(self) -> Result<()> {
        self.encoder.release_keys(self.first_key)?;
        self.encoder.close("}")
    }
}

/// An open object whose keys stand in the code.
pub(super) struct Fields<'a> {
    encoder: &'a mut Encoder,
    /// The first field. The compiler keeps a struct's fields apart from each other, but not from
    /// the tag of an enum around it, which serde puts first.
    first: Option<&'static str>,
    /// The text that ends it: its bracket, and the one of the variant around it. Empty where there
    /// is no object at all, but a text to pass on verbatim.
    closing: &'static str,
}

impl<'a> Fields<'a> {
    pub(super) fn new(encoder: &'a mut Encoder, closing: &'static str) -> Self {
        Self { encoder, first: None, closing }
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<()> {
        if self.closing.is_empty() {
            return self.encoder.verbatim(value);
        }
        match self.first {
            None => self.first = Some(key),
            Some(first) if first == key => {
                return Err(PayloadError::duplicate_key(key).into());
            }
            Some(_) => self.encoder.literal(",")?,
        }
        self.encoder.string(key)?;
        self.encoder.literal(":")?;
        self.encoder.value(value)
    }
}

macro_rules! fields {
    ($($trait:ident)*) => {
        $(
            impl serde::ser::$trait for Fields<'_> {
                type Ok = ();
                type Error = EncodeFailure;

                #[inline]
                fn serialize_field<T: Serialize + ?Sized>(
                    &mut self,
                    key: &'static str,
                    value: &T,
                ) -> Result<()> {
                    self.field(key, value)
                }

                #[inline]
                fn end(self) -> Result<()> {
                    self.encoder.close(self.closing)
                }
            }
        )*
    };
}

fields!(SerializeStruct SerializeStructVariant);
