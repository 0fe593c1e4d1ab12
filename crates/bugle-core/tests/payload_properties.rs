//! The safe JSON encoder against a model: any value that serde knows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use bugle_core::payload::{self, PayloadError};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::ser::{
    Serialize, SerializeMap, SerializeStruct, SerializeStructVariant, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};
use serde_json::{Value, json};

/// The names that serde wants to be static.
const NAMES: [&str; 4] = ["a", "b", "a \"quoted\"\n name", "é"];

#[derive(Debug, Clone)]
enum Key {
    Text(String),
    Integer(i64),
    Wide(i128),
    Float(f64),
    Bool(bool),
    Char(char),
    Unit(usize),
    Bytes(Vec<u8>),
    None,
    Some(Box<Key>),
    Newtype(Box<Key>),
    List(Vec<Key>),
    Tuple(Vec<Key>),
}

#[derive(Debug, Clone)]
enum Model {
    Key(Key),
    Null,
    Map(Vec<(Key, Model)>),
    Struct(Vec<Model>),
    List(Vec<Model>),
    Some(Box<Model>),
    Newtype(Box<Model>),
    NewtypeVariant(usize, Box<Model>),
    TupleVariant(usize, Vec<Model>),
    StructVariant(usize, Vec<Model>),
}

impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Integer(integer) => serializer.serialize_i64(*integer),
            Self::Wide(integer) => serializer.serialize_i128(*integer),
            Self::Float(float) => serializer.serialize_f64(*float),
            Self::Bool(bool) => serializer.serialize_bool(*bool),
            Self::Char(char) => serializer.serialize_char(*char),
            Self::Unit(name) => serializer.serialize_unit_variant("Model", 0, NAMES[*name]),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::None => serializer.serialize_none(),
            Self::Some(key) => serializer.serialize_some(key),
            Self::Newtype(key) => serializer.serialize_newtype_struct("Model", key),
            Self::List(keys) => serializer.collect_seq(keys),
            Self::Tuple(keys) => {
                let mut tuple = serializer.serialize_tuple_struct("Model", keys.len())?;
                keys.iter().try_for_each(|key| tuple.serialize_field(key))?;
                tuple.end()
            }
        }
    }
}

impl Serialize for Model {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Key(key) => key.serialize(serializer),
            Self::Null => serializer.serialize_unit(),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(None)?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
            Self::Struct(fields) => {
                let mut fields_of = serializer.serialize_struct("Model", fields.len())?;
                let mut fields = NAMES.iter().zip(fields);
                fields.try_for_each(|(name, value)| fields_of.serialize_field(name, value))?;
                fields_of.end()
            }
            Self::List(items) => serializer.collect_seq(items),
            Self::Some(value) => serializer.serialize_some(value),
            Self::Newtype(value) => serializer.serialize_newtype_struct("Model", value),
            Self::NewtypeVariant(name, value) => {
                serializer.serialize_newtype_variant("Model", 0, NAMES[*name], value)
            }
            Self::TupleVariant(name, items) => {
                let length = items.len();
                let mut tuple =
                    serializer.serialize_tuple_variant("Model", 0, NAMES[*name], length)?;
                items.iter().try_for_each(|item| tuple.serialize_field(item))?;
                tuple.end()
            }
            Self::StructVariant(name, fields) => {
                let length = fields.len();
                let mut fields_of =
                    serializer.serialize_struct_variant("Model", 0, NAMES[*name], length)?;
                let mut fields = NAMES.iter().zip(fields);
                fields.try_for_each(|(name, value)| fields_of.serialize_field(name, value))?;
                fields_of.end()
            }
        }
    }
}

/// The error that some map has two keys that encode alike.
#[derive(Debug, PartialEq)]
struct Duplicate;

impl Key {
    /// The value's text, where it is a key.
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Char(char) => char.to_string(),
            Self::Unit(name) => NAMES[*name].to_owned(),
            Self::Float(float) if float.is_nan() => "NaN".to_owned(),
            Self::Float(f64::INFINITY) => "Infinity".to_owned(),
            Self::Float(f64::NEG_INFINITY) => "-Infinity".to_owned(),
            Self::Bytes(bytes) => match String::from_utf8(bytes.clone()) {
                Ok(text) => text,
                Err(_) => {
                    let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
                    format!("<<{}>>", numbers.join(", "))
                }
            },
            Self::Some(key) | Self::Newtype(key) => key.text(),
            other => other.json(", "),
        }
    }

    /// The value's JSON, where it is a value, or is in a list that is a key.
    fn json(&self, separator: &str) -> String {
        match self {
            Self::Text(_) | Self::Char(_) | Self::Unit(_) | Self::Bytes(_) => {
                json!(self.text()).to_string()
            }
            Self::Float(float) if !float.is_finite() => json!(self.text()).to_string(),
            Self::Float(float) => json!(float).to_string(),
            Self::Integer(integer) => integer.to_string(),
            Self::Wide(integer) => integer.to_string(),
            Self::Bool(bool) => bool.to_string(),
            Self::None => "null".to_owned(),
            Self::Some(key) | Self::Newtype(key) => key.json(separator),
            Self::List(keys) | Self::Tuple(keys) => {
                let items: Vec<_> = keys.iter().map(|key| key.json(separator)).collect();
                format!("[{}]", items.join(separator))
            }
        }
    }
}

impl Model {
    fn expected(&self) -> Result<Value, Duplicate> {
        Ok(match self {
            // Read back, as the encoder's will be: a float may lose its last bit on the way.
            Self::Key(key) => serde_json::from_str(&key.json(",")).unwrap(),
            Self::Null => Value::Null,
            Self::Map(entries) => {
                let mut map = serde_json::Map::new();
                for (key, value) in entries {
                    if map.insert(key.text(), value.expected()?).is_some() {
                        return Err(Duplicate);
                    }
                }
                Value::Object(map)
            }
            Self::Struct(fields) => Self::expected_fields(fields)?,
            Self::List(items) => Self::expected_items(items)?,
            Self::Some(value) | Self::Newtype(value) => value.expected()?,
            Self::NewtypeVariant(name, value) => json!({ NAMES[*name]: value.expected()? }),
            Self::TupleVariant(name, items) => {
                json!({ NAMES[*name]: Self::expected_items(items)? })
            }
            Self::StructVariant(name, fields) => {
                json!({ NAMES[*name]: Self::expected_fields(fields)? })
            }
        })
    }

    fn expected_items(items: &[Self]) -> Result<Value, Duplicate> {
        items.iter().map(Self::expected).collect()
    }

    fn expected_fields(fields: &[Self]) -> Result<Value, Duplicate> {
        let fields = NAMES.iter().zip(fields);
        fields.map(|(name, field)| Ok(((*name).to_owned(), field.expected()?))).collect()
    }
}

fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        Just('"'),
        Just('\\'),
        any::<char>(),
        prop::char::range('\0', '\u{1f}'),
        prop::char::range('0', 'z'),
    ];
    let short = vec(character.clone(), 0..3);
    let long = vec(prop_oneof![1 => character, 20 => Just('x')], 0..100);
    prop_oneof![short, long].prop_map(String::from_iter)
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY)]
}

fn key() -> impl Strategy<Value = Key> {
    let leaf = prop_oneof![
        text().prop_map(Key::Text),
        // Few enough that keys of different types meet.
        (0..10_i64).prop_map(Key::Integer),
        prop::char::range('0', '9').prop_map(Key::Char),
        any::<i64>().prop_map(Key::Integer),
        any::<i128>().prop_map(Key::Wide),
        float().prop_map(Key::Float),
        any::<bool>().prop_map(Key::Bool),
        (0..NAMES.len()).prop_map(Key::Unit),
        vec(any::<u8>(), 0..5).prop_map(Key::Bytes),
        Just(Key::None),
    ];
    leaf.prop_recursive(3, 8, 4, |key| {
        prop_oneof![
            key.clone().prop_map(|key| Key::Some(Box::new(key))),
            key.clone().prop_map(|key| Key::Newtype(Box::new(key))),
            vec(key.clone(), 0..4).prop_map(Key::List),
            vec(key, 0..4).prop_map(Key::Tuple),
        ]
    })
}

fn model() -> impl Strategy<Value = Model> {
    let leaf = prop_oneof![4 => key().prop_map(Model::Key), 1 => Just(Model::Null)];
    leaf.prop_recursive(6, 60, 8, |model| {
        let some_fields = vec(model.clone(), 0..=NAMES.len());
        prop_oneof![
            vec((key(), model.clone()), 0..4).prop_map(Model::Map),
            some_fields.clone().prop_map(Model::Struct),
            vec(model.clone(), 0..8).prop_map(Model::List),
            model.clone().prop_map(|value| Model::Some(Box::new(value))),
            model.clone().prop_map(|value| Model::Newtype(Box::new(value))),
            (0..NAMES.len(), model.clone())
                .prop_map(|(name, value)| Model::NewtypeVariant(name, Box::new(value))),
            (0..NAMES.len(), vec(model, 0..4))
                .prop_map(|(name, items)| Model::TupleVariant(name, items)),
            (0..NAMES.len(), some_fields)
                .prop_map(|(name, fields)| Model::StructVariant(name, fields)),
        ]
    })
}

fn plain() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 8, |value| {
        prop_oneof![
            vec(value.clone(), 0..8).prop_map(Value::from),
            vec((text(), value), 0..8).prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_serde_can_serialize_arrives(entries in vec((key(), model()), 0..6)) {
        let payload = Model::Map(entries);
        match (payload::encode(&payload), payload.expected()) {
            (Ok(json), Ok(expected)) => {
                prop_assert_eq!(serde_json::from_slice::<Value>(&json).unwrap(), expected);
            }
            (Err(PayloadError::DuplicateKey { .. }), Err(Duplicate)) => {}
            (json, expected) => prop_assert!(false, "{json:?} but expected {expected:?}"),
        }
    }

    #[test]
    fn distinct_keys_are_never_called_duplicates(
        entries in prop::collection::hash_map(text(), any::<u8>(), 0..200),
    ) {
        let read: BTreeMap<_, _> =
            serde_json::from_slice(&payload::encode(&entries).unwrap()).unwrap();
        prop_assert_eq!(read, BTreeMap::from_iter(entries));
    }

    #[test]
    fn plain_json_is_written_byte_for_byte_as_serde_json_does(
        entries in vec((text(), plain()), 0..8),
    ) {
        let payload = Value::from_iter(entries);
        prop_assert_eq!(payload::encode(&payload).unwrap(), serde_json::to_vec(&payload).unwrap());
    }

    #[test]
    fn a_value_that_is_no_object_is_refused(value in model()) {
        let is_object = matches!(value.expected(), Ok(Value::Object(_)));
        let is_refused = matches!(payload::encode(&value), Err(PayloadError::NotAnObject { .. }));
        prop_assert!(value.expected().is_err() || is_object != is_refused);
    }
}
