//! References in flow events: by id or by an expression, and UUIDs in lower case.

#![allow(clippy::unwrap_used)]

use bugle_events::flow::{self, *};
use bugle_events::garde::Validate;
use bugle_events::{Invalid, Uuid, Uuid4};
use serde_json::{Value as JsonValue, json};

const UUID4: &str = "61602f3e-f603-4c70-8a8f-c477505bf4bf";

/// The problems of a value by itself.
fn problems<T: Validate<Context = ()>>(value: &T) -> String {
    value
        .validate()
        .map_err(Invalid::from)
        .err()
        .map_or_else(String::new, |error| error.to_string())
}

/// The problems of an event that has this field, and whether its schema accepts it.
fn in_event(name: &str, field: &str, value: &JsonValue) -> (String, bool) {
    let mut event = json!({
        "type": name, "created_on": "2018-10-18T14:20:30Z",
        "translations": {"eng": {"text": "hi"}}, "base_language": "eng",
        "flow": {"uuid": UUID4}, "input_uuid": UUID4
    });
    event[field] = value.clone();
    let registry = flow::registry();
    let problems = registry.read_event(event.to_string().as_bytes()).err();
    let schema = registry.schema(name).unwrap();
    let accepted = jsonschema::validator_for(schema.as_value()).unwrap().is_valid(&event);
    (problems.map_or_else(String::new, |error| error.to_string()), accepted)
}

#[test]
fn a_group_and_a_label_are_either_known_or_matched() {
    let places = [
        ("broadcast_created", "groups"),
        ("session_triggered", "groups"),
        ("contact_groups_changed", "groups_added"),
        ("contact_groups_changed", "groups_removed"),
        ("input_labels_added", "labels"),
    ];
    for (reference, valid) in [
        (json!({"uuid": UUID4}), true),
        (json!({"uuid": UUID4, "name": "Testers"}), true),
        (json!({"uuid": UUID4, "name_match": ""}), true),
        (json!({"uuid": UUID4, "name_match": null}), true),
        (json!({"name_match": "@contact.fields.district"}), true),
        (json!({"name_match": "@x", "name": "Testers"}), true),
        (json!({"name_match": "@x", "uuid": ""}), true),
        (json!({"name_match": "@x", "uuid": null}), true),
        (json!({}), false),
        (json!({"name": "Testers"}), false),
        (json!({"uuid": "", "name_match": ""}), false),
        (json!({"uuid": null, "name_match": null}), false),
        (json!({"uuid": UUID4, "name_match": "@x"}), false),
        (json!({"uuid": UUID4, "name": "Bob", "name_match": "@x"}), false),
    ] {
        let words = |at: &str| {
            if valid {
                return String::new();
            }
            format!(
                "field '{at}uuid' is mutually exclusive with 'name_match', \
                 field '{at}name_match' is mutually exclusive with 'uuid'"
            )
        };
        let group: GroupReference = serde_json::from_value(reference.clone()).unwrap();
        let label: LabelReference = serde_json::from_value(reference.clone()).unwrap();
        assert_eq!(problems(&group), words(""), "{reference}");
        assert_eq!(problems(&label), words(""), "{reference}");
        for (event, field) in places {
            let list = json!([{"uuid": UUID4}, reference]);
            let at = format!("{field}[1].");
            assert_eq!(in_event(event, field, &list), (words(&at), valid), "{event} {list}");
        }
    }
}

#[test]
fn what_is_wrong_with_the_fields_comes_first() {
    let list = json!([{"uuid": "x", "name_match": "@x"}]);
    assert_eq!(
        in_event("broadcast_created", "groups", &list).0,
        "field 'groups[0].uuid' must be a valid UUID4, \
         field 'groups[0].uuid' is mutually exclusive with 'name_match', \
         field 'groups[0].name_match' is mutually exclusive with 'uuid'"
    );
}

#[test]
fn a_variable_reference_is_a_valid_one() {
    let group = GroupReference::variable("@contact.fields.district");
    let label = LabelReference::variable("@contact.fields.district");
    assert_eq!((problems(&group), problems(&label)), (String::new(), String::new()));
    assert!(group.is_variable() && label.is_variable());
    assert!(!GroupReference::new(UUID4, "").is_variable());
    assert!(!LabelReference::new(UUID4, "").is_variable());
    let written = json!({"name_match": "@contact.fields.district"});
    assert_eq!(serde_json::to_value(&group).unwrap(), written);
    assert_eq!(serde_json::to_value(&label).unwrap(), written);
}

#[test]
fn a_concrete_reference_needs_its_id() {
    assert_eq!(problems(&ChannelReference::new("", "Twilio")), "field 'uuid' is required");
    assert_eq!(problems(&ContactReference::new("", "Bob")), "field 'uuid' is required");
    assert_eq!(problems(&FlowReference::new("", "R")), "field 'uuid' is required");
    assert_eq!(problems(&TemplateReference::new("", "T")), "field 'uuid' is required");
    assert_eq!(problems(&FieldReference::new("", "Gender")), "field 'key' is required");
}

#[test]
fn a_uuid_is_written_in_lower_case() {
    for (text, any, fourth) in [
        (UUID4, true, true),
        ("61602f3e-f603-4c70-8a8f-c477505bf4bF", false, false),
        ("61602F3E-F603-4C70-8A8F-C477505BF4BF", false, false),
        ("61602f3e-f603-4c70-Aa8f-c477505bf4bf", false, false),
        ("61602f3e-f603-1c70-8a8f-c477505bf4bf", true, false),
        ("0197b335-6ded-79a4-95a6-3af85b57f108", true, false),
        // Of no version at all.
        ("ffffffff-9b24-92e1-ffff-ffffb207cdb4", true, false),
        ("61602f3e-f603-4c70-ca8f-c477505bf4bf", true, false),
        ("00000000-0000-0000-0000-000000000000", true, false),
        ("61602f3ef6034c708a8fc477505bf4bf", false, false),
        ("{61602f3e-f603-4c70-8a8f-c477505bf4bf}", false, false),
        ("urn:uuid:61602f3e-f603-4c70-8a8f-c477505bf4bf", false, false),
        ("61602f3e-f603-4c70-8a8f-c477505bf4b", false, false),
        ("61602f3e-f603-4c70-8a8f-c477505bf4bg", false, false),
        ("61602f3e-f603-4c70-8a8f-c477505bf4bf\n", false, false),
        ("61602f3e_f603_4c70_8a8f_c477505bf4bf", false, false),
    ] {
        assert_eq!(Uuid::new(text).is_valid(), any, "{text}");
        assert_eq!(Uuid4::new(text).is_valid(), fourth, "{text}");
        let channel = problems(&ChannelReference::new(text, ""));
        assert_eq!(channel, if any { "" } else { "field 'uuid' must be a valid UUID" }, "{text}");
        let contact = problems(&ContactReference::new(text, ""));
        let words = if fourth { "" } else { "field 'uuid' must be a valid UUID4" };
        assert_eq!(contact, words, "{text}");
        let contacts = json!([{"uuid": text}]);
        assert_eq!(in_event("broadcast_created", "contacts", &contacts).1, fourth, "{text}");
    }
    assert!(Uuid4::random().is_valid());
}
