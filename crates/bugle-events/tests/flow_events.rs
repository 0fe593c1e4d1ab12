//! The 23 flow event types: their samples, what is kept, what is refused and in which words.

#![allow(clippy::unwrap_used)]

use bugle_events::flow::{self, *};
use bugle_events::{AnyEvent, Json, ReadError, Registry, Uuid4, WebhookStatus};
use serde_json::{Map, Value as JsonValue, json};

fn samples() -> Map<String, JsonValue> {
    let data: JsonValue = serde_json::from_str(include_str!("data/flow_events.json")).unwrap();
    data["samples"].as_object().unwrap().clone()
}

fn read(json: &JsonValue) -> Result<AnyEvent, ReadError> {
    flow::registry().read_event(json.to_string().as_bytes())
}

fn refused(json: &JsonValue) -> String {
    read(json).map(|event| format!("{event:?}")).unwrap_err().to_string()
}

fn written(event: &AnyEvent) -> JsonValue {
    serde_json::to_value(event).unwrap()
}

/// An event with its base, and these fields beside or instead.
fn event(name: &str, fields: JsonValue) -> JsonValue {
    let mut event = json!({"type": name, "created_on": "2018-10-18T14:20:30.000123456Z"});
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event
}

#[test]
fn the_catalogue_has_the_types_of_the_samples() {
    let registry = flow::registry();
    let samples = samples();
    let names: Vec<&str> = samples.keys().map(String::as_str).collect();
    assert_eq!(registry.names().collect::<Vec<_>>(), names);
    assert_eq!(names.len(), 23);
}

#[test]
fn each_sample_is_read_and_written_back_equal() {
    for (name, sample) in samples() {
        let event = read(&sample).unwrap();
        assert_eq!(event.name(), name);
        assert_eq!(written(&event), sample, "{name}");
    }
}

#[test]
fn a_sample_may_go_through_a_json_value() {
    for (name, sample) in samples() {
        if name == "msg_created" {
            let event: MsgCreated = serde_json::from_value(sample.clone()).unwrap();
            assert_eq!(serde_json::to_value(&event).unwrap(), sample);
        }
    }
}

#[test]
fn what_an_event_says_of_empty_and_unknown_fields_is_kept() {
    for json in [
        // Cleared.
        event(
            "contact_field_changed",
            json!({"field": {"key": "age", "name": "Age"}, "value": null}),
        ),
        event("contact_field_changed", json!({"field": {"key": "age", "name": ""}})),
        event("contact_language_changed", json!({"language": ""})),
        event("contact_language_changed", json!({})),
        event("contact_timezone_changed", json!({"timezone": ""})),
        // Lists that Go has as nil.
        event("contact_urns_changed", json!({"urns": null})),
        event("contact_urns_changed", json!({"urns": []})),
        event("contact_groups_changed", json!({"groups_added": []})),
        event("contact_groups_changed", json!({"groups_added": null, "groups_removed": null})),
        // Raw JSON.
        event("resthook_called", json!({"resthook": "new", "payload": null})),
        event("resthook_called", json!({"resthook": "new", "payload": [1, "2", {"three": 3.5}]})),
        event("contact_refreshed", json!({"contact": null})),
        event(
            "run_result_changed",
            json!({"name": "Age", "value": "", "category": "", "extra": null}),
        ),
        event(
            "run_result_changed",
            json!({"name": "Age", "value": "", "category": "", "extra": {}}),
        ),
        // The base.
        event("wait_timed_out", json!({"step_uuid": ""})),
        event("wait_timed_out", json!({"step_uuid": null})),
        event("wait_timed_out", json!({"step_uuid": "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a"})),
        event("wait_timed_out", json!({"created_on": "2018-10-18T14:20:30.100-05:00"})),
        // False and zero, said and unsaid.
        event("error", json!({"text": "x", "fatal": false})),
        event("error", json!({"text": "x", "fatal": true})),
        event("msg_wait", json!({"timeout_seconds": 0, "hint": {"type": "digits", "count": 1}})),
        event("msg_wait", json!({"timeout_seconds": null, "hint": null})),
        event("msg_wait", json!({})),
        event(
            "flow_entered",
            json!({"flow": {"uuid": "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a", "name": "R"},
                   "parent_run_uuid": "", "terminal": true}),
        ),
        event(
            "webhook_called",
            json!({"url": "http://x", "status": "a new one", "status_code": 0, "elapsed_ms": 0,
                   "request": "GET /", "body_ignored": false, "resthook": "new"}),
        ),
        // Fields that the type does not know, at every depth.
        event(
            "msg_created",
            json!({"later": {"a": [null, 1]}, "also": null, "msg": {
                "uuid": "x", "text": "", "topic": "agent",
                "channel": {
                    "uuid": "61602f3e-f603-1c70-8a8f-c477505bf4bf", "name": "", "address": "+1"
                },
                "templating": {
                    "template": {"uuid": "61602f3e-f603-1c70-8a8f-c477505bf4bf", "name": "T"},
                    "language": "eng", "variables": ["a"], "namespace": "n"
                }
            }}),
        ),
    ] {
        let event = read(&json).unwrap();
        assert_eq!(written(&event), json);
    }
}

#[test]
fn numbers_keep_their_digits() {
    for number in ["1.10", "1e3", "-0", "123456789012345678901234567890.000", "23"] {
        let text = format!(
            concat!(
                r#"{{"type":"contact_field_changed","created_on":"2006-01-02T15:04:05Z","#,
                r#""field":{{"key":"k","name":"K"}},"#,
                r#""value":{{"text":"x","number":{number}}},"later":{number}}}"#
            ),
            number = number
        );
        let event = flow::registry().read_event(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), text);
    }
}

#[test]
fn what_fails_is_said_in_the_catalogue_s_words() {
    let uuid4 = "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a";
    let uuid1 = "61602f3e-f603-1c70-8a8f-c477505bf4bf";
    for (json, words) in [
        (json!({"foo": "bar"}), "field 'type' is required"),
        (json!({"type": "", "foo": "bar"}), "field 'type' is required"),
        (json!({"type": null}), "field 'type' is required"),
        (json!({"type": "do_the_foo", "foo": "bar"}), "unknown type: 'do_the_foo'"),
        (json!({"type": "wait_timed_out"}), "field 'created_on' is required"),
        (json!({"type": "wait_timed_out", "created_on": null}), "field 'created_on' is required"),
        (
            json!({"type": "wait_timed_out", "created_on": "0001-01-01T00:00:00Z"}),
            "field 'created_on' is required",
        ),
        (
            event("wait_timed_out", json!({"step_uuid": uuid1})),
            "field 'step_uuid' must be a valid UUID4",
        ),
        (
            event("broadcast_created", json!({"base_language": "eng"})),
            "field 'translations' is required",
        ),
        (
            event(
                "broadcast_created",
                json!({"translations": null, "urns": ["tel:+12065551212", "xx"]}),
            ),
            "field 'translations' is required, field 'base_language' is required, \
             field 'urns[1]' failed tag 'urn'",
        ),
        (
            event("broadcast_created", json!({"translations": {}, "base_language": "eng"})),
            "field 'translations' must have a minimum of 1 items",
        ),
        (
            event(
                "broadcast_created",
                json!({"translations": {"eng": {"text": "x"}}, "base_language": "eng",
                       "contacts": [{"uuid": uuid4}, {"uuid": uuid1}, {"name": "Bob"}],
                       "groups": [{"uuid": uuid4}, {"uuid": "x"}]}),
            ),
            "field 'contacts[1].uuid' must be a valid UUID4, field 'contacts[2].uuid' is required, \
             field 'groups[1].uuid' must be a valid UUID4",
        ),
        (event("contact_field_changed", json!({})), "field 'field' is required"),
        (event("contact_field_changed", json!({"field": null})), "field 'field' is required"),
        (event("contact_field_changed", json!({"field": {}})), "field 'field.key' is required"),
        (
            event("contact_field_changed", json!({"field": {"key": "k"}, "value": {"number": 1}})),
            "field 'value.text' is required",
        ),
        (
            event("contact_urns_changed", json!({"urns": ["tel:x", "twitter:bob", "bob", ""]})),
            "field 'urns[0]' failed tag 'urn', field 'urns[2]' failed tag 'urn', \
             field 'urns[3]' failed tag 'urn'",
        ),
        (
            event("email_created", json!({})),
            "field 'addresses' is required, field 'subject' is required",
        ),
        (
            event("email_created", json!({"addresses": [], "subject": ""})),
            "field 'addresses' must have a minimum of 1 items, field 'subject' is required",
        ),
        (event("error", json!({"text": ""})), "field 'text' is required"),
        (
            event("flow_entered", json!({"parent_run_uuid": "x"})),
            "field 'flow' is required, field 'parent_run_uuid' must be a valid UUID4",
        ),
        (
            event("flow_entered", json!({"flow": {"uuid": uuid1}})),
            "field 'flow.uuid' must be a valid UUID4",
        ),
        (event("ivr_created", json!({})), "field 'msg' is required"),
        (
            event(
                "msg_created",
                json!({"msg": {"urn": "xx", "channel": {"uuid": "x"},
                                        "templating": {"template": {}}}}),
            ),
            "field 'msg.urn' failed tag 'urn', field 'msg.channel.uuid' must be a valid UUID, \
             field 'msg.templating.template.uuid' is required",
        ),
        (event("msg_received", json!({"msg": null})), "field 'msg' is required"),
        (
            event("input_labels_added", json!({"input_uuid": uuid4, "labels": []})),
            "field 'labels' must have a minimum of 1 items",
        ),
        (
            event("input_labels_added", json!({"labels": [{"uuid": uuid1}]})),
            "field 'input_uuid' is required, field 'labels[0].uuid' must be a valid UUID4",
        ),
        (event("msg_wait", json!({"hint": {}})), "unable to read hint: field 'type' is required"),
        (
            event("msg_wait", json!({"hint": {"type": "", "count": 1}})),
            "unable to read hint: field 'type' is required",
        ),
        (
            event("msg_wait", json!({"hint": {"type": "foo"}})),
            "unable to read hint: unknown type: 'foo'",
        ),
        (
            event("msg_wait", json!({"hint": {"type": "Image"}, "step_uuid": "x"})),
            "field 'step_uuid' must be a valid UUID4, unable to read hint: unknown type: 'Image'",
        ),
        (event("run_expired", json!({})), "field 'run_uuid' is required"),
        (event("run_result_changed", json!({})), "field 'name' is required"),
        (event("session_triggered", json!({"flow": null})), "field 'flow' is required"),
        (
            event("webhook_called", json!({})),
            "field 'url' is required, field 'status' is required, field 'request' is required",
        ),
    ] {
        assert_eq!(refused(&json), words, "{json}");
    }
}

#[test]
fn what_can_t_be_read_is_said_with_its_place() {
    for (json, words) in [
        (
            event("msg_created", json!({"msg": {"text": 5}})),
            "field 'msg.text' can't be read: invalid type: integer `5`, expected a string",
        ),
        (
            event("contact_urns_changed", json!({"urns": ["tel:+12065551212", {}]})),
            "field 'urns[1]' can't be read: invalid type: map, expected a string",
        ),
        (
            event("wait_timed_out", json!({"created_on": "yesterday"})),
            "field 'created_on' can't be read: \"yesterday\" is not a time in RFC 3339",
        ),
        (
            event("msg_wait", json!({"timeout_seconds": 1.5})),
            "field 'timeout_seconds' can't be read: invalid type: floating point `1.5`",
        ),
    ] {
        let error = refused(&json);
        assert!(error.starts_with(words), "{error}");
    }
    for (text, words) in [
        ("", "EOF"),
        ("[]", "invalid type: sequence, expected an object"),
        ("{\"type\": 5}", "invalid type: integer `5`"),
        ("{\"type\": \"error\"", "EOF"),
        ("{\"foo\": 1", "EOF"),
        ("{} {}", "trailing characters"),
        (
            r#"{"type":"error","type":"msg_wait"}"#,
            "the event's type is 'msg_wait', and 'error' is read",
        ),
    ] {
        let error = flow::registry().read_event(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_constructor_makes_a_valid_event_that_is_written_as_go_has_it() {
    let uuid = "0e06f977-cbb7-475f-9d0b-a0c4aaec7f6a";
    let group = GroupReference::new(uuid, "Testers");
    let any = Json::parse("{\"a\":1}").unwrap();
    let broadcast = |text: &str| [("eng".to_owned(), BroadcastTranslation::new(text))].into();
    let msg = |text: &str| MsgOut::new("tel:+12065551212", None, text, vec![], vec![]);
    let events: Vec<(AnyEvent, JsonValue)> = vec![
        (
            AnyEvent::new(BroadcastCreated::new(
                broadcast("hi"),
                "eng",
                vec![],
                vec![],
                vec![group.clone()],
            )),
            json!({"translations": {"eng": {"text": "hi"}}, "base_language": "eng",
                   "groups": [{"uuid": uuid, "name": "Testers"}]}),
        ),
        (
            AnyEvent::new(ContactFieldChanged::new(FieldReference::new("age", "Age"), None)),
            json!({"field": {"key": "age", "name": "Age"}, "value": null}),
        ),
        (
            AnyEvent::new(ContactGroupsChanged::new(
                vec![group],
                vec![GroupReference::variable("@contact.fields.district")],
            )),
            json!({"groups_added": [{"uuid": uuid, "name": "Testers"}],
                   "groups_removed": [{"name_match": "@contact.fields.district"}]}),
        ),
        (AnyEvent::new(ContactLanguageChanged::new("")), json!({"language": ""})),
        (AnyEvent::new(ContactNameChanged::new("Bob")), json!({"name": "Bob"})),
        (AnyEvent::new(ContactRefreshed::new(any.clone())), json!({"contact": {"a": 1}})),
        (AnyEvent::new(ContactTimezoneChanged::new(None)), json!({"timezone": ""})),
        (
            AnyEvent::new(ContactUrnsChanged::new(vec!["tel:123".into()])),
            json!({"urns": ["tel:123"]}),
        ),
        (
            AnyEvent::new(EmailCreated::new(vec!["a@b.c".to_owned()], "Hi", "")),
            json!({"addresses": ["a@b.c"], "subject": "Hi", "body": ""}),
        ),
        (AnyEvent::new(EnvironmentRefreshed::new(any.clone())), json!({"environment": {"a": 1}})),
        (
            AnyEvent::new(ErrorEvent::new(format_args!("no {}", 1))),
            json!({"text": "no 1", "fatal": false}),
        ),
        (AnyEvent::new(ErrorEvent::fatal("no")), json!({"text": "no", "fatal": true})),
        (
            AnyEvent::new(FlowEntered::new(FlowReference::new(uuid, "R"), "", false)),
            json!({"flow": {"uuid": uuid, "name": "R"}, "parent_run_uuid": "", "terminal": false}),
        ),
        (
            AnyEvent::new(InputLabelsAdded::new(
                uuid,
                vec![LabelReference::new(uuid, "Spam"), LabelReference::variable("@results.label")],
            )),
            json!({"input_uuid": uuid, "labels": [
                {"uuid": uuid, "name": "Spam"}, {"name_match": "@results.label"}]}),
        ),
        (
            AnyEvent::new(IvrCreated::new(MsgOut { uuid: "u".to_owned(), ..msg("hi") })),
            json!({"msg": {"uuid": "u", "urn": "tel:+12065551212", "text": "hi"}}),
        ),
        (
            AnyEvent::new(MsgCreated::new(MsgOut { uuid: "u".to_owned(), id: 7, ..msg("hi") })),
            json!({"msg": {"uuid": "u", "id": 7, "urn": "tel:+12065551212", "text": "hi"}}),
        ),
        (
            AnyEvent::new(MsgReceived::new(MsgIn::new(
                uuid,
                "tel:+12065551212",
                None,
                "hi",
                vec![],
            ))),
            json!({"msg": {"uuid": uuid, "urn": "tel:+12065551212", "text": "hi"}}),
        ),
        (
            AnyEvent::new(MsgWait::new(Some(5), Some(Hint::digits(2)))),
            json!({"timeout_seconds": 5, "hint": {"type": "digits", "count": 2}}),
        ),
        (
            AnyEvent::new(MsgWait::new(None, Some(Hint::digits_until("#")))),
            json!({"hint": {"type": "digits", "terminated_by": "#"}}),
        ),
        (
            AnyEvent::new(ResthookCalled::new("new", any.clone())),
            json!({"resthook": "new", "payload": {"a": 1}}),
        ),
        (AnyEvent::new(RunExpired::new(uuid)), json!({"run_uuid": uuid})),
        (
            AnyEvent::new(RunResultChanged::new("Age", "5", "", "", "five", None)),
            json!({"name": "Age", "value": "5", "category": "", "input": "five"}),
        ),
        (
            AnyEvent::new(SessionTriggered::new(
                FlowReference::new(uuid, "R"),
                vec![],
                vec![],
                vec![],
                true,
                any,
            )),
            json!({
                "flow": {"uuid": uuid, "name": "R"},
                "create_contact": true, "run_summary": {"a": 1}
            }),
        ),
        (AnyEvent::new(WaitTimedOut::new()), json!({})),
        (
            AnyEvent::new(WebhookCalled {
                url: "http://x".to_owned(),
                status: WebhookStatus::ConnectionError,
                request: "GET /".to_owned(),
                ..WebhookCalled::now()
            }),
            json!({
                "url": "http://x", "status": "connection_error",
                "elapsed_ms": 0, "request": "GET /"
            }),
        ),
    ];
    for (mut any, mut expected) in events {
        any.check().unwrap();
        let base = json!({"type": any.name(), "created_on": any.created_on()});
        expected.as_object_mut().unwrap().extend(base.as_object().unwrap().clone());
        assert_eq!(written(&any), expected);
        let step = Uuid4::random();
        any.set_step_uuid(step.clone());
        assert_eq!(any.step_uuid(), Some(step.as_str()));
        assert_eq!(written(&read(&written(&any)).unwrap()), written(&any));
    }
}

#[test]
fn a_constructed_event_is_checked_by_the_same_rules() {
    use bugle_events::EventType as _;
    let words = |event: &EmailCreated| event.check().unwrap_err().to_string();
    assert_eq!(
        words(&EmailCreated::new(vec![], "", "")),
        "field 'addresses' must have a minimum of 1 items, field 'subject' is required"
    );
    let zero = EmailCreated {
        created_on: Default::default(),
        ..EmailCreated::new(vec!["a".to_owned()], "s", "")
    };
    assert_eq!(words(&zero), "field 'created_on' is required");
    let field = ContactFieldChanged::new(FieldReference::default(), None);
    assert_eq!(field.check().unwrap_err().to_string(), "field 'field.key' is required");
}

#[test]
fn an_event_is_its_concrete_type_or_not() {
    let sample = samples()["error"].clone();
    let mut event = read(&sample).unwrap();
    assert!(event.is::<ErrorEvent>() && !event.is::<MsgWait>());
    assert!(event.downcast_ref::<MsgWait>().is_none());
    event.downcast_mut::<ErrorEvent>().unwrap().fatal = true;
    assert_eq!(written(&event)["fatal"], true);
    assert!(event.downcast::<ErrorEvent>().unwrap().fatal);
}

#[test]
fn a_changed_field_is_written_whatever_it_was() {
    let json = event("contact_urns_changed", json!({"urns": null}));
    let mut changed = read(&json).unwrap().downcast::<ContactUrnsChanged>().unwrap();
    changed.urns.push("tel:123".into());
    assert_eq!(serde_json::to_value(&changed).unwrap()["urns"], json!(["tel:123"]));
}

#[test]
fn each_schema_accepts_its_sample_and_refuses_what_is_refused() {
    let registry: Registry = flow::registry();
    for (name, sample) in samples() {
        let schema = registry.schema(&name).unwrap();
        let validator = jsonschema::validator_for(schema.as_value()).unwrap();
        if let Err(error) = validator.validate(&sample) {
            panic!("{name}: {error} in {schema:#?}");
        }
        let required = schema.get("required").unwrap().as_array().unwrap();
        for field in required {
            let mut broken = sample.clone();
            broken.as_object_mut().unwrap().remove(field.as_str().unwrap());
            assert!(!validator.is_valid(&broken), "{name} without {field}");
            assert!(read(&broken).is_err(), "{name} without {field}");
        }
        assert!(schema.get("description").is_some(), "{name}");
    }
    assert!(registry.schema("do_the_foo").is_none());
}
