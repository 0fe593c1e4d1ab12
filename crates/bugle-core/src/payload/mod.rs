//! The safe JSON encoder: whatever serde can serialize arrives, without a surprise.
//!
//! A payload is encoded once, in one pass, straight into the bytes that every emitter sends. Where
//! plain JSON has a way to say a value, the bytes are those of `serde_json`. Where it has none:
//!
//! | in Rust | JSON |
//! | --- | --- |
//! | a key: an integer, float, bool, char or unit variant | its text: `"1"`, `"1.5"`, `"true"` |
//! | a key that is `None` | `"null"` |
//! | a key that is a tuple or a list | its JSON, spaced: `"[1, 2]"`, `"[\"a\", [null]]"` |
//! | bytes (`serialize_bytes`), as value or key | the string if UTF-8, else `"<<255, 0>>"` |
//! | a non-finite float | `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | an integer beyond 64 bits | its exact digits |
//! | something with no `Serialize` | its Debug text, with [`inspect`] |
//!
//! `Some` and newtypes are seen through, everywhere. A `Vec<u8>` is a list to serde, and stays one;
//! with `serde_bytes` it is bytes. A `serde_json::value::RawValue` is passed on verbatim: nothing
//! inside it is checked.
//!
//! A value without a faithful form is refused with a [`PayloadError`], and nothing is emitted: two
//! keys that encode alike, a map or a struct as a key, a nesting beyond [`MAX_DEPTH`].

mod container;
mod encoder;
mod error;
mod key;
mod text;
mod value;

use std::fmt::Debug;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use encoder::Encoder;
pub use error::PayloadError;

/// The most lists and objects that may lie in one another: 127, the most that `serde_json` reads
/// back with its defaults.
pub const MAX_DEPTH: usize = 127;

/// The bytes that a small event takes without growing.
const INITIAL_CAPACITY: usize = 256;

/// Encodes a payload: a map or a struct, or a wrapper of one.
///
/// # Errors
/// [`PayloadError`], for a payload that is not an object, or that JSON cannot hold faithfully.
///
/// # Examples
/// ```
/// use std::collections::BTreeMap;
///
/// let seats = BTreeMap::from([((1, 2), "Ada"), ((1, 3), "Grace")]);
/// let json = bugle_core::payload::encode(&seats)?;
/// assert_eq!(json, r#"{"[1, 2]":"Ada","[1, 3]":"Grace"}"#);
/// # Ok::<(), bugle_core::payload::PayloadError>(())
/// ```
pub fn encode<T: Serialize + ?Sized>(payload: &T) -> Result<Bytes, PayloadError> {
    encode_with_capacity(payload, INITIAL_CAPACITY)
}

/// Encodes as [`encode`] does, for a caller that knows about how many bytes it will take: the
/// buffer then grows less often. A wrong guess only costs time.
///
/// # Errors
/// As [`encode`].
pub fn encode_with_capacity<T: Serialize + ?Sized>(
    payload: &T,
    capacity: usize,
) -> Result<Bytes, PayloadError> {
    let mut encoder = Encoder::with_capacity(capacity);
    encoder.value(payload)?;
    let mut json = encoder.finish()?;
    match json.first() {
        Some(b'{') => {
            // An event may wait for long, and a buffer that has grown holds up to twice its need.
            if json.capacity() - json.len() > INITIAL_CAPACITY {
                json.shrink_to_fit();
            }
            Ok(Bytes::from(json))
        }
        first => Err(PayloadError::NotAnObject { found: kind(first.copied()) }),
    }
}

/// The kind of a JSON text, which its first byte tells.
fn kind(first: Option<u8>) -> &'static str {
    match first {
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Serializes a value as its Debug text, a string: for a type that has no `Serialize`, such as a
/// handle or a thread id.
///
/// # Errors
/// Those of the serializer.
///
/// # Examples
/// ```
/// #[derive(serde::Serialize)]
/// struct Crashed {
///     reason: &'static str,
///     #[serde(serialize_with = "bugle_core::payload::inspect")]
///     waited: std::time::Duration,
/// }
///
/// let crashed = Crashed { reason: "timeout", waited: std::time::Duration::from_millis(1500) };
/// let json = bugle_core::payload::encode(&crashed)?;
/// assert_eq!(json, r#"{"reason":"timeout","waited":"1.5s"}"#);
/// # Ok::<(), bugle_core::payload::PayloadError>(())
/// ```
pub fn inspect<T, S>(value: &T, serializer: S) -> Result<S::Ok, S::Error>
where
    T: Debug + ?Sized,
    S: Serializer,
{
    serializer.collect_str(&format_args!("{value:?}"))
}
