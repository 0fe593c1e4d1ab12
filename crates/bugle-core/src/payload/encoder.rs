//! The JSON text as it grows, and the steps that make it.

use std::fmt::{self, Display, Write as _};
use std::hash::Hasher;
use std::io::Write as _;
use std::ops::Range;

use rustc_hash::FxHasher;
use serde::ser::{Error as _, Serialize};
use smallvec::SmallVec;

use super::MAX_DEPTH;
use super::error::{EncodeFailure, PayloadError, Result};
use super::key::KeyEncoder;
use super::text::{Escaped, push_bytes, push_string};

/// The most `Some`s and newtypes that may be open at once. They leave no trace in the JSON, but
/// each takes some of the stack.
const MAX_WRAPPERS: usize = 512;

/// The number of keys that take no allocation.
const FEW_KEYS: usize = 32;

/// Writes one JSON text. Every method appends to `out`.
pub(super) struct Encoder {
    out: Vec<u8>,
    /// The ranges in `out` of the keys of the open maps, without their quotes; an inner map's are
    /// on top of an outer one's.
    keys: SmallVec<[Range<usize>; FEW_KEYS]>,
    /// The number of lists and objects that are open.
    depth: usize,
    /// The number of `Some`s and newtypes that are open.
    wrappers: usize,
    /// True in the text of a list that is a key: spaced, and without objects.
    in_key: bool,
    /// True once a part failed. A `Serialize` implementation may ignore that and go on, but the
    /// text is no longer JSON.
    failed: bool,
}

impl Encoder {
    #[inline]
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let out = Vec::with_capacity(capacity);
        Self { out, keys: SmallVec::new(), depth: 0, wrappers: 0, in_key: false, failed: false }
    }

    /// Makes an encoder for the text of a list that is a key of this one's.
    pub(super) fn for_key(&self) -> Self {
        let Self { depth, wrappers, .. } = *self;
        Self { depth, wrappers, in_key: true, ..Self::with_capacity(0) }
    }

    /// Answers the JSON text.
    #[inline]
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        if self.failed {
            return Err(EncodeFailure::custom("it went on after one of its fields had failed"));
        }
        Ok(self.out)
    }

    /// Appends a value.
    #[inline]
    pub(super) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let result = value.serialize(&mut *self);
        self.failed |= result.is_err();
        result
    }

    /// Appends a value that is inside of a `Some` or a newtype.
    #[inline]
    pub(super) fn see_through(
        &mut self,
        inside: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        if self.wrappers == MAX_WRAPPERS {
            return Err(PayloadError::TooDeep { limit: MAX_WRAPPERS }.into());
        }
        self.wrappers += 1;
        let result = inside(self);
        self.wrappers -= 1;
        result
    }

    #[inline]
    pub(super) fn string(&mut self, text: &str) -> Result<()> {
        push_string(&mut self.out, text);
        Ok(())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        push_bytes(&mut self.out, bytes);
        Ok(())
    }

    pub(super) fn display<T: Display + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.out.push(b'"');
        write!(Escaped(&mut self.out), "{value}").map_err(EncodeFailure::custom)?;
        self.out.push(b'"');
        Ok(())
    }

    #[inline]
    pub(super) fn literal(&mut self, json: &str) -> Result<()> {
        self.out.extend_from_slice(json.as_bytes());
        Ok(())
    }

    /// Appends a number; its type says how.
    #[inline]
    pub(super) fn number<T: Serialize>(&mut self, number: T) -> Result<()> {
        serde_json::to_writer(&mut self.out, &number).map_err(EncodeFailure::custom)
    }

    /// Appends an element of a list.
    #[inline]
    pub(super) fn element<T: Serialize + ?Sized>(
        &mut self,
        first: &mut bool,
        value: &T,
    ) -> Result<()> {
        if !std::mem::take(first) {
            self.out.push(b',');
            if self.in_key {
                self.out.push(b' ');
            }
        }
        self.value(value)
    }

    /// Appends the text of a `RawValue`, through a formatter, which takes a plain string as it is.
    #[cold]
    pub(super) fn verbatim<T: Serialize + ?Sized>(&mut self, json: &T) -> Result<()> {
        struct Verbatim<'a, T: ?Sized>(&'a T);

        impl<T: Serialize + ?Sized> Display for Verbatim<'_, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.serialize(f)
            }
        }

        write!(self.out, "{}", Verbatim(json)).map_err(EncodeFailure::custom)
    }

    #[inline]
    pub(super) fn open(&mut self, bracket: u8) -> Result<()> {
        if self.depth == MAX_DEPTH {
            return Err(PayloadError::TooDeep { limit: MAX_DEPTH }.into());
        }
        self.depth += 1;
        self.out.push(bracket);
        Ok(())
    }

    #[inline]
    pub(super) fn close(&mut self, brackets: &'static str) -> Result<()> {
        self.depth -= brackets.len();
        self.literal(brackets)
    }

    /// Opens an object, unless it is in a key, where `what` names it.
    #[inline]
    pub(super) fn open_object(&mut self, what: impl FnOnce() -> String) -> Result<()> {
        if self.in_key {
            return Err(PayloadError::UnsupportedKey { found: what() }.into());
        }
        self.open(b'{')
    }

    /// Opens the object around the content of an enum's variant.
    pub(super) fn open_variant(&mut self, name: &'static str, variant: &'static str) -> Result<()> {
        self.open_object(|| format!("the variant `{name}::{variant}`"))?;
        self.string(variant)?;
        self.literal(":")
    }

    /// The number of keys that the open maps have so far.
    pub(super) fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Appends a key of a map, whose keys before this one began with the `first`.
    #[inline]
    pub(super) fn key<T: Serialize + ?Sized>(&mut self, first: usize, key: &T) -> Result<()> {
        if self.keys.len() > first {
            self.out.push(b',');
        }
        let start = self.out.len() + 1;
        let result = key.serialize(KeyEncoder(self));
        match result {
            Ok(()) => self.keys.push(start..self.out.len() - 1),
            Err(_) => self.failed = true,
        }
        result
    }

    /// Lets go of a map's keys, which are the topmost ones, once they are known to be distinct.
    pub(super) fn release_keys(&mut self, first: usize) -> Result<()> {
        if let Some(duplicate) = find_duplicate(&self.out, &self.keys[first..]) {
            let json = [b"\"", duplicate, b"\""].concat();
            let key: String = serde_json::from_slice(&json).map_err(EncodeFailure::custom)?;
            return Err(PayloadError::duplicate_key(&key).into());
        }
        self.keys.truncate(first);
        Ok(())
    }
}

/// Names a float that is not a number to JSON.
pub(super) fn non_finite(float: f64) -> Option<&'static str> {
    match float {
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        float if float.is_nan() => Some("NaN"),
        _ => None,
    }
}

/// Finds a key that stands a second time. Equal keys are escaped alike, so that their JSON is
/// compared.
///
/// Sorting has no bad case that a stranger's keys could bring about, as a table has.
fn find_duplicate<'a>(out: &'a [u8], keys: &[Range<usize>]) -> Option<&'a [u8]> {
    let texts = keys.iter().map(|key| &out[key.clone()]);
    let mut marks: SmallVec<[u64; FEW_KEYS]> = texts.clone().map(mark).collect();
    first_repeated(&mut marks)?;
    first_repeated(&mut texts.collect::<Vec<_>>())
}

fn first_repeated<T: Ord + Copy>(items: &mut [T]) -> Option<T> {
    items.sort_unstable();
    items.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

/// Makes a number that stands for a text: numbers are faster to sort.
fn mark(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}
