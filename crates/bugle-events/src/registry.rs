//! A set of event types, by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use bugle_core::EventName;
use schemars::{Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};

use crate::borrowed::Text;
use crate::{AnyEvent, EventType, Invalid, ReadError, RegisterError};

/// A set of event types, by name. It is open: yours join those of [`flow`](crate::flow), or stand
/// alone.
///
/// ```
/// use bugle_events::{Registry, flow};
///
/// let registry = flow::registry();
/// let json = concat!(
///     r#"{"type":"contact_name_changed","created_on":"2006-01-02T15:04:05Z","#,
///     r#""name":"Bob"}"#
/// );
/// let event = registry.read_event(json.as_bytes())?;
/// let changed: &flow::ContactNameChanged = event.downcast_ref().unwrap();
/// assert_eq!(changed.name, "Bob");
/// assert_eq!(serde_json::to_string(&event)?, json);
///
/// let error = registry.read_event(br#"{"type":"do_the_foo"}"#).unwrap_err();
/// assert_eq!(error.to_string(), "unknown type: 'do_the_foo'");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Registry {
    types: BTreeMap<&'static str, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    read: fn(&[u8]) -> Result<AnyEvent, ReadError>,
    schema: fn() -> Schema,
}

impl Registry {
    /// Makes a registry without any type.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event type.
    ///
    /// # Errors
    /// [`RegisterError`] when another type has this name, or no event can be emitted under it.
    pub fn register<E: EventType>(&mut self) -> Result<&mut Self, RegisterError> {
        EventName::new(E::NAME)?;
        if self.types.contains_key(E::NAME) {
            return Err(RegisterError::Duplicate { name: E::NAME });
        }
        self.add::<E>();
        Ok(self)
    }

    /// Adds an event type whose name is known to be valid and new.
    pub(crate) fn add<E: EventType>(&mut self) {
        let entry = Entry {
            read: |json| Ok(AnyEvent::new(read::<E>(json)?)),
            schema: || SchemaGenerator::default().into_root_schema_for::<E>(),
        };
        self.types.insert(E::NAME, entry);
    }

    /// The names of all types, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.types.keys().copied()
    }

    /// True when a type of this name is registered.
    pub fn contains(&self, name: &str) -> bool {
        self.types.contains_key(name)
    }

    /// The JSON Schema (2020-12) of a type; `None` when no type of this name is registered.
    pub fn schema(&self, name: &str) -> Option<Schema> {
        self.types.get(name).map(|entry| (entry.schema)())
    }

    /// Reads one event from JSON, as the type that its field `type` names, and checks it.
    ///
    /// # Errors
    /// [`ReadError`]: `field 'type' is required`, `unknown type: 'do_the_foo'`, or all the fields
    /// that break the rules of its type.
    pub fn read_event(&self, json: &[u8]) -> Result<AnyEvent, ReadError> {
        let name = type_of(json)?;
        if name.is_empty() {
            return Err(Invalid::one("type", "is required").into());
        }
        match self.types.get(name.as_ref()) {
            Some(entry) => (entry.read)(json),
            None => Err(ReadError::UnknownType { name: name.into_owned() }),
        }
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.types.keys()).finish()
    }
}

/// Reads an event of a type, and checks it.
fn read<E: EventType>(json: &[u8]) -> Result<E, ReadError> {
    let event: E = serde_json::from_slice(json).map_err(|error| locate::<E>(json, error))?;
    event.check()?;
    Ok(event)
}

/// Finds the field that could not be read, by reading the event a second time.
#[cold]
fn locate<E: DeserializeOwned>(json: &[u8], error: serde_json::Error) -> ReadError {
    let mut json = serde_json::Deserializer::from_slice(json);
    let field = match serde_path_to_error::deserialize::<_, E>(&mut json) {
        Err(located) if error.is_data() => located.path().to_string(),
        _ => String::new(),
    };
    // A path that leads nowhere is written as a dot.
    let field = if field == "." { String::new() } else { field };
    ReadError::Json { field, error }
}

/// The event's field `type`; empty when there is none. It usually comes first, and then the rest is
/// not read.
fn type_of(json: &[u8]) -> Result<Cow<'_, str>, ReadError> {
    struct Find<'f, 'a>(&'f mut Option<Cow<'a, str>>);

    impl<'a> Visitor<'a> for Find<'_, 'a> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
            while let Some(Text(name)) = map.next_key()? {
                if name == "type" {
                    *self.0 = map.next_value::<Option<Text<'a>>>()?.map(|Text(name)| name);
                    if self.0.is_some() {
                        // Found: there is no other way to leave an object early.
                        return Err(A::Error::custom("found"));
                    }
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(())
        }
    }

    let mut found = None;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let result = reader.deserialize_map(Find(&mut found)).and_then(|()| reader.end());
    match (found, result) {
        (Some(name), _) => Ok(name),
        (None, Ok(())) => Ok(Cow::Borrowed("")),
        (None, Err(error)) => Err(ReadError::Json { field: String::new(), error }),
    }
}
