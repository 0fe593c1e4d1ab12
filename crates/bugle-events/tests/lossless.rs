//! Reads any event of any type, with whatever fields, and expects equal JSON when it is written
//! back.

#![allow(clippy::unwrap_used)]

use bugle_events::{ChangeEvent, flow};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Any JSON value.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

/// A sample whose optional fields were dropped, emptied or set to null, with unknown fields added,
/// in itself and in the objects within it.
fn changed(
    sample: &Value,
    required: &[String],
    dice: &mut impl Iterator<Item = u8>,
    unknown: &Map<String, Value>,
) -> Value {
    let mut fields = Map::new();
    for (name, value) in sample.as_object().unwrap() {
        let kept = required.contains(name);
        let emptied = match value {
            Value::String(_) => json!(""),
            Value::Array(_) => json!([]),
            Value::Bool(_) => json!(false),
            Value::Number(_) => json!(0),
            _ => Value::Null,
        };
        let value = match (dice.next(), kept) {
            (Some(0), false) => continue,
            (Some(1), false) => Value::Null,
            (Some(2), false) => emptied,
            _ => value.clone(),
        };
        fields.insert(name.clone(), value);
    }
    fields.extend(unknown.clone());
    fields.into()
}

proptest! {
    #[test]
    fn what_is_read_is_written_back_equal(
        nth in 0_usize..23,
        dice in prop::collection::vec(0_u8..5, 24),
        unknown in prop::collection::btree_map("x_[a-z\u{e9}]{1,5}", any_json(), 0..4),
    ) {
        let data: Value = serde_json::from_str(include_str!("data/flow_events.json")).unwrap();
        let (name, sample) = data["samples"].as_object().unwrap().iter().nth(nth).unwrap();
        let registry = flow::registry();
        let schema = registry.schema(name).unwrap();
        let required: Vec<String> =
            serde_json::from_value(schema.get("required").unwrap().clone()).unwrap();
        let event = changed(sample, &required, &mut dice.into_iter(), &Map::from_iter(unknown));
        let read = registry.read_event(event.to_string().as_bytes()).unwrap();
        prop_assert_eq!(serde_json::to_value(&read).unwrap(), event.clone());
        let validator = jsonschema::validator_for(schema.as_value()).unwrap();
        prop_assert!(validator.is_valid(&event), "{} in {:?}", event, schema);
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = flow::registry().read_event(&bytes);
    }

    #[test]
    fn no_json_makes_reading_panic(mut event in any_json(), nth in 0_usize..23) {
        let registry = flow::registry();
        if let Some(fields) = event.as_object_mut() {
            fields.insert("type".to_owned(), registry.names().nth(nth).into());
        }
        let _ = registry.read_event(event.to_string().as_bytes());
    }

    #[test]
    fn a_change_event_is_written_back_equal(
        data in prop::collection::btree_map("[a-zA-Z]{1,8}", any_json(), 0..5),
    ) {
        let event = json!({
            "eventName": "member.updated", "occurredAt": "2024-02-21T10:00:00.123456Z",
            "identityId": "i_1",
            "target": {"id": "m_1", "type": "Member", "data": data, "previousData": data}
        });
        let read: ChangeEvent = serde_json::from_value(event.clone()).unwrap();
        prop_assert_eq!(serde_json::to_value(&read).unwrap(), event);
    }
}
